"""`python -m benchmarks.known_species`: time of `dsfunet refine --model` on three planes of one crystal.

Three layers h0l of the molecule of `tests.virtual_crystals`, of about 250,000 pixels each, are refined together with
five shells and one B, as `dsfunet refine A B C --laue 2/m --model A.xyz+B.xyz` does after its files are read: from
results in memory to the table, without the picture. Times are processor seconds of one process with one BLAS thread,
the median of several runs. Writes benchmarks/known_species.md and prints it.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.pages import write_page
from dsfunet.analysis.models import LabelledMolecule, ModelPair
from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.command_parser import Parser, run_script
from dsfunet.environment import describe_machine
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result, parse_plane_name
from dsfunet.physics import Cell
from tests.virtual_crystals import CRYSTALS, measure

OUT = Path(__file__).parent / "known_species.md"
_CRYSTAL, _OFFSETS = "molecule", (0.0, 0.25, 0.5)
_REACH, _STEP = 10.0, 1 / 25


def make_result(offset: float) -> Result:
    """Return a measured layer of the crystal as a result."""
    plane = measure(_CRYSTAL, 0, (0, 2), offset, _REACH, _STEP)
    a, b, c, beta = CRYSTALS[_CRYSTAL].cell
    name = parse_plane_name(f"h {offset:g} l")
    grid = PlaneGrid(Cell(a, b, c, 90, beta, 90), name, plane.rows, plane.columns)
    zeros = np.zeros(plane.counts.shape)
    return Result(plane.counts, plane.form_factor, plane.order, plane.expected, zeros, plane.mask, grid)


def make_model() -> ModelPair:
    """Return the two orientations of the crystal's molecule."""
    species = []
    for atoms in CRYSTALS[_CRYSTAL].species:
        elements = tuple(atom[0] for atom in atoms)
        labels = tuple(f"{name}{number}" for number, name in enumerate(elements))
        species.append(LabelledMolecule(elements, np.array([atom[1:] for atom in atoms]), labels))
    return ModelPair("A+B", species[0], species[1])


def main(args: Sequence[str] | None = None) -> int:
    """Refine the planes, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.known_species", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="number of runs")
    options = parser.parse_args(args)
    if options.runs < 1:
        raise InputError(f"--runs is {options.runs}; expected 1 or more")
    results = [make_result(offset) for offset in _OFFSETS]
    settings = RefinementSettings(laue="2/m", model=make_model(), out_of_plane=True)
    seconds, refinement = [], None
    for _ in range(options.runs):
        start = time.process_time()
        refinement = refine_alphas(results, settings)
        refinement.report()
        seconds.append(time.process_time() - start)
    assert refinement is not None
    b = next(each for each in refinement.fit.further if each.name == "B")
    lines = [
        "# Refinement with known species",
        "",
        "Written by `python -m benchmarks.known_species`, whose text says what was measured.",
        "",
        f"Machine: {describe_machine('cpu')}.",
        "",
        "| planes | pixels of each | alphas | processor time [s] | B [Å²] (put in: 3) |",
        "|---|---|---|---|---|",
        f"| {len(results)} | {results[0].input.size:,} | {len(refinement.alphas)} | {np.median(seconds):.1f} |"
        f" {b.value:.3f} ± {b.standard_uncertainty:.3f} |",
    ]
    write_page(OUT, lines)
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.known_species")
