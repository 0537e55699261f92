"""Warren-Cowley parameters with the symmetry of the lattice: damped oscillators over shells (equation 7).

All vectors that the point group of the lattice makes equivalent share one parameter. The point group consists of all
integer matrices that leave the integer metric of the lattice unchanged; the metric also orders the shells.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.physics import MAX_INDEX
from simulate.correlations.sets import CorrelationSet, nearest_alphas

Lattice = Literal["orthogonal", "hexagonal"]
"""Orthogonal axes, one of them four-fold; or a = c with an angle of 120 degrees and b six-fold."""

Arrangement = Literal["planar", "cubic", "layered"]
"""Planar: only vectors normal to the unique axis are correlated. Cubic: one oscillator over the shells of the cubic
lattice. Layered: an oscillator in the plane times an independent one along the unique axis."""

ARRANGEMENTS: Final[dict[Lattice, tuple[Arrangement, ...]]] = {
    "orthogonal": ("planar", "cubic", "layered"),
    "hexagonal": ("planar", "layered"),
}
"""Arrangements on each lattice, drawn with equal probability."""

# Squared length of the unique axis: any value that no operation can confuse with an axis in the plane.
_UNIQUE_SQUARED_LENGTH = 7

# The series has 11 terms per axis; 32 points resolve its ripples and are fast to transform.
_GRID = 32

_MAX_DRAWS = 100_000


@dataclass(frozen=True)
class OscillatorRecipe:
    """Settings of the damped-oscillator sets.

    Attributes:
        amplitude_range: lowest and highest amplitude A.
        damping_range: lowest and highest damping d [1/shell].
        frequency_range: lowest and highest frequency omega [rad/shell].
        max_negative_share: largest sum(max(-I, 0)) / sum(max(I, 0)) of I_SRO over the Brillouin zone; small negative
            values come from truncating the series at five cells.
    """

    amplitude_range: tuple[float, float] = (0.6, 1.5)
    damping_range: tuple[float, float] = (0.1, 1.2)
    # Deviation: the paper draws from 0-1 and its published code from 1-2; this range covers both.
    frequency_range: tuple[float, float] = (0.0, 2.0)
    max_negative_share: float = 0.15

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: A field is outside its range.
        """
        for name in ("amplitude_range", "damping_range", "frequency_range"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high < np.inf:
                raise InputError(f"{name} is {(low, high)}; expected 0 <= lowest <= highest, both finite")
        if not 0.0 <= self.max_negative_share <= 1.0:
            raise InputError(f"max_negative_share is {self.max_negative_share}; expected 0 to 1")


@dataclass(frozen=True)
class DampedOscillator:
    """Oscillator alpha(x) = A exp(-d x) cos(omega x) over shells x = 1, 2, ..., with alpha(0) = 1 (equation 7).

    Attributes:
        amplitude: A.
        damping: d [1/shell].
        frequency: omega [rad/shell].
    """

    amplitude: float
    damping: float
    frequency: float

    def __call__(self, shells: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the parameters of an array of shell numbers, any shape."""
        values = self.amplitude * np.exp(-self.damping * shells) * np.cos(self.frequency * shells)
        return np.where(shells == 0, 1.0, values)


def draw_oscillator(rng: np.random.Generator, recipe: OscillatorRecipe) -> DampedOscillator:
    """Draw an oscillator with amplitude, damping and frequency uniform in the recipe's ranges."""
    amplitude, damping, frequency = (
        float(rng.uniform(*limits))
        for limits in (recipe.amplitude_range, recipe.damping_range, recipe.frequency_range)
    )
    return DampedOscillator(amplitude, damping, frequency)


def integer_metric(lattice: Lattice, arrangement: Arrangement, unique_axis: int) -> npt.NDArray[np.int64]:
    """Return a metric tensor (3, 3) of whole numbers that has the symmetry of lattice and arrangement.

    Raises:
        InputError: The arrangement does not exist on the lattice.
    """
    if arrangement not in ARRANGEMENTS.get(lattice, ()):
        raise InputError(f"the order is {arrangement} on {lattice} axes; expected one of {ARRANGEMENTS}")
    metric = 2 * np.eye(3, dtype=np.int64)
    if arrangement == "cubic":
        return metric
    metric[unique_axis, unique_axis] = _UNIQUE_SQUARED_LENGTH
    if lattice == "hexagonal":
        # a . c = a^2 cos(120 degrees)
        first, second = (axis for axis in range(3) if axis != unique_axis)
        metric[first, second] = metric[second, first] = -1
    return metric


def point_group(metric: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the point group of a metric G as matrices (operations, 3, 3) on (i, j, k): all R with R^T G R = G.

    Entries of -1, 0 and 1 suffice for the reduced cells of `integer_metric`. The result is 4/mmm (16 operations),
    6/mmm (24) or m-3m (48).
    """
    matrices = np.array(list(product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    kept = np.all(matrices.transpose(0, 2, 1) @ metric @ matrices == metric, axis=(1, 2))
    return matrices[kept]


@lru_cache(maxsize=16)
def neighbour_shells(
    lattice: Lattice, arrangement: Arrangement, unique_axis: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the shell number of every vector of equation 6.

    Shells are counted on the infinite lattice, so the number is right even if a shell extends beyond the box. Two
    orbits of the same length, such as (5, 0) and (4, 3) on a square, share a shell.

    Args:
        lattice: Kind of lattice.
        arrangement: Kind of order.
        unique_axis: 0, 1 or 2 for a, b or c.

    Returns:
        Three read-only tables (11, 11, 11): the shell of the vector's component in the plane, or of the whole
        vector if cubic; its layer along the unique axis, 0 if cubic; True if the box contains its whole orbit.
    """
    metric = integer_metric(lattice, arrangement, unique_axis)
    in_plane = np.ones(3, dtype=np.int64)
    if arrangement != "cubic":
        in_plane[unique_axis] = 0

    def squared_lengths(reach: int) -> npt.NDArray[np.int64]:
        steps = np.arange(-reach, reach + 1)
        vectors = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1) * in_plane
        lengths: npt.NDArray[np.int64] = np.einsum("...i,ij,...j->...", vectors, metric, vectors)
        return lengths

    # Vectors up to twice the box's reach include every length up to the longest in the box, in all three metrics.
    in_box = squared_lengths(MAX_INDEX)
    shells = np.searchsorted(np.unique(squared_lengths(2 * MAX_INDEX)), in_box)
    steps = np.arange(-MAX_INDEX, MAX_INDEX + 1)
    vectors = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    along = np.zeros_like(shells) if arrangement == "cubic" else np.abs(vectors[..., unique_axis])
    images = np.einsum("nij,...j->n...i", point_group(metric), vectors)
    complete = np.all(np.abs(images) <= MAX_INDEX, axis=(0, -1))
    for table in (shells, along, complete):
        table.flags.writeable = False
    return shells, along, complete


def oscillator_alphas(
    lattice: Lattice,
    arrangement: Arrangement,
    unique_axis: int,
    oscillator: DampedOscillator,
    along_axis: DampedOscillator | None = None,
) -> npt.NDArray[np.float64]:
    """Return parameters (11, 11, 11) from equation 7 with the symmetry of the lattice.

    Args:
        lattice: Kind of lattice.
        arrangement: Kind of order.
        unique_axis: 0, 1 or 2 for a, b or c; no effect on cubic order.
        oscillator: Oscillator over the shells of the plane, or of the cubic lattice.
        along_axis: Oscillator over the layers along the unique axis; for layered order only.

    Returns:
        Parameters at [i + 5, j + 5, k + 5]. Orbits that extend beyond the box are set to zero; partial orbits would
        break the six-fold symmetry.

    Raises:
        InputError: The arrangement does not exist on the lattice, or `along_axis` is missing or not allowed.
    """
    if (along_axis is not None) != (arrangement == "layered"):
        raise InputError(
            f"along_axis is {along_axis} for {arrangement} order; expected it for layered order only"
        )
    shells, layers, complete = neighbour_shells(lattice, arrangement, unique_axis)
    between = (layers == 0).astype(np.float64) if along_axis is None else along_axis(layers)
    return np.where(complete, oscillator(shells) * between, 0.0)


def negative_share(alphas: npt.NDArray[np.float64]) -> float:
    """Return sum(max(-I, 0)) / sum(max(I, 0)) of I_SRO (equation 3) over the Brillouin zone; 0 in a real crystal."""
    steps = np.arange(-MAX_INDEX, MAX_INDEX + 1)
    wrapped = np.zeros((_GRID, _GRID, _GRID))
    wrapped[np.ix_(steps, steps, steps)] = alphas
    intensity = np.fft.fftn(wrapped).real
    return float(np.maximum(-intensity, 0.0).sum() / np.maximum(intensity, 0.0).sum())


def is_physical(alphas: npt.NDArray[np.float64], recipe: OscillatorRecipe) -> bool:
    """Return whether all |alpha| are at most 1 and the negative share of I_SRO is within the recipe's limit."""
    return bool(np.abs(alphas).max() <= 1.0) and negative_share(alphas) <= recipe.max_negative_share


def draw_oscillator_set(
    rng: np.random.Generator, lattice: Lattice, recipe: OscillatorRecipe
) -> CorrelationSet:
    """Draw a damped-oscillator set at m_A = 0.5; repeat until it is physical.

    The arrangement and, on orthogonal axes, the unique axis are drawn only once, so that rejection favours none.

    Args:
        rng: Source of every draw.
        lattice: Kind of lattice.
        recipe: Ranges of the oscillators, and the limit on negative intensity.

    Returns:
        The set; its `kind` is lattice and arrangement, such as `hexagonal_layered`.

    Raises:
        InputError: The lattice is unknown, or no physical set was found within the recipe's ranges.
    """
    if lattice not in ARRANGEMENTS:
        raise InputError(f"the lattice is {lattice!r}; expected one of {list(ARRANGEMENTS)}")
    arrangement = ARRANGEMENTS[lattice][int(rng.integers(len(ARRANGEMENTS[lattice])))]
    unique_axis = 1 if lattice == "hexagonal" else int(rng.integers(3))
    for _ in range(_MAX_DRAWS):
        oscillator = draw_oscillator(rng, recipe)
        along_axis = draw_oscillator(rng, recipe) if arrangement == "layered" else None
        alphas = oscillator_alphas(lattice, arrangement, unique_axis, oscillator, along_axis)
        if is_physical(alphas, recipe):
            nearest = nearest_alphas(alphas)
            return CorrelationSet(alphas, 0.5, f"{lattice}_{arrangement}", True, nearest, nearest)
    raise InputError(f"no physical set in {_MAX_DRAWS} draws from {recipe}; widen the ranges")
