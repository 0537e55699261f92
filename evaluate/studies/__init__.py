"""Studies besides the evaluation: calibration of uncertainties, search for lattices, and verdicts."""
