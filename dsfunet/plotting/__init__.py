"""Pictures of planes and results, for files and for Jupyter."""
