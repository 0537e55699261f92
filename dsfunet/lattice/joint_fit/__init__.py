"""Both factors of a plane from the data and a known lattice alone: a joint weighted fit of I = F S."""

from dsfunet.lattice.joint_fit.evidence import Prior
from dsfunet.lattice.joint_fit.fit import DEFAULT_KNOTS, fit_both_factors
from dsfunet.lattice.joint_fit.found import fit_found_lattice, list_found_harmonics
from dsfunet.lattice.joint_fit.harmonics import Harmonics, list_harmonics
from dsfunet.lattice.joint_fit.plane import HARMONICS, fit_plane
from dsfunet.lattice.joint_fit.resolution import (
    Resolution,
    narrowest_visible,
    note_unknown_resolution,
    parse_resolution,
    parse_thickness,
    with_thickness,
)
from dsfunet.lattice.joint_fit.resolution_search import ResolutionEstimate, estimate_resolution
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.series import Blur

__all__ = [
    "DEFAULT_KNOTS",
    "HARMONICS",
    "Blur",
    "Harmonics",
    "JointFit",
    "Prior",
    "Resolution",
    "ResolutionEstimate",
    "estimate_resolution",
    "fit_both_factors",
    "fit_found_lattice",
    "fit_plane",
    "list_found_harmonics",
    "list_harmonics",
    "narrowest_visible",
    "note_unknown_resolution",
    "parse_resolution",
    "parse_thickness",
    "with_thickness",
]
