"""`python -m benchmarks.pulls`: whether the error bars of `refine` are right, by default, on crystals of another model.

Single planes of the crystals of `tests.virtual_crystals` (alloys on primitive, body-centred and face-centred lattices,
molecules, clusters and vacancies; sites ordered by Monte Carlo with pair energies, so that correlations have tails) go
through `factorize_plane` and `refine_alphas` with default options: neither structure, centring nor reach is told. Each
seed is a crystal of its own with noise of its own. The truth is the correlation of the layer by counted pairs, averaged
over configurations that symmetry makes equal. Writes benchmarks/pulls.md and prints it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.pages import write_page
from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.command_parser import Parser, run_script
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.physics import Cell
from dsfunet.physics.centring import Vector
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import (
    CRYSTALS,
    Correlations,
    average_equivalents,
    correlate,
    layer_table,
    measure,
)

OUT = Path(__file__).parent / "pulls.md"
_STEP = 1 / 24
_SHELLS = 8


@dataclass(frozen=True)
class Case:
    """One kind of crystal: its name in `tests.virtual_crystals`, and the plane that is measured.

    Attributes:
        crystal: name of the crystal.
        title: what it is like.
        laue: Laue class.
        axes: of the plane.
        reach: largest index along both axes.
    """

    crystal: str
    title: str
    laue: str
    axes: tuple[int, int]
    reach: float


CASES = (
    Case("F alloy", "Cu3Au-like alloy, F", "m-3m", (0, 1), 4.2),
    Case("I alloy", "Fe-Al-like alloy, I", "m-3m", (0, 1), 4.2),
    Case("molecule", "molecules in two orientations, P", "2/m", (0, 2), 7.0),
    Case("cluster", "clusters and vacancies, F", "m-3m", (0, 1), 6.3),
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one crystal.

    Attributes:
        pulls: errors over standard uncertainties, one for each orbit.
        errors: found minus true values.
        verdict: level of the verdict.
        centring: lattice type that was found.
        beyond_noise: R beyond noise.
    """

    pulls: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    verdict: str
    centring: str
    beyond_noise: float


def refine_crystal(case: Case, seed: int, factorizer: Factorizer) -> Outcome:
    """Measure, factorise and refine one crystal of a kind."""
    crystal = CRYSTALS[case.crystal]
    found = average_equivalents(correlate(case.crystal, seed), cubic=case.laue == "m-3m")
    plane = measure(case.crystal, seed=seed, axes=case.axes, reach=case.reach, step=_STEP, correlations=found)
    a, b, c, beta = crystal.cell
    grid = PlaneGrid(Cell(a, b, c, 90, beta, 90), PlaneName(case.axes, 0.0), plane.rows, plane.columns)
    factorization = factorize_plane(MeasuredPlane(plane.counts, grid), factorizer=factorizer)
    refinement = refine_alphas(factorization.result, RefinementSettings(laue=case.laue, shells=_SHELLS))
    errors = np.array([each.value for each in refinement.alphas])
    errors -= _truth(found, case.axes, [each.equivalents for each in refinement.alphas])
    sigmas = np.array([each.standard_uncertainty for each in refinement.alphas])
    fitted = refinement.fit.planes[0]
    beyond = max(0.0, fitted.r_factor**2 - (fitted.noise_r_factor or 0.0) ** 2) ** 0.5
    centring = refinement.settings.centring or "P"
    return Outcome(errors / sigmas, errors, factorization.verdict.level, centring, beyond)


def _truth(
    found: Correlations, axes: tuple[int, int], equivalents: Sequence[Sequence[Vector]]
) -> npt.NDArray[np.float64]:
    """Return the mean correlation of the layer over the vectors of each orbit."""
    table = layer_table(found, axes)
    return np.array(
        [
            np.mean([table[int(2 * vector[axes[0]]), int(2 * vector[axes[1]])] for vector in vectors])
            for vectors in equivalents
        ]
    )


def page(outcomes: dict[str, list[Outcome]]) -> list[str]:
    """Return the lines of the page."""
    seeds = max(len(each) for each in outcomes.values())
    lines = [
        "# Pulls of refined correlations",
        "",
        f"`python -m benchmarks.pulls`: {seeds} crystals of each kind, made by a second forward model that shares no"
        " code with the product: sites ordered by Monte Carlo with pair energies, explicit atoms, Poisson counts"
        f" with 2,000 in the brightest pixel. One plane of each, default options, the {_SHELLS} nearest shells; seeds"
        " are fixed. The truth is counted from pairs of sites; correlations have tails. *rms pull*: root mean square of"
        " (found - true) / s.u., which should be 1; *within 2*: share of values within two standard uncertainties,"
        " which should be 95 %; *rms error*: root mean square of found - true.",
        "",
        "| crystal | values | rms pull | within 2 | rms error | explained | centring right | R beyond noise, largest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        found = outcomes.get(case.crystal)
        if not found:
            continue
        pulls, errors = (
            np.concatenate([getattr(each, name) for each in found]) for name in ("pulls", "errors")
        )
        right = sum(each.centring == CRYSTALS[case.crystal].centring for each in found)
        explained = sum(each.verdict == "explained" for each in found)
        lines.append(
            f"| {case.title} | {len(pulls)} | {np.sqrt(np.mean(pulls**2)):.2f}"
            f" | {100 * np.mean(np.abs(pulls) < 2):.0f} %"
            f" | {np.sqrt(np.mean(errors**2)):.5f} | {explained} of {len(found)} | {right} of {len(found)}"
            f" | {100 * max(each.beyond_noise for each in found):.1f} % |"
        )
    return lines


def _outcomes(case: Case, seeds: int, factorizer: Factorizer) -> Iterator[Outcome]:
    for seed in range(seeds):
        outcome = refine_crystal(case, seed, factorizer)
        rms = float(np.sqrt(np.mean(outcome.pulls**2)))
        print(f"{case.crystal} {seed}: rms pull {rms:.2f}, {outcome.verdict}", file=sys.stderr, flush=True)
        yield outcome


def main(args: Sequence[str] | None = None) -> int:
    """Refine the crystals, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.pulls", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="number of crystals of each kind")
    parser.add_argument(
        "--only",
        type=list[str],
        default=[],
        help="names of kinds of crystals; prints them and writes no page",
    )
    options = parser.parse_args(args)
    known = [case.crystal for case in CASES]
    unknown = [name for name in options.only if name not in known]
    if options.seeds < 1 or unknown:
        found = f"--only: found {unknown[0]}" if unknown else f"--seeds is {options.seeds}"
        raise InputError(f"{found}; expected {'one of ' + ', '.join(known) if unknown else '1 or more'}")
    factorizer = Factorizer.from_pretrained(device="cpu")
    outcomes = {
        case.crystal: [*_outcomes(case, options.seeds, factorizer)]
        for case in CASES
        if not options.only or case.crystal in options.only
    }
    lines = page(outcomes)
    if options.only:
        print("\n".join(lines))
    else:
        write_page(OUT, lines)
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.pulls")
