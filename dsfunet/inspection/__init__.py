"""Describe what a file holds, and what looks suspicious about it."""
