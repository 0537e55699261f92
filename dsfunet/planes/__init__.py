"""A measured plane: its name, geometry, noise, preprocessing and resampling, and the result of factorising it."""
