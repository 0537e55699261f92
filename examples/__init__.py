"""Example data, and the script that made it."""
