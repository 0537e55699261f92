"""Analysis of results: Warren-Cowley parameters from I_SRO, and structural models tested against I_FF (no torch)."""
