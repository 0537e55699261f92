"""Monte Carlo sets with point-group symmetry: equivalent nearest neighbours share one target.

Other runs have independent targets along a, b and c, so their configurations have no symmetry. Here all nearest
neighbours that a point group makes equivalent share one target, and the measured parameters are averaged over the
group, as in a crystal whose average structure has that symmetry.
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
"""Symmetry of the targets. Tetragonal (4/mmm): two of three axes are equivalent. Cubic (m-3m): all three are.
Hexagonal (6/mmm, unique axis b): [100], [001] and [101] are, on a lattice with a = c and beta = 120 degrees."""

SYMMETRIES: Final[dict[Lattice, tuple[Symmetry, ...]]] = {
    "orthogonal": ("tetragonal", "cubic"),
    "hexagonal": ("hexagonal",),
}
"""Symmetries on each lattice, drawn with equal probability; so are the two lattices."""

SYMMETRIC_KINDS = tuple(f"monte_carlo_{each}" for symmetries in SYMMETRIES.values() for each in symmetries)
"""Values of `CorrelationSet.kind` for symmetric sets."""

# With 120 degrees between a and c, a + c is as long as either.
_THIRD_IN_PLANE = np.array([[1, 0, 1]])


def sets_by_lattice(sets: Sequence[CorrelationSet]) -> dict[Lattice, tuple[CorrelationSet, ...]]:
    """Return the sets that fit each lattice, in the order given. Sets without symmetry fit every lattice.

    Raises:
        InputError: There are sets, but none fits one of the lattices.
    """
    sorted_sets: dict[Lattice, tuple[CorrelationSet, ...]] = {
        lattice: tuple(each for each in sets if lattice in each.lattices) for lattice in SYMMETRIES
    }
    for lattice, fitting in sorted_sets.items():
        if sets and not fitting:
            raise InputError(
                f"none of the {len(sets)} Monte Carlo sets fits a lattice that is {lattice};"
                " make more sets, or set symmetric_share below 1"
            )
    return sorted_sets


@lru_cache
def operations_of(symmetry: Symmetry, unique_axis: int) -> npt.NDArray[np.int64]:
    """Return the point group (m, 3, 3), read-only: 4/mmm (16 operations), m-3m (48) or 6/mmm (24)."""
    lattice: Lattice = "hexagonal" if symmetry == "hexagonal" else "orthogonal"
    arrangement: Literal["planar", "cubic"] = "cubic" if symmetry == "cubic" else "planar"
    operations = point_group(integer_metric(lattice, arrangement, unique_axis))
    operations.flags.writeable = False
    return operations


def lowest_shared_alpha(symmetry: Symmetry, m_a: float) -> float:
    """Return the lowest parameter that equivalent nearest neighbours can share at one concentration.

    On square and cubic lattices this is the bound of a single vector. The in-plane neighbours of a hexagonal lattice
    form triangles and are frustrated: at most two of a triangle's three pairs are unlike, so at most 2/3 of all pairs
    are. The share of unlike pairs is 2 m_A m_B (1 - alpha), hence alpha >= 1 - 1 / (3 m_A m_B), which is -1/3 at
    m_A = 1/2. Below m_A = 1/3 the bound of a single vector is higher and applies instead; at 1/3 both are -1/2, the
    value of the sqrt(3) x sqrt(3) order.
    """
    lowest = lowest_alpha(m_a)
    return max(lowest, 1.0 - 1.0 / (3.0 * m_a * (1.0 - m_a))) if symmetry == "hexagonal" else lowest


def symmetric_targets(
    symmetry: Symmetry, unique_axis: int, m_a: float, shared: float, along_axis: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return lattice vectors (k, 3), starting with [100], [010], [001], and their targets (k,) for `order_lattice`.

    Args:
        symmetry: Symmetry of the targets.
        unique_axis: 0, 1 or 2 for a, b or c; must be 1 if hexagonal; no effect if cubic.
        m_a: Share of A.
        shared: Target shared by equivalent neighbours.
        along_axis: Target along the unique axis; no effect if cubic.

    Raises:
        InputError: The shared target is out of the possible range, or the unique axis of a hexagonal lattice is not b.
    """
    if symmetry == "hexagonal" and unique_axis != 1:
        raise InputError(f"the unique axis is {unique_axis} on a hexagonal lattice; expected 1, that is b")
    lowest = lowest_shared_alpha(symmetry, m_a)
    if not lowest <= shared <= 1.0:
        raise InputError(
            f"the shared target is {shared}; expected {lowest:.4f} to 1 for {symmetry} neighbours at m_A = {m_a}"
        )
    targets = np.full(3, shared)
    if symmetry != "cubic":
        targets[unique_axis] = along_axis
    if symmetry == "hexagonal":
        return np.concatenate([NEAREST, _THIRD_IN_PLANE]), np.append(targets, shared)
    return NEAREST, targets


def draw_symmetric_set(rng: np.random.Generator, m_a: float, recipe: MonteCarloRecipe) -> CorrelationSet:
    """Draw a symmetry and its targets, run the Monte Carlo, and average the parameters over the point group.

    Args:
        rng: Source of every draw.
        m_a: Share of A, corresponding to a whole number of molecules.
        recipe: Settings of the run.

    Returns:
        The set; its `kind` is one of `SYMMETRIC_KINDS`.
    """
    lattice = tuple(SYMMETRIES)[int(rng.integers(len(SYMMETRIES)))]
    symmetry = SYMMETRIES[lattice][int(rng.integers(len(SYMMETRIES[lattice])))]
    unique_axis = int(rng.integers(3)) if symmetry == "tetragonal" else 1
    shared, along_axis = (
        float(rng.uniform(lowest * recipe.lower_bound_share, recipe.target_max))
        for lowest in (lowest_shared_alpha(symmetry, m_a), lowest_alpha(m_a))
    )
    vectors, targets = symmetric_targets(symmetry, unique_axis, m_a, shared, along_axis)
    occupation, converged = order_lattice(m_a, targets, recipe, int(rng.integers(2**63)), vectors)
    alphas = measure_alphas(occupation, operations_of(symmetry, unique_axis))
    return CorrelationSet(
        alphas, m_a, f"monte_carlo_{symmetry}", converged, targets[:3], nearest_alphas(alphas)
    )
