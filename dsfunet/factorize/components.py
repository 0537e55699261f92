"""What comes out of `Factorizer`: both components of a plane, how sure they are, and what the lattice said."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.lattice.mode import LatticeAnswer
from dsfunet.lattice.search import FoundLattice


@dataclass(frozen=True)
class Components:
    """Both components of one plane (256, 256) or of several (n, 256, 256): linear intensity in [0, 1], float32.

    Each component is normalised on its own (minimum 0, maximum 1 in the truth the networks were trained on), so
    the plane is s (F + f) (S + g) with three numbers, which `dsfunet.physics.product.fit_product` finds. `mask` is True
    where the plane was measured; the components are given everywhere.

    With a lattice, `lattice_answers` has one `LatticeAnswer` a plane. Where it is accepted, its components are those
    given here; `of_networks` has what the networks alone said of every plane, form factor and short-range order.
    Where the lattice had to be found, `found_lattices` has what was found, None for a plane on which nothing repeats or
    nothing convinces; its answer is then None, too.

    `sigma_form_factor` and `sigma_short_range_order` are the standard uncertainties of the components given here, of
    linear intensity, same shape (`dsfunet.factorize.uncertainty`), and `sigma_of_networks` those of `of_networks`;
    None where
    there are none, and `uncertainty` says in words what they are.
    """

    form_factor: Planes
    short_range_order: Planes
    mask: npt.NDArray[np.bool_]
    lattice_answers: tuple[LatticeAnswer | None, ...] = ()
    of_networks: tuple[Planes, Planes] | None = None
    found_lattices: tuple[FoundLattice | None, ...] = ()
    sigma_form_factor: Planes | None = None
    sigma_short_range_order: Planes | None = None
    sigma_of_networks: tuple[Planes, Planes] | None = None
    uncertainty: str = ""
