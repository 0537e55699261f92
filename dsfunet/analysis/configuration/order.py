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
"""Root-mean-square deviation of the alphas, in standard uncertainties, at which a run aims."""

MET = 0.5
"""The largest with which a configuration is said to have the alphas."""

_PATIENCE = 50
"""Sweeps in which chi must fall by a thousandth, or the run has come as near as it can."""

_LONGEST = 10
"""The ordering ends after this many times the sweeps asked for, even if chi still falls."""

_ROOM = 3.0
"""Number of exchanges that a deviation by the aim has room for while sites are ordered and mixed."""

_FINISHING = 100
"""Most sweeps without that room, at the end."""

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
        sigmas: what deviations are weighed by: the standard uncertainties, or more where a single pair changes an alpha
            by more, shape (orbits,).
        chi: root-mean-square deviation in units of `sigmas`.
        possible: the nearest alphas that any crystal can have, shape (orbits,).
        ordered: whether the limit of the deviations fell to the end; if not, the sites were not mixed.
        sweeps: of one attempted exchange for each site, in all.
        accepted: share of the attempted exchanges that were accepted while the sites were mixed; at a share near 0 the
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
    ordered: bool
    sweeps: int
    accepted: float
    seed: int

    @property
    def share_a(self) -> float:
        """Share of A."""
        return float(self.occupation.mean())

    @property
    def is_met(self) -> bool:
        """Whether the configuration has the alphas: the root-mean-square deviation is at most half a s.u."""
        return self.chi <= MET

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
    then stays: a random walk through all configurations with these alphas, each as probable as the others. The result
    is the most disordered crystal with these alphas: vectors without a wanted alpha have what follows from the others,
    and nothing more. Where 0.1 s.u. leaves no room for single exchanges, the limit is higher, and a few last sweeps
    without a limit do the rest.

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
    total = supercell.count
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
    ordered = run.order(sweeps, report)
    accepted = 0.0
    if ordered:
        accepted = run.mix(sweeps // 2, report)
        run.finish(report)
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
        ordered=ordered,
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
        self._total, self._count_a = supercell.count, count_a
        share = count_a / self._total
        sizes = np.array([len(alpha.numerators) for alpha in wanted.alphas])
        # One of each pair of opposite vectors is counted.
        self._pairs_per_alpha = sizes / 2 * self._total * share * (1 - share)
        known = np.isfinite(wanted.uncertainties)
        sigmas = np.where(known, wanted.uncertainties, np.max(wanted.uncertainties, initial=0.0, where=known))
        self.sigmas = np.maximum(sigmas, 0.5 / self._pairs_per_alpha / AIM)
        # One exchange changes the pairs of an orbit by about sqrt(4 n m_A m_B).
        exchange = np.sqrt(4 * sizes * share * (1 - share)) / self._pairs_per_alpha
        self._weigh_by(np.maximum(sigmas, _ROOM * exchange / AIM))
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

    def order(self, sweeps: int, report: Report | None) -> bool:
        """Lower the limit of chi to `AIM`; return whether chi followed, or fell no further."""
        history = [self.chi]
        while history[-1] > AIM:
            if len(history) > _LONGEST * sweeps + _PATIENCE:
                return False
            if len(history) > sweeps + _PATIENCE and history[-1] > 0.999 * history[-_PATIENCE]:
                return False
            # An abrupt fall of the limit would freeze domains.
            step = min(len(history) / sweeps, 1.0)
            self._sweep(history[0] ** (1 - step) * AIM**step, "ordering", report)
            history.append(self.chi)
        return True

    def mix(self, sweeps: int, report: Report | None) -> float:
        """Walk at random through configurations with these alphas; return the accepted share of the attempts."""
        accepted = sum(self._sweep(AIM, "mixing", report) for _ in range(sweeps))
        return accepted / (sweeps * self._total) if sweeps else 0.0

    def finish(self, report: Report | None) -> None:
        """Remove what the room for exchanges left of the deviations."""
        self._weigh_by(self.sigmas)
        for _ in range(_FINISHING):
            if self.chi <= AIM:
                return
            self._sweep(-1.0, "finishing", report)

    def _weigh_by(self, sigmas: Array) -> None:
        self._weights = 1 / (sigmas * self._pairs_per_alpha) ** 2

    def _sweep(self, limit: float, doing: str, report: Report | None) -> int:
        """Try as many exchanges as there are sites, with a limit of chi; return how many were accepted.

        A negative limit allows no exchange that raises chi.
        """
        accepted, _ = self._exchange(
            self.occupation,
            self._sites,
            self._count_a,
            self._neighbours,
            self._starts,
            self._excess,
            self._weights,
            self._no_slack,
            limit * abs(limit) * len(self._excess),
            self._total,
            self._state,
        )
        self.sweeps += 1
        if report is not None:
            report(doing, self.sweeps, self.chi)
        return int(accepted)

    def _count_pairs(self) -> Array:
        """Count the AA pairs of each orbit."""
        counts = np.zeros(len(self._starts) - 1)
        around_a = self._neighbours[self._sites[: self._count_a]]
        for group, (first, last) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            counts[group] = self.occupation[around_a[:, first:last]].sum(dtype=np.int64) / 2
        return counts


def _chi(deviations: Array, sigmas: Array) -> float:
    return float(np.sqrt(np.mean((deviations / sigmas) ** 2)))
