"""Detector gaps, masks, noise and background: what a measurement does to a plane."""
