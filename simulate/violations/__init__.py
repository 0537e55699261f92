"""Planes that each break one assumption of the method, for testing the verdict."""
