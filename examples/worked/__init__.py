"""Worked examples: three simulated crystals, from the measured plane to parameters with error bars."""
