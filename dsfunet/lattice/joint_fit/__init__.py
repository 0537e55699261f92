"""Both factors of a plane from the data and a known lattice alone: a joint weighted fit of I = F S."""

from dsfunet.lattice.joint_fit.evidence import Prior
from dsfunet.lattice.joint_fit.fit import DEFAULT_KNOTS, fit_both_factors
from dsfunet.lattice.joint_fit.found import fit_found_lattice, list_found_harmonics
from dsfunet.lattice.joint_fit.harmonics import Harmonics, list_harmonics
from dsfunet.lattice.joint_fit.plane import HARMONICS, fit_plane
from dsfunet.lattice.joint_fit.result import JointFit

__all__ = [
    "DEFAULT_KNOTS",
    "HARMONICS",
    "Harmonics",
    "JointFit",
    "Prior",
    "fit_both_factors",
    "fit_found_lattice",
    "fit_plane",
    "list_found_harmonics",
    "list_harmonics",
]
