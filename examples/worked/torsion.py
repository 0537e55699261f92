"""The tert-butyl torsion from I_FF: misfit against angle, as in the paper's figure 5b.

All groups turn together, and in opposite senses in the two species, which are mirror images. `dsfunet scan --torsion`
turns both species in one sense, so the turn is put together here and handed to the same machinery; what the command
would find is among the curves.
"""

import numpy as np

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.scan import Minimum, Scan, Turn, angles_of_range, scan_model, torsion_turn
from dsfunet.io import Result
from examples.worked.crystals import TERT_BUTYL_DEG, Crystal
from examples.worked.molecule import tert_butyl_torsions

WIDE_DEG = (-60.0, 60.0, 4.0)
"""A tert-butyl group is the same after 120 degrees: this is all there is."""

_NEAR_DEG = 4.0 * np.arange(-6, 7)
_RESAMPLES = 500


def mirrored_turn(model: ModelPair) -> Turn:
    """Turns the torsions of species A by an angle and those of its mirror image B by its opposite."""
    torsions = tert_butyl_torsions()
    of_first, of_second = torsion_turn(torsions, model, "A"), torsion_turn(torsions, model, "B")

    def turn(pair: ModelPair, angle_deg: float) -> ModelPair:
        return of_second(of_first(pair, angle_deg), -angle_deg)

    return turn


def scan_torsion(crystal: Crystal, result: Result, same_sense: bool = False) -> Scan:
    """Misfit over all torsion angles; 0 degrees is a methyl anti to the carbonyl carbon.

    `same_sense` turns both species in one sense, as the command does.
    """
    return _scan(crystal, result, angles_of_range(*WIDE_DEG), same_sense)


def near_minimum(crystal: Crystal, result: Result) -> Minimum | None:
    """The deepest minimum of the misfit within 24 degrees of the angle put in, None where there is none."""
    # The step of the wide scan, about the angle put in so that it lies between two points as any angle would.
    minima = _scan(crystal, result, _NEAR_DEG + TERT_BUTYL_DEG + 1.0, same_sense=False).minima
    return minima[0] if minima else None


def _scan(crystal: Crystal, result: Result, angles_deg: np.ndarray, same_sense: bool) -> Scan:
    # The model starts where a user would, at the staggered angle, which is 7 degrees off.
    turned = mirrored_turn(crystal.pair)(crystal.pair, -TERT_BUTYL_DEG)
    start = ModelPair(crystal.pair.name, turned.first, turned.second)
    turn = torsion_turn(tert_butyl_torsions(), start, "both") if same_sense else mirrored_turn(start)
    return scan_model(start, turn, angles_deg, Observation.of(result), _RESAMPLES, seed=0)
