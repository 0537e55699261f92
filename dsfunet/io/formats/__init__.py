"""Readers of users' files: one module for each family of formats."""
