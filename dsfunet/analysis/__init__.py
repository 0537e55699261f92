"""Analysis of results (no torch).

Warren-Cowley parameters from I_SRO, structural models tested against I_FF, pair distribution functions, model crystals.
"""
