"""Studies beside the benchmark: calibration of uncertainties, the lattice search, and the verdict."""
