"""The torsion of the tert-butyl groups, found again from the form factor (the paper's figure 5b)."""

from dataclasses import dataclass

import numpy as np

from dsfunet.analysis.model_names import ModelPair
from dsfunet.analysis.observation import Observation
from dsfunet.analysis.scan import Scan, angles_of_range, scan_model
from dsfunet.io import Result
from examples.worked.crystals import TORSION_DEG
from examples.worked.molecule import column

STEP_DEG = 4.0
_RESAMPLES, _SEED = 500, 0


@dataclass(frozen=True, eq=False)
class TorsionFound:
    """The misfit against the torsion, and how far its deepest minimum is from what was put in [degrees]."""

    scan: Scan
    error_deg: float
    uncertainty_deg: float


def columns(torsion_deg: float) -> ModelPair:
    """The model of columns up and down with one torsion in all tert-butyl groups [degrees].

    `dsfunet scan --torsion` turns every named torsion by the same angle, in both species; here the column that points
    down is a mirror image, whose torsions turn the other way, so the model is built anew for each angle.
    """
    return ModelPair("columns up and down", column(torsion_deg), column(torsion_deg, up=False))


def find_torsion(result: Result) -> TorsionFound:
    """Fit the model to the form factor of a result at torsions over a third of a turn, after which it repeats.

    Raises:
        InputError: the form factor cannot be fitted.
    """
    angles = angles_of_range(-60.0, 60.0, STEP_DEG)
    scan = scan_model(
        columns(0.0), lambda _, angle: columns(angle), angles, Observation.of(result), _RESAMPLES, _SEED
    )
    if not scan.minima:
        return TorsionFound(scan, np.nan, np.nan)
    deepest = scan.minima[0]
    return TorsionFound(scan, deepest.angle_deg - TORSION_DEG, deepest.su_deg)
