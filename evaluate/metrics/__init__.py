"""Errors of planes, and distances between sets of planes."""
