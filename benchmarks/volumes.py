"""`python -m benchmarks.volumes`: factorise whole volumes of virtual crystals that another forward model made.

The crystals of `tests.virtual_crystals` (explicit sites, Monte Carlo with pair energies, counted pairs) are measured as
volumes, each with its own configurations and noise: complete with 2,000 counts in the brightest voxel, and with 30 %
missing (a cone, a shadow, the beam stop, Bragg positions) and 200 counts. Each is fitted without any structure, network
or symmetry but Friedel's law. The correlations of the eight shortest shells are compared with counted pairs, both
factors with the truth. The constants of the fit were set on seeds 0 to 4, and the share of order that is uncertain in
holes of all zones on seeds 0 and 100 to 109; the page is of seeds from 200 on. Writes benchmarks/volumes.md and prints
it.

Time is that of reading, averaging and fitting on one core, without the search for the centring.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.pages import write_page
from dsfunet._typing import Array
from dsfunet.command_parser import Parser, run_script
from dsfunet.environment import describe_machine
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.threads import use_one_thread
from dsfunet.lattice.volume_fit.averaging import Grid, add_overlap, read_voxels
from dsfunet.lattice.volume_fit.centring import find_centring_of_volume
from dsfunet.lattice.volume_fit.fit import fit_volume
from dsfunet.lattice.volume_fit.result import VolumeFit
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring
from tests.virtual_volumes import VirtualVolume, measure_volume

OUT = Path(__file__).parent / "volumes.md"
_FIRST_SEED = 200
_SHELLS = 8
_GRIDS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "P alloy": ((2.5, 2.5, 2.5), (1 / 14, 1 / 14, 1 / 14)),
    "I alloy": ((3, 3, 3), (1 / 14, 1 / 14, 1 / 14)),
    "F alloy": ((3, 3, 3), (1 / 14, 1 / 14, 1 / 14)),
    "molecule": ((4, 3, 4), (1 / 14, 1 / 12, 1 / 14)),
    "ring": ((4, 4, 4), (1 / 14, 1 / 14, 1 / 14)),
    "cluster": ((5, 5, 5), (1 / 12, 1 / 12, 1 / 12)),
}
"""Largest index and step along each axis [r.l.u.]."""

_SLOW = ("molecule", "ring", "cluster")

_CASES = {"complete, 2,000 counts": (2000.0, False), "30 % missing, 200 counts": (200.0, True)}


@dataclass(frozen=True, eq=False)
class Row:
    """What the fit of one volume gave.

    Attributes:
        kind: of crystal.
        case: how it was measured.
        errors: of the correlations of the shortest shells, shape (k,).
        sigmas: their standard uncertainties.
        correlation: between I_FF and its truth over all voxels.
        covered: shares of measured voxels with F and with S within one and two standard uncertainties.
        centring_found: whether the volume gave its centring; None if it was not looked for.
        seconds: processor time of the fit.
    """

    kind: str
    case: str
    errors: Array
    sigmas: Array
    correlation: float
    covered: tuple[float, float, float, float]
    centring_found: bool | None
    seconds: float


@use_one_thread
def fit_one(kind: str, case: str, seed: int, look_for_centring: bool) -> Row:
    """Measure and fit one volume."""
    brightest, missing = _CASES[case]
    reach, steps = _GRIDS[kind]
    volume = measure_volume(kind, seed, reach, steps, brightest, missing, crystal_seed=seed)
    crystal = volume.correlations.crystal
    a, b, c, beta = crystal.cell
    cell, centring = Cell(a, b, c, 90, beta, 90), cast(Centring, crystal.centring)
    start = time.process_time()
    grid = Grid.of(volume.axes)
    counts = np.where(volume.mask, volume.counts, np.nan)
    voxels = add_overlap(read_voxels(grid, lambda block: counts[block]), grid)
    fit = fit_volume(voxels, cell, centring)
    seconds = time.process_time() - start
    found: bool | None = None
    if look_for_centring:
        try:
            found = find_centring_of_volume(voxels, cell).centring == centring
        except InputError:
            found = False
    shown = fit.vectors.lengths <= _shell_radius(fit)
    numerators = np.rint(2 * fit.vectors.vectors[shown]).astype(int)
    truth = np.array([volume.correlations.count_pairs((h, k, l)) for h, k, l in numerators.tolist()])  # noqa: E741
    sigmas = fit.sigmas[: len(truth)]
    correlation, covered = _compare_factors(fit, grid, volume)
    return Row(kind, case, fit.alphas[: len(truth)] - truth, sigmas, correlation, covered, found, seconds)


def _shell_radius(fit: VolumeFit) -> float:
    """Return the length of the vectors of the last shell that is compared."""
    lengths = np.unique(np.round(fit.vectors.lengths, 3))
    return float(lengths[min(_SHELLS, len(lengths)) - 1]) + 1e-2


def _compare_factors(
    fit: VolumeFit, grid: Grid, volume: VirtualVolume
) -> tuple[float, tuple[float, float, float, float]]:
    """Return the correlation of F with the truth, and how often F and S lie within one and two sigmas of it."""
    found = fit.evaluate(slice(grid.overlap, grid.overlap + len(grid.axes[0]) - grid.first))
    form_factor, order, mask = (
        each[grid.first :] for each in (volume.form_factor, volume.order, volume.mask)
    )
    shares = []
    for values, sigma, truth in (
        (found.form_factor, found.form_factor_sigma, form_factor),
        (found.short_range_order, found.short_range_order_sigma, order),
    ):
        away = np.abs(values - truth)[mask] / sigma[mask]
        shares += [float(np.mean(away < 1)), float(np.mean(away < 2))]
    correlation = float(np.corrcoef(found.form_factor.reshape(-1), form_factor.reshape(-1))[0, 1])
    return correlation, (shares[0], shares[1], shares[2], shares[3])


def _fit(job: tuple[str, str, int, bool]) -> Row:
    return fit_one(*job)


def fit_all(jobs: Sequence[tuple[str, str, int, bool]], processes: int) -> Iterator[Row]:
    """Fit volumes by kind, case, seed and whether to look for the centring; report each, because a run takes long."""
    with get_context("spawn").Pool(processes) as pool:
        for row in pool.imap(_fit, jobs):
            pulls = row.errors / row.sigmas
            print(
                f"{row.kind}, {row.case}: rms pull {_rms(pulls):.2f}, largest error {np.abs(row.errors).max():.4f},"
                f" {row.seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            yield row


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def tables(rows: Sequence[Row]) -> list[str]:
    """Format the rows as a Markdown table with a line for each kind and case."""
    lines = [
        "| crystal | volumes | rms pull | within 3 s.u. or 0.001 | largest error | largest s.u. | least correlation of"
        " I_FF | I_FF within 1, 2 | I_SRO within 1, 2 | centring found | time [s] |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, case in dict.fromkeys((row.kind, row.case) for row in rows):
        chosen = [row for row in rows if (row.kind, row.case) == (kind, case)]
        errors, sigmas = (
            np.concatenate([getattr(row, name) for row in chosen]) for name in ("errors", "sigmas")
        )
        pulls = errors / sigmas
        good = (np.abs(pulls) <= 3) | (np.abs(errors) <= 0.001)
        covered = 100 * np.mean([row.covered for row in chosen], axis=0)
        asked = [row.centring_found for row in chosen if row.centring_found is not None]
        lines.append(
            f"| {kind}, {case} | {len(chosen)} | {_rms(pulls):.2f} | {100 * np.mean(good):.1f} % |"
            f" {np.abs(errors).max():.4f} | {sigmas.max():.4f} | {min(row.correlation for row in chosen):.4f} |"
            f" {covered[0]:.0f} %, {covered[1]:.0f} % | {covered[2]:.0f} %, {covered[3]:.0f} % |"
            f" {f'{sum(asked)} of {len(asked)}' if asked else 'not asked'} |"
            f" {np.mean([row.seconds for row in chosen]):.1f} |"
        )
    return lines


def page(rows: Sequence[Row], first_seed: int) -> list[str]:
    """Format the page."""
    return [
        "# Whole volumes",
        "",
        "Written by `python -m benchmarks.volumes`, whose text says what was measured.",
        "",
        f"Machine: {describe_machine('cpu')}.",
        "",
        f"Seeds of configurations and noise count from {first_seed}. Pulls and errors are of each correlation of the"
        f" {_SHELLS} shortest shells on its own, without any Laue class; shares within standard uncertainties are of"
        " measured voxels.",
        "",
        *tables(rows),
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Fit the volumes, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.volumes", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="volumes of each kind of alloy in each case")
    parser.add_argument(
        "--slow-seeds", type=int, default=20, help="volumes of each kind of molecule in each case"
    )
    parser.add_argument(
        "--centring-seeds", type=int, default=20, help="volumes of these whose centring is looked for"
    )
    parser.add_argument("--first-seed", type=int, default=_FIRST_SEED, help="seed of the first of them")
    parser.add_argument("--kinds", type=list[str], default=[*_GRIDS], help="kinds of crystals")
    parser.add_argument("--processes", type=int, default=1, help="volumes that are fitted at a time")
    parser.add_argument("--dry-run", action="store_true", help="print the table and write no page")
    options = parser.parse_args(args)
    for kind in options.kinds:
        if kind not in _GRIDS:
            raise InputError(f"--kinds: there is no {kind!r}; expected some of {', '.join(_GRIDS)}")
    if min(options.seeds, options.slow_seeds, options.processes) < 1:
        raise InputError("--seeds, --slow-seeds, --processes: expected 1 or more")
    jobs = [
        (kind, case, options.first_seed + place, place < options.centring_seeds)
        for place in range(max(options.seeds, options.slow_seeds))
        for kind in options.kinds
        for case in _CASES
        if place < (options.slow_seeds if kind in _SLOW else options.seeds)
    ]
    rows = [*fit_all(jobs, options.processes)]
    if options.dry_run:
        print("\n".join(tables(rows)))
        return 0
    write_page(OUT, page(rows, options.first_seed))
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.volumes")
