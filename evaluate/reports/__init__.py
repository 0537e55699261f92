"""Report folders, their tables and pictures, the comparison of two reports, model cards and training curves."""
