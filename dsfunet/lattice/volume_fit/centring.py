"""The centring that a volume itself shows: fits on a small subset, judged by how well each pays for its parameters."""

from dataclasses import dataclass

import numpy as np

from dsfunet.errors import InputError
from dsfunet.lattice.centring_candidates import list_candidates
from dsfunet.lattice.volume_fit.fit import Progress, Subset, prepare_subset
from dsfunet.lattice.volume_fit.iteration import Solution
from dsfunet.lattice.volume_fit.model import Noise, linearise
from dsfunet.lattice.volume_fit.noise import estimate_noise
from dsfunet.lattice.volume_fit.voxels import Voxels
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring

_SUBSET = 250_000
_VECTORS = 1000
_ROUNDS = 7
_EXPLAINED = 1.6  # chi-squared of a centring that explains a volume in a short fit with few correlations
_DECISIVE = 1.1  # chi-squared of the next best, in that of the best, where none explains it
_SHORTEST = 10  # vectors that a centring adds to the primitive lattice
_SEEN = 5.0  # least root mean square of their correlations, in standard uncertainties
_CONVINCING = 20.0  # gain of the criterion that a larger set of lattice vectors must bring


@dataclass(frozen=True)
class CentringEvidence:
    """How a volume decided between centrings.

    Attributes:
        centring: the one that explains it.
        chi_squared: of the fit with each candidate that could be fitted.
        criterion: Bayesian information criterion of each, above that of the best.
    """

    centring: Centring
    chi_squared: dict[Centring, float]
    criterion: dict[Centring, float]


def find_centring_of_volume(
    voxels: Voxels, cell: Cell, seed: int = 0, progress: Progress = lambda stage, share: None
) -> CentringEvidence:
    """Find the centring with the smallest Bayesian information criterion among those that suit the cell.

    With a lattice that is too small, the form factor must follow the order from zone to zone, which costs thousands of
    its modes, or leaves misfit. One that is too large brings correlations that are all 0: a centring whose translations
    join no correlated sites is no candidate.

    Args:
        voxels: the data.
        cell: the conventional cell.
        seed: of the subset.
        progress: called with what is being done.

    Raises:
        InputError: no candidate can be fitted, or none explains the volume better than others.
    """
    rows = voxels.choose_rows(_SUBSET, seed)
    chi: dict[Centring, float] = {}
    cost: dict[Centring, float] = {}
    noise = estimate_noise(voxels) if voxels.precision is None else Noise(1.0)
    trouble: InputError | None = None
    quiet = lambda stage, share: None  # noqa: E731
    small = voxels.take(rows)
    for centring in list_candidates(cell):
        progress(f"centring {centring}", 0.0)
        try:
            subset = prepare_subset(small, cell, centring, _VECTORS, seed, quiet, noise=noise)
        except InputError as error:
            trouble = error
            continue
        solution = subset.solve(quiet, _ROUNDS)
        if not _shows_centring(subset, solution):
            continue
        chi[centring] = solution.chi_squared
        parameters = solution.effective + subset.problem.series.count
        independent = solution.used * small.independent
        cost[centring] = independent * solution.chi_squared + parameters * float(np.log(independent))
    if not cost:
        raise trouble or InputError("volume: no centring can be fitted; expected more zones")
    best = min(cost.values())
    first = next(iter(cost))
    chosen = first if cost[first] - best < _CONVINCING else min(cost, key=lambda each: cost[each])
    others = [value for each, value in chi.items() if each != chosen]
    if chi[chosen] > _EXPLAINED and min(others, default=0.0) < _DECISIVE * chi[chosen]:
        raise InputError(
            f"centring: the volume does not tell it (best {chosen}, with chi-squared {chi[chosen]:.2g}); state it with"
            " --centring"
        )
    return CentringEvidence(chosen, chi, {each: value - best for each, value in cost.items()})


def _shows_centring(subset: Subset, solution: Solution) -> bool:
    """Return whether the shortest vectors that a centring adds to the primitive lattice have correlations."""
    vectors = subset.problem.series.vectors
    added = np.flatnonzero((vectors.numerators % vectors.denominator).any(axis=1))[:_SHORTEST]
    if not len(added):
        return True
    order_sum = linearise(subset.taken(), solution.state, fixed_field=True).order_sum
    squares = solution.state.alphas[added] ** 2 * 2 * order_sum / max(solution.chi_squared, 1.0)
    return float(np.sqrt(squares.mean())) > _SEEN
