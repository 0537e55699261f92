"""Structural models, judged by the form factor: molecules, their files, the fit, torsion scans and reports."""
