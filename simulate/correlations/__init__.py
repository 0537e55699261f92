"""Short-range order: Monte Carlo sets, and oscillating correlations with symmetry."""
