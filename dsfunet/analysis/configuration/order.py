"""A configuration with wanted correlations, by Monte Carlo to all of them at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.analysis.configuration.possible import nearest_possible
from dsfunet.analysis.configuration.sites import Supercell
from dsfunet.analysis.configuration.wanted import WantedCorrelations
from dsfunet.errors import InputError

AIM = 0.1
"""Largest root-mean-square deviation of the alphas, in standard uncertainties, of a run that has met them."""

_PATIENCE = 50
"""Sweeps in which chi must fall by a thousandth, or the run has come as near as it can."""

_LONGEST = 10
"""The ordering ends after this many times the sweeps asked for, even if chi still falls."""

_ROOM = 3.0
"""Number of exchanges that a deviation by the aim must have room for; finer uncertainties are widened."""

Report = Callable[[str, int, float], None]
"""Called after each sweep with what is being done, its number, and chi."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """Two species on the sites of a supercell, and how its correlations compare with those wanted.

    Attributes:
        supercell: the sites.
        occupation: 1 where a site holds A, 0 where it holds B, shape (sites,).
        wanted: the alphas asked for.
        alphas: those of this configuration, each the mean over its orbit, shape (orbits,).
        spreads: standard deviation over the vectors of each orbit, shape (orbits,).
        sigmas: what deviations were weighed by: the standard uncertainties, widened where the supercell is too small
            to meet them, shape (orbits,).
        chi: root-mean-square deviation in units of `sigmas`.
        possible: the nearest alphas that any crystal can have, shape (orbits,).
        sweeps_to_meet: sweeps, of one attempted exchange for each site, until `chi` fell below `AIM`; None if it did
            not.
        sweeps: all sweeps.
        accepted: share of the attempted exchanges that were accepted after the alphas were met; at a share near 0 the
            configuration hardly forgets how it was reached.
        seed: of the run.
    """

    supercell: Supercell
    occupation: npt.NDArray[np.int8]
    wanted: WantedCorrelations
    alphas: Array
    spreads: Array
    sigmas: Array
    chi: float
    possible: Array
    sweeps_to_meet: int | None
    sweeps: int
    accepted: float
    seed: int

    @property
    def share_a(self) -> float:
        """Share of A."""
        return float(self.occupation.mean())

    @property
    def is_met(self) -> bool:
        """Whether the configuration has the alphas within a fraction `AIM` of their uncertainties."""
        return self.sweeps_to_meet is not None

    @property
    def is_possible(self) -> bool:
        """Whether some non-negative I_SRO has the alphas within their uncertainties."""
        return self.chi_possible <= 1.0

    @property
    def chi_possible(self) -> float:
        """Root-mean-square deviation of the nearest possible alphas from those wanted, in `sigmas`."""
        return _chi(self.possible - self.wanted.values, self.sigmas)


def order_configuration(
    wanted: WantedCorrelations,
    cells: tuple[int, int, int],
    concentration: float | None = None,
    seed: int = 0,
    sweeps: int = 150,
    report: Report | None = None,
) -> Configuration:
    """Order a supercell until it has all wanted alphas, each as the mean over its orbit.

    From a random configuration, A and B change sites if chi, the root-mean-square deviation of the alphas in standard
    uncertainties, then stays below a limit, or does not rise. The limit is lowered from sweep to sweep, to 0.1, and
    then stays. So the run ends with a random walk through all configurations with these alphas, each as probable as the
    others. The result is the most disordered crystal with these alphas: vectors without a wanted alpha have what
    follows from the others, and nothing more.

    Args:
        wanted: of `read_wanted`.
        cells: numbers of conventional cells along a, b and c.
        concentration: share of A, strictly between 0 and 1; None takes that of `wanted`.
        seed: of the run, 0 or more. The same seed gives the same configuration.
        sweeps: in which the limit is lowered, 1 or more; in one sweep an exchange is tried for each site. The run
            goes on until chi is below 0.1, or falls no further, and then for half as many sweeps.
        report: called after each sweep.

    Raises:
        InputError: no concentration is known, one of the species would be absent, the supercell is too small for the
            vectors or too large, or numba is not installed.

    Examples:
        Atoms on a simple cubic lattice that avoid like neighbours:

        >>> import numpy as np
        >>> from dsfunet.analysis.configuration import WantedAlpha, WantedCorrelations, order_configuration
        >>> from dsfunet.physics import Cell
        >>> nearest = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        >>> alpha = WantedAlpha((1, 0, 0), np.concatenate([nearest, -nearest]), -0.15, 0.002)
        >>> wanted = WantedCorrelations(Cell(4, 4, 4), "m-3m", (alpha,))
        >>> found = order_configuration(wanted, (16, 16, 16), concentration=0.4, sweeps=10)
        >>> found.is_met, f"{found.alphas[0]:.2f}"
        (True, '-0.15')
    """
    supercell = Supercell(wanted.cell, cells)
    share = wanted.concentration if concentration is None else concentration
    if share is None:
        raise InputError(
            "the refinement does not say how much of the sites A holds, which intensities do not tell; add"
            " --concentration, the share of A"
        )
    total = len(supercell.positions)
    count_a = round(share * total) if math.isfinite(share) else 0
    if not 0 < share < 1 or not 0 < count_a < total:
        raise InputError(
            f"--concentration is {share:g}; expected a share of A between 0 and 1, with both species"
        )
    if sweeps < 1:
        raise InputError(f"--sweeps is {sweeps}; expected 1 or more")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed is {seed}; expected a whole number from 0 to below 2^63")
    supercell.check_reach(wanted)
    run = _Run(supercell, wanted, count_a, seed)
    met = run.meet(sweeps, report)
    accepted = run.walk(sweeps // 2, report) if met is not None else 0.0
    found = supercell.measure_alphas(run.occupation)
    members = [found[tuple((alpha.numerators % supercell.grid).T)] for alpha in wanted.alphas]
    means = np.array([each.mean() for each in members])
    return Configuration(
        supercell=supercell,
        occupation=run.occupation,
        wanted=wanted,
        alphas=means,
        spreads=np.array([each.std() for each in members]),
        sigmas=run.sigmas,
        chi=_chi(means - wanted.values, run.sigmas),
        possible=nearest_possible(wanted, cells, run.sigmas, count_a / total),
        sweeps_to_meet=met,
        sweeps=run.sweeps,
        accepted=accepted,
        seed=seed,
    )


class _Run:
    """The state of a Monte Carlo run."""

    def __init__(self, supercell: Supercell, wanted: WantedCorrelations, count_a: int, seed: int) -> None:
        try:
            from dsfunet.physics.site_exchange import exchange_sites, shuffle_sites
        except ModuleNotFoundError as error:
            raise InputError(
                "the package numba is not installed; install it with pip install 'dsfunet[configuration]'"
            ) from error
        self._exchange = exchange_sites
        self._total, self._count_a = len(supercell.positions), count_a
        share = count_a / self._total
        sizes = np.array([len(alpha.numerators) for alpha in wanted.alphas])
        # One of each pair of opposite vectors is counted.
        self._pairs_per_alpha = sizes / 2 * self._total * share * (1 - share)
        self.sigmas = _weighing_sigmas(wanted.uncertainties, sizes, self._total, share)
        self._weights = 1 / (self.sigmas * self._pairs_per_alpha) ** 2
        self._state = np.array([seed], np.uint64)
        self._sites = shuffle_sites(self._total, self._state)
        self.occupation = np.zeros(self._total, np.int8)
        self.occupation[self._sites[:count_a]] = 1
        self._neighbours = supercell.neighbours(np.concatenate([alpha.numerators for alpha in wanted.alphas]))
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        random = sizes / 2 * self._total * share**2
        self._excess = self._count_pairs() - random - wanted.values * self._pairs_per_alpha
        self._no_slack = np.zeros(len(sizes))
        self.sweeps = 0

    @property
    def chi(self) -> float:
        return float(np.sqrt(np.sum(self._weights * self._excess**2) / len(self._excess)))

    def meet(self, sweeps: int, report: Report | None) -> int | None:
        """Order the sites until chi is at most `AIM`; return the number of sweeps, or None if chi falls no further."""
        history = [self.chi]
        while history[-1] > AIM:
            if len(history) > _LONGEST * sweeps + _PATIENCE:
                return None
            if len(history) > sweeps + _PATIENCE and history[-1] > 0.999 * history[-_PATIENCE]:
                return None
            # An abrupt fall of the limit would freeze domains.
            step = min(len(history) / sweeps, 1.0)
            self._sweep(history[0] ** (1 - step) * AIM**step)
            history.append(self.chi)
            if report is not None:
                report("ordering", self.sweeps, history[-1])
        return self.sweeps

    def walk(self, sweeps: int, report: Report | None) -> float:
        """Walk at random through configurations with these alphas; return the accepted share of the attempts."""
        accepted = 0
        for number in range(sweeps):
            accepted += self._sweep(AIM)
            if report is not None:
                report("mixing", number + 1, self.chi)
        return accepted / (sweeps * self._total) if sweeps else 0.0

    def _sweep(self, limit: float) -> int:
        """Try as many exchanges as there are sites, with a limit of chi; return how many were accepted."""
        accepted, _ = self._exchange(
            self.occupation,
            self._sites,
            self._count_a,
            self._neighbours,
            self._starts,
            self._excess,
            self._weights,
            self._no_slack,
            limit**2 * len(self._excess),
            self._total,
            self._state,
        )
        self.sweeps += 1
        return int(accepted)

    def _count_pairs(self) -> Array:
        """Count the AA pairs of each orbit."""
        counts = np.zeros(len(self._starts) - 1)
        around_a = self._neighbours[self._sites[: self._count_a]]
        for group, (first, last) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            counts[group] = self.occupation[around_a[:, first:last]].sum(dtype=np.int64) / 2
        return counts


def _weighing_sigmas(uncertainties: Array, sizes: Array, total: int, share: float) -> Array:
    """Return what deviations are weighed by: the uncertainties, as far as single exchanges leave room for them."""
    known = uncertainties[np.isfinite(uncertainties)]
    # One exchange changes the pairs of an orbit by about sqrt(4 n m_A m_B).
    step = np.sqrt(4 * sizes * share * (1 - share)) / (sizes / 2 * total * share * (1 - share))
    finest: Array = _ROOM * step / AIM
    return np.maximum(np.where(np.isfinite(uncertainties), uncertainties, known.max(initial=0.0)), finest)


def _chi(deviations: Array, sigmas: Array) -> float:
    return float(np.sqrt(np.mean((deviations / sigmas) ** 2)))
