"""The species library: ideal molecules, ions, atoms and perovskite units, grouped by what may share a site."""

from simulate.species.catalogue import Lattice, Species, cell_from_size, load_catalogue, pairs

__all__ = ["Lattice", "Species", "cell_from_size", "load_catalogue", "pairs"]
