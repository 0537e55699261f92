"""Simulated crystals and their planes, with the fast kernels that compute them."""
