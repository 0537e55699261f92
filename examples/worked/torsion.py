"""The tert-butyl torsion from I_FF: misfit against angle, as in the paper's figure 5b.

All groups rotate together. The two species are mirror images, so their groups rotate in opposite senses. `dsfunet scan
--torsion` rotates both species in the same sense, so this module combines the rotations itself and passes them to the
library's `scan_model`. One of the curves shows the result of the command.
"""

import numpy as np

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.scan import Minimum, Scan, Turn, angles_of_range, scan_model, torsion_turn
from dsfunet.io import Result
from examples.worked.crystals import TERT_BUTYL_DEG, Crystal
from examples.worked.molecule import tert_butyl_torsions

WIDE_DEG = (-60.0, 60.0, 4.0)
"""Range and step of the wide scan [degrees]; a tert-butyl group repeats after 120 degrees."""

_NEAR_DEG = 4.0 * np.arange(-6, 7)
_RESAMPLES = 500


def mirrored_turn(model: ModelPair) -> Turn:
    """Return a function that rotates the torsions of species A by an angle and those of B by the opposite angle."""
    torsions = tert_butyl_torsions()
    of_first, of_second = torsion_turn(torsions, model, "A"), torsion_turn(torsions, model, "B")

    def turn(pair: ModelPair, angle_deg: float) -> ModelPair:
        return of_second(of_first(pair, angle_deg), -angle_deg)

    return turn


def scan_torsion(crystal: Crystal, result: Result, same_sense: bool = False) -> Scan:
    """Scan the misfit over all torsion angles; at 0 degrees a methyl is anti to the carbonyl carbon.

    `same_sense` rotates both species in the same sense, as the command does.
    """
    return _scan(crystal, result, angles_of_range(*WIDE_DEG), same_sense)


def near_minimum(crystal: Crystal, result: Result) -> Minimum | None:
    """Return the deepest minimum of the misfit within 24 degrees of the true angle, or None if there is none."""
    # Use the step of the wide scan; the offset puts the true angle between two points.
    minima = _scan(crystal, result, _NEAR_DEG + TERT_BUTYL_DEG + 1.0, same_sense=False).minima
    return minima[0] if minima else None


def _scan(crystal: Crystal, result: Result, angles_deg: np.ndarray, same_sense: bool) -> Scan:
    # Start from the staggered angle, as a user would; it is 7 degrees off.
    turned = mirrored_turn(crystal.pair)(crystal.pair, -TERT_BUTYL_DEG)
    start = ModelPair(crystal.pair.name, turned.first, turned.second)
    turn = torsion_turn(tert_butyl_torsions(), start, "both") if same_sense else mirrored_turn(start)
    return scan_model(start, turn, angles_deg, Observation.of(result), _RESAMPLES, seed=0)
