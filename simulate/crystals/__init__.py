"""Simulated crystals and their planes, with compiled kernels that compute both components."""
