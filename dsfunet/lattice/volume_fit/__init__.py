"""The joint fit of a whole volume: both factors in three dimensions, from the data and the lattice."""
