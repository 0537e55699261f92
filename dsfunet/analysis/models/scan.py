"""Misfit against an angle: a torsion or a whole molecule turned through a range (the paper's figure 5b)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.fit import Fit, fit_model, resampled_misfits
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import VACANCY, LabelledMolecule, Torsion
from dsfunet.analysis.models.observation import Observation
from dsfunet.errors import InputError

Turn = Callable[[ModelPair, float], ModelPair]
"""A model turned by an angle [degrees]; 0 leaves it as it is."""

_MOST_ANGLES = 1000


@dataclass(frozen=True)
class Minimum:
    """A local minimum of the misfit: where, its standard uncertainty [degrees], and the misfit there.

    `lowest` is the share of bootstrap resamples in which it is the lowest point of the curve.
    """

    angle_deg: float
    su_deg: float
    misfit: float
    lowest: float


@dataclass(frozen=True, eq=False)
class Scan:
    """Misfit against angle: `angles_deg` (k,) ascending, a fit at each, `intervals` (k, 2) of 95 % for each misfit.

    `minima` from the deepest up; none where the misfit only falls towards an end of the range.
    """

    angles_deg: Array
    fits: tuple[Fit, ...]
    intervals: Array
    minima: tuple[Minimum, ...]
    resamples: int
    seed: int

    @property
    def misfits(self) -> Array:
        """Misfit at each angle, shape (k,)."""
        return np.array([fit.misfit for fit in self.fits])

    @property
    def is_full_circle(self) -> bool:
        """Whether the range closes on itself after 360 degrees."""
        return _is_full_circle(self.angles_deg)

    @property
    def best(self) -> Fit:
        """The fit at the scanned angle of the smallest misfit."""
        return self.fits[int(np.argmin(self.misfits))]


def angles_of_range(start_deg: float, stop_deg: float, step_deg: float) -> Array:
    """start, start + step, ... up to and including stop [degrees], ascending, shape (k,).

    Raises:
        InputError: the numbers make no range of three angles or more, or more than 1000.
    """
    numbers = (start_deg, stop_deg, step_deg)
    if np.isfinite(numbers).all() and step_deg > 0 and stop_deg > start_deg:
        count = int(min((stop_deg - start_deg) / step_deg + 1 + 1e-9, _MOST_ANGLES + 1))
        if 3 <= count <= _MOST_ANGLES:
            return start_deg + step_deg * np.arange(count, dtype=np.float64)
    raise InputError(
        f"range {start_deg:g} {stop_deg:g} {step_deg:g}: expected START STOP STEP in degrees, START below STOP, and"
        f" 3 to {_MOST_ANGLES} angles"
    )


def torsion_turn(torsions: Sequence[Torsion], model: ModelPair, species: str = "both") -> Turn:
    """Turns all torsions together, each in every species of a model (`A`, `B` or `both`) that has its four atoms.

    Raises:
        InputError: a torsion is in none of them, or cannot be turned.
    """
    chosen = [
        molecule for name, molecule in (("A", model.first), ("B", model.second)) if species in (name, "both")
    ]
    for torsion in torsions:
        if not any(torsion.is_in(molecule) for molecule in chosen):
            for label in torsion.labels:
                if not any(label in molecule.labels for molecule in chosen):
                    next((molecule for molecule in chosen if molecule.elements), VACANCY).index(label)
            raise InputError(f"torsion {torsion}: found its atoms in different species, expected them in one")

    def turned(molecule: LabelledMolecule, angle_deg: float) -> LabelledMolecule:
        for torsion in torsions:
            if torsion.is_in(molecule):
                molecule = torsion.turned(molecule, angle_deg)
        return molecule

    def turn(pair: ModelPair, angle_deg: float) -> ModelPair:
        first = pair.first if species == "B" else turned(pair.first, angle_deg)
        second = pair.second if species == "A" else turned(pair.second, angle_deg)
        return ModelPair(pair.name, first, second, pair.notes)

    turn(model, 0.0)
    return turn


def rotation_turn(axis: Array, species: str = "both") -> Turn:
    """Turns species `A`, `B` or `both` as rigid bodies, each about an axis (3,) through its centroid, right-handed."""

    def turn(pair: ModelPair, angle_deg: float) -> ModelPair:
        first, second = (
            molecule.turned(axis, angle_deg, molecule.centroid) if species in (name, "both") else molecule
            for name, molecule in (("A", pair.first), ("B", pair.second))
        )
        return ModelPair(pair.name, first, second, pair.notes)

    return turn


def scan_model(
    model: ModelPair,
    turn: Turn,
    angles_deg: Array,
    observation: Observation,
    resamples: int = 2000,
    seed: int = 0,
) -> Scan:
    """Fit a model at every angle (k,) [degrees], and find the minima of its misfit.

    Scale, floor and B are refined anew at each angle. A minimum lies on the parabola through its lowest point and
    both neighbours; its uncertainty is the scatter of that place over bootstrap resamples of the whole curve.

    Raises:
        InputError: as `fit_model` and `Observation.draws`, or what `turn` raises.
    """
    draws = observation.draws(resamples, seed)
    fits = tuple(fit_model(turn(model, float(angle)), observation) for angle in angles_deg)
    curves = resampled_misfits(fits, observation, draws)
    minima = find_minima(angles_deg, np.array([fit.misfit for fit in fits]), curves)
    intervals = np.percentile(curves, [2.5, 97.5], axis=0).T
    return Scan(angles_deg, fits, intervals, minima, resamples, seed)


def find_minima(angles_deg: Array, misfits: Array, curves: Array) -> tuple[Minimum, ...]:
    """Local minima of a curve (k,) inside its range, from the deepest up; `curves` (resamples, k) its bootstrap.

    In each resample a minimum is looked for between the maxima on either side of it in the curve itself. A range of
    360 degrees has no ends: it is cut open at its highest point.
    """
    start = angles_deg[0]
    if _is_full_circle(angles_deg):
        top = int(np.argmax(misfits[:-1]))
        order = np.r_[top : len(misfits) - 1, 0 : top + 1]
        misfits, curves = misfits[order], curves[:, order]
        angles_deg = angles_deg + (angles_deg[top] - start)
    inner = np.arange(1, len(misfits) - 1)
    bottoms = inner[(misfits[inner] < misfits[inner - 1]) & (misfits[inner] <= misfits[inner + 1])]
    overall = curves.min(axis=1)
    found = []
    for bottom in bottoms:
        low = high = int(bottom)
        while low > 0 and misfits[low - 1] >= misfits[low]:
            low -= 1
        while high < len(misfits) - 1 and misfits[high + 1] >= misfits[high]:
            high += 1
        lowest = low + np.argmin(curves[:, low : high + 1], axis=1)
        places = [
            _vertex(angles_deg, curve, int(point))[0] for curve, point in zip(curves, lowest, strict=True)
        ]
        rows = np.arange(len(curves))
        angle, misfit = _vertex(angles_deg, misfits, int(bottom))
        share = float((curves[rows, lowest] == overall).mean())
        angle = float(start + (angle - start) % 360.0) if angle > start + 360.0 else angle
        found.append(Minimum(angle, float(np.std(places, ddof=1)), misfit, share))
    return tuple(sorted(found, key=lambda minimum: minimum.misfit))


def _is_full_circle(angles_deg: Array) -> bool:
    return bool(abs(angles_deg[-1] - angles_deg[0] - 360.0) < 1e-6)


def _vertex(angles_deg: Array, curve: Array, point: int) -> tuple[float, float]:
    """Angle and height of the vertex of the parabola through a point and its neighbours.

    The point itself at an end
    of the curve, or where the three make no parabola that opens upwards about it.
    """
    if 0 < point < len(curve) - 1:
        left, middle, right = curve[point - 1 : point + 2]
        bend = left - 2 * middle + right
        shift = (left - right) / (2 * bend) if bend > 0 else 1.0
        if abs(shift) <= 0.5:
            step = angles_deg[point + 1] - angles_deg[point]
            return float(angles_deg[point] + shift * step), float(middle - bend * shift**2 / 2)
    return float(angles_deg[point]), float(curve[point])
