"""Simulate planes of diffuse scattering with known components. Run it with `python -m simulate`."""
