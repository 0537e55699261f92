"""Lattice mode: short-range order fitted to the plane on a known lattice, and the search for an unknown one."""
