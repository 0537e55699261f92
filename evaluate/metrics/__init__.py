"""Errors of single planes, summaries over planes, and distances between sets of planes."""
