"""Monte Carlo sets whose targets the lattice's symmetry ties: equivalent nearest neighbours share one.

Untied runs order a, b and c each in its own way, and every configuration is as asymmetric as its draw. Here
one target goes to all nearest neighbours that a point group makes equivalent, and the measured parameters
are averaged over the group, as those of a crystal whose average structure has that symmetry are.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from simulate.correlations.monte_carlo import NEAREST, MonteCarloRecipe, lowest_alpha, order_lattice
from simulate.correlations.oscillators import Lattice, integer_metric, point_group
from simulate.correlations.sets import CorrelationSet, measure_alphas, nearest_alphas

Symmetry = Literal["tetragonal", "cubic", "hexagonal"]
"""What ties the targets: two of three axes (4/mmm), all three (m-3m), or [100], [001] and [101] of a lattice whose
a and c are equal and enclose 120 degrees (6/mmm, unique axis b)."""

SYMMETRIES: Final[dict[Lattice, tuple[Symmetry, ...]]] = {
    "orthogonal": ("tetragonal", "cubic"),
    "hexagonal": ("hexagonal",),
}
"""Symmetries on each lattice, all equally often; the two lattices are drawn equally often too."""

SYMMETRIC_KINDS = tuple(f"monte_carlo_{each}" for symmetries in SYMMETRIES.values() for each in symmetries)
"""Kinds of the sets made here, as `CorrelationSet.kind`."""

# a + c: with 120 degrees between them as long as a and c.
_THIRD_IN_PLANE = np.array([[1, 0, 1]])


def sets_by_lattice(sets: Sequence[CorrelationSet]) -> dict[Lattice, tuple[CorrelationSet, ...]]:
    """For each lattice, those of some sets that are meaningful on it, in the order given.

    Without a tied set among them that is all of them, for either lattice.

    Raises:
        InputError: There are sets, but none for one of the lattices.
    """
    sorted_sets: dict[Lattice, tuple[CorrelationSet, ...]] = {
        lattice: tuple(each for each in sets if lattice in each.lattices) for lattice in SYMMETRIES
    }
    for lattice, fitting in sorted_sets.items():
        if sets and not fitting:
            raise InputError(
                f"None of {len(sets)} Monte Carlo sets goes with a lattice that is {lattice};"
                " expected more sets, or a symmetric_share below 1."
            )
    return sorted_sets


@lru_cache
def operations_of(symmetry: Symmetry, unique_axis: int) -> npt.NDArray[np.int64]:
    """The point group (m, 3, 3): 4/mmm (16 operations), m-3m (48) or 6/mmm (24); read-only."""
    lattice: Lattice = "hexagonal" if symmetry == "hexagonal" else "orthogonal"
    arrangement: Literal["planar", "cubic"] = "cubic" if symmetry == "cubic" else "planar"
    operations = point_group(integer_metric(lattice, arrangement, unique_axis))
    operations.flags.writeable = False
    return operations


def lowest_tied_alpha(symmetry: Symmetry, m_a: float) -> float:
    """Lowest parameter that equivalent nearest neighbours can share at one concentration.

    On square and cubic lattices it is that of any vector. The three in-plane neighbours of a hexagonal lattice form
    triangles, which frustrates: of the three pairs of a triangle at most two are unlike, and every pair is in
    as many triangles as any other, so no more than 2/3 of the pairs are unlike. As 2 m_A m_B (1 - alpha) of
    them are, alpha >= 1 - 1 / (3 m_A m_B): -1/3 at m_A = 1/2. Below m_A = 1/3 the bound of a single vector is
    the higher one, and stands; at 1/3 both are -1/2, of the sqrt(3) x sqrt(3) order.
    """
    lowest = lowest_alpha(m_a)
    return max(lowest, 1.0 - 1.0 / (3.0 * m_a * (1.0 - m_a))) if symmetry == "hexagonal" else lowest


def tied_targets(
    symmetry: Symmetry, unique_axis: int, m_a: float, tied: float, along_axis: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Lattice vectors (k, 3), first [100], [010] and [001], and the target of each (k,), for `order_lattice`.

    Args:
        symmetry: What ties the targets.
        unique_axis: 0, 1 or 2 for a, b or c; 1 where hexagonal; without effect where cubic.
        m_a: Share of A.
        tied: The target shared by equivalent neighbours.
        along_axis: The target along the unique axis; without effect where cubic.

    Raises:
        InputError: The tied target is below what symmetry and concentration allow, or a hexagonal unique axis is not b.
    """
    if symmetry == "hexagonal" and unique_axis != 1:
        raise InputError(f"The unique axis is {unique_axis} on a hexagonal lattice; expected 1, that is b.")
    lowest = lowest_tied_alpha(symmetry, m_a)
    if not lowest <= tied <= 1.0:
        raise InputError(
            f"The tied target is {tied}; expected {lowest:.4f} to 1 for {symmetry} neighbours at m_A = {m_a}."
        )
    targets = np.full(3, tied)
    if symmetry != "cubic":
        targets[unique_axis] = along_axis
    if symmetry == "hexagonal":
        return np.concatenate([NEAREST, _THIRD_IN_PLANE]), np.append(targets, tied)
    return NEAREST, targets


def draw_symmetric_set(rng: np.random.Generator, m_a: float, recipe: MonteCarloRecipe) -> CorrelationSet:
    """A symmetry, its one or two targets, one run, and parameters that have the symmetry exactly.

    Args:
        rng: Source of every draw.
        m_a: Share of A, a whole number of molecules.
        recipe: How the run is made.

    Returns:
        The set; its `kind` is one of `SYMMETRIC_KINDS`.
    """
    lattice = tuple(SYMMETRIES)[int(rng.integers(len(SYMMETRIES)))]
    symmetry = SYMMETRIES[lattice][int(rng.integers(len(SYMMETRIES[lattice])))]
    unique_axis = int(rng.integers(3)) if symmetry == "tetragonal" else 1
    tied, along_axis = (
        float(rng.uniform(lowest * recipe.lower_bound_share, recipe.target_max))
        for lowest in (lowest_tied_alpha(symmetry, m_a), lowest_alpha(m_a))
    )
    vectors, targets = tied_targets(symmetry, unique_axis, m_a, tied, along_axis)
    occupation, converged = order_lattice(m_a, targets, recipe, int(rng.integers(2**63)), vectors)
    alphas = measure_alphas(occupation, operations_of(symmetry, unique_axis))
    return CorrelationSet(
        alphas, m_a, f"monte_carlo_{symmetry}", converged, targets[:3], nearest_alphas(alphas)
    )
