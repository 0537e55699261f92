"""Scans of the misfit of a model against a torsion angle or a rotation (figure 5b of Fuller & Rudden 2024)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.models.fit import Fit, fit_model, resampled_misfits
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import VACANCY, LabelledMolecule, Torsion
from dsfunet.analysis.models.observation import Observation
from dsfunet.errors import InputError
from dsfunet.physics.scattering import XRAYS, Scattering

Turn = Callable[[ModelPair, float], ModelPair]
"""Returns a model moved by an angle [degrees]; 0 leaves it unchanged."""

Species = Literal["A", "B", "both"]
"""The species of a model that are moved: the first, the second, or both."""

About = Literal["centroid", "origin"]
"""The point that a whole molecule is rotated about."""

_MOST_ANGLES = 1000


@dataclass(frozen=True)
class Minimum:
    """A local minimum of the misfit.

    Attributes:
        angle_deg: of the minimum [degrees].
        su_deg: standard uncertainty of the angle [degrees].
        misfit: at the minimum.
        lowest: fraction of bootstrap resamples in which it is the lowest point of the curve.
    """

    angle_deg: float
    su_deg: float
    misfit: float
    lowest: float


@dataclass(frozen=True, eq=False)
class Scan:
    """The misfit of a model against an angle.

    Attributes:
        angles_deg: ascending [degrees], shape (k,).
        fits: one for each angle.
        intervals: that contain 95 % of the resamples of each misfit, shape (k, 2).
        minima: the deepest first; none if the misfit decreases towards an end of the range.
        resamples: number of bootstrap resamples.
        seed: of the resamples.
    """

    angles_deg: Array
    fits: tuple[Fit, ...]
    intervals: Array
    minima: tuple[Minimum, ...]
    resamples: int
    seed: int

    @property
    def misfits(self) -> Array:
        """The misfit at each angle, shape (k,)."""
        return np.array([fit.misfit for fit in self.fits])

    @property
    def is_full_circle(self) -> bool:
        """Whether the range spans 360 degrees."""
        return _is_full_circle(self.angles_deg)

    @property
    def best(self) -> Fit:
        """The fit at the angle with the smallest misfit."""
        return self.fits[int(np.argmin(self.misfits))]


def angles_of_range(start_deg: float, stop_deg: float, step_deg: float) -> Array:
    """Return start, start + step, ... up to and including stop [degrees], shape (k,).

    Raises:
        InputError: the numbers do not define an ascending range of 3 to 1000 angles.
    """
    numbers = (start_deg, stop_deg, step_deg)
    if np.isfinite(numbers).all() and step_deg > 0 and stop_deg > start_deg:
        count = int(min((stop_deg - start_deg) / step_deg + 1 + 1e-9, _MOST_ANGLES + 1))
        if 3 <= count <= _MOST_ANGLES:
            return start_deg + step_deg * np.arange(count, dtype=np.float64)
    raise InputError(
        f"--range {start_deg:g} {stop_deg:g} {step_deg:g}: expected FIRST LAST STEP [degrees] with FIRST below LAST and"
        f" 3 to {_MOST_ANGLES} angles"
    )


def torsion_turn(torsions: Sequence[Torsion], model: ModelPair, species: Species = "both") -> Turn:
    """Return a function that changes torsion angles of a model together.

    Args:
        torsions: one or more; each is changed in every chosen species that has its four atoms.
        model: used to check that the torsions can be changed.
        species: the species that may move.

    Raises:
        InputError: a torsion is in none of the chosen species, or cannot be changed (see `Torsion.turned`).
    """
    chosen = [
        molecule for name, molecule in (("A", model.first), ("B", model.second)) if species in (name, "both")
    ]
    for torsion in torsions:
        if not any(torsion.is_in(molecule) for molecule in chosen):
            for label in torsion.labels:
                if not any(label in molecule.labels for molecule in chosen):
                    next((molecule for molecule in chosen if molecule.elements), VACANCY).index(label)
            raise InputError(
                f"torsion {torsion}: its atoms are in different species; expected all four in one"
            )

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


def rotation_turn(axis: Array, species: Species = "both", about: About = "centroid") -> Turn:
    """Return a function that rotates species as rigid bodies, right-handed.

    Args:
        axis: Cartesian, shape (3,), of any length above zero.
        species: the species that move.
        about: the point that stays, the centroid of each species or the origin.
    """

    def turn(pair: ModelPair, angle_deg: float) -> ModelPair:
        first, second = (
            molecule.turned(axis, angle_deg, molecule.centroid if about == "centroid" else np.zeros(3))
            if species in (name, "both")
            else molecule
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
    scattering: Scattering = XRAYS,
) -> Scan:
    """Fit a model at every angle and find the minima of its misfit.

    Scale, floor and B are refined at each angle. A minimum is the vertex of the parabola through its lowest point and
    both neighbours; its uncertainty is the scatter of that vertex over bootstrap resamples of the whole curve.

    Args:
        model: at angle 0.
        turn: the motion, from `torsion_turn` or `rotation_turn`.
        angles_deg: ascending and evenly spaced [degrees], shape (k,).
        observation: the form factor of a result.
        resamples: number of bootstrap resamples, 10 or more.
        seed: of the resamples, 0 or more.
        scattering: the radiation.

    Raises:
        InputError: the species scatter identically at an angle, `turn` cannot move the model, or `resamples` or `seed`
            is out of range.
    """
    draws = observation.draws(resamples, seed)
    fits = tuple(fit_model(turn(model, float(angle)), observation, scattering) for angle in angles_deg)
    curves = resampled_misfits(fits, observation, draws)
    minima = find_minima(angles_deg, np.array([fit.misfit for fit in fits]), curves)
    intervals = np.percentile(curves, [2.5, 97.5], axis=0).T
    return Scan(angles_deg, fits, intervals, minima, resamples, seed)


def find_minima(angles_deg: Array, misfits: Array, curves: Array) -> tuple[Minimum, ...]:
    """Find the local minima of a curve inside its range, the deepest first.

    In each resample a minimum is searched for between the maxima on either side of it in the curve itself. A range of
    360 degrees has no ends; it is cut at its highest point.

    Args:
        angles_deg: ascending and evenly spaced [degrees], shape (k,).
        misfits: the curve, shape (k,).
        curves: bootstrap resamples of it, shape (resamples, k).
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
    """Return angle and height of the vertex of the parabola through a point and its neighbours.

    Returns the point itself at an end of the curve, or if the parabola does not open upwards near the point.
    """
    if 0 < point < len(curve) - 1:
        left, middle, right = curve[point - 1 : point + 2]
        bend = left - 2 * middle + right
        shift = (left - right) / (2 * bend) if bend > 0 else 1.0
        if abs(shift) <= 0.5:
            step = angles_deg[point + 1] - angles_deg[point]
            return float(angles_deg[point] + shift * step), float(middle - bend * shift**2 / 2)
    return float(angles_deg[point]), float(curve[point])
