"""Sets of short-range-order parameters: from Monte Carlo runs, and from damped oscillators with symmetry."""
