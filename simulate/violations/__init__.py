"""Planes that break the model's assumptions, to test the verdict with."""
