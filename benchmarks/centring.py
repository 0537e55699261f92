"""`python -m benchmarks.centring`: which centring planes show, and whether several sites in a cell are recognised.

Planes of virtual crystals, of which nothing but the conventional cell is told: random crystals on P, B, C, I, F and R
lattices (`tests.virtual_lattices`; atoms, and molecules nearly as long as the cell), crystals with two sites in a
primitive cell, and planes with a fault (both `tests.virtual_faults`), at 2,000, 200 and 20 counts. The seeds are others
than those with which limits were set. Writes benchmarks/centring.md and prints it. With --rows, planes are kept in a
file (JSON, a line each), so that a run can stop after --most planes and go on later.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.pages import write_page
from dsfunet.command_parser import Parser, run_script
from dsfunet.errors import InputError
from dsfunet.lattice.centring_candidates import list_signature
from dsfunet.lattice.centring_choice import choose_centring
from dsfunet.lattice.other_sites import find_other_sites
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import CRYSTALS, PLANE_CRYSTALS
from tests.virtual_faults import FAULTS, SITE_CRYSTALS, Fault, measure_fault, measure_sites
from tests.virtual_lattices import CELLS, Shape, measure_lattice

OUT = Path(__file__).parent / "centring.md"
_COUNTS = (2000.0, 200.0, 20.0)
_SEEDS = (10, 11, 12)
_LATTICES: tuple[tuple[Shape, Centring], ...] = (
    ("cubic", "P"),
    ("cubic", "I"),
    ("cubic", "F"),
    ("hexagonal", "P"),
    ("hexagonal", "R"),
    ("orthorhombic", "P"),
    ("orthorhombic", "B"),
    ("orthorhombic", "C"),
    ("orthorhombic", "I"),
    ("orthorhombic", "F"),
    ("oblique", "P"),
    ("oblique", "B"),
)


@dataclass(frozen=True)
class Case:
    """A plane to be measured.

    Attributes:
        group: "one site", "several sites" or "fault".
        name: lattice or crystal.
        kind: "atoms" or "molecules"; of a fault, which one and how much.
        counts: of the brightest pixel.
        seed: of the crystal and of the noise.
    """

    group: str
    name: str
    kind: str
    counts: float
    seed: int

    @property
    def missing(self) -> bool:
        """Whether 29 % of the plane are missing: of every other plane."""
        return self.seed % 2 == 1

    def measure(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], PlaneGrid, Centring]:
        """Return counts, mask, grid and the right centring."""
        if self.group == "several sites":
            counts, mask, axis = measure_sites(
                self.name, self.seed, brightest=self.counts, missing=self.missing, crystal_seed=self.seed
            )
            crystal = SITE_CRYSTALS[self.name]
            cell = Cell(*crystal.lengths, 90, 90, crystal.gamma)
            return counts, mask, PlaneGrid(cell, PlaneName((0, 1), 0.0), axis, axis), "P"
        if self.group == "fault":
            fault = next(each for each in get_args(Fault) if self.kind.startswith(each))
            amount, axes = float(self.kind.split()[-1]), (0, 2) if self.name == "molecule" else (0, 1)
            plane = measure_fault(self.name, fault, amount, self.seed, axes, brightest=self.counts)
            a, b, c, beta = CRYSTALS[self.name].cell
            cell, right = Cell(a, b, c, 90, beta, 90), CRYSTALS[self.name].centring
        else:
            shape, right = next(each for each in _LATTICES if f"{each[0]} {each[1]}" == self.name)
            options = {"brightest": self.counts, "missing": self.missing, "step": 1 / 18}
            plane = measure_lattice(shape, right, self.seed, molecular=self.kind == "molecules", **options)  # type: ignore[arg-type]
            a, b, c, gamma = CELLS[shape]
            cell, axes = Cell(a, b, c, 90, 90, gamma), (0, 1)
        grid = PlaneGrid(cell, PlaneName(axes, plane.offset), plane.rows, plane.columns)
        return plane.counts, plane.mask, grid, right  # type: ignore[return-value]


@dataclass(frozen=True)
class Row:
    """What one plane gave.

    Attributes:
        case: the plane.
        centring: that was chosen.
        right: whether the layer's lattice vectors are those of the crystal.
        found: whether the centring was found from the data, not assumed.
        several: whether several sites in a primitive cell are seen.
    """

    case: Case
    centring: str
    right: bool
    found: bool
    several: bool


def list_cases() -> Iterator[Case]:
    """List all planes."""
    for counts in _COUNTS:
        for seed in _SEEDS:
            for shape, centring in _LATTICES:
                for kind in ("atoms", "molecules"):
                    yield Case("one site", f"{shape} {centring}", kind, counts, seed)
            if seed != _SEEDS[-1]:
                for name in SITE_CRYSTALS:
                    if name != "hcp":  # whose hk0 is an exact product with the repeat of R
                        yield Case("several sites", name, "", counts, seed)
    for fault, amount in FAULTS:
        for name in PLANE_CRYSTALS:
            yield Case("fault", name, f"{fault} {amount:g}", _COUNTS[0], _SEEDS[0])


def judge_case(case: Case) -> Row:
    """Choose the centring of a plane, and look for several sites."""
    counts, mask, grid, right = case.measure()
    choice = choose_centring(counts, mask, grid)
    same = list_signature(grid, choice.centring) == list_signature(grid, right)
    sites = find_other_sites(choice.fit, counts, mask, grid, choice.centring)
    return Row(case, choice.centring, same, choice.found, sites.found)


def page(rows: Sequence[Row]) -> list[str]:
    """Format all planes as a page."""
    lines = [
        "# Centring and several sites",
        "",
        "`python -m benchmarks.centring`: what planes of virtual crystals show of their lattice when only the"
        " conventional cell is known. *Right*: the lattice vectors of the layer are those of the crystal. *Undecided*:"
        " P was kept where another centring is right. *Wrong*: another centring was accepted. The seeds are not those"
        " with which limits were set; of every other seed, 29 % of the plane are missing.",
        "",
        "| crystals | counts | planes | right | undecided | wrong | several sites seen |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        case = row.case
        title = {
            "one site": f"one site a primitive cell, {case.kind}",
            "several sites": "two sites a primitive cell",
            "fault": f"one site, with {case.kind.rsplit(' ', 1)[0]}",
        }[case.group]
        groups.setdefault((title, case.counts), []).append(row)
    for (title, counts), group in sorted(groups.items(), key=lambda each: (each[0][0], -each[0][1])):
        right = sum(row.right for row in group)
        wrong = sum(row.found and not row.right for row in group)
        several = sum(row.several for row in group)
        lines.append(
            f"| {title} | {counts:,.0f} | {len(group)} | {right} | {len(group) - right - wrong} | {wrong} | {several} |"
        )
    odd = [row for row in rows if not row.right or row.several != (row.case.group == "several sites")]
    lines += ["", "Planes that were not judged right:", ""]
    lines += [
        f"- {f'{row.case.name}, {row.case.kind}'.rstrip(', ')}, {row.case.counts:,.0f} counts, seed {row.case.seed}:"
        f" centring {row.centring}, {'several sites' if row.several else 'no several sites'}"
        for row in odd
    ] or ["none"]
    return lines


def read_rows(path: Path) -> list[Row]:
    """Read rows of an earlier run; none if there is no such file."""
    if not path.exists():
        return []
    plain = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Row(**{**each, "case": Case(**each["case"])}) for each in plain]


def main(args: Sequence[str] | None = None) -> int:
    """Judge the planes, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.centring", description=__doc__)
    parser.add_argument(
        "--rows", type=str | None, default=None, help="file that keeps the planes of this run"
    )
    parser.add_argument("--most", type=int | None, default=None, help="planes to measure before stopping")
    options = parser.parse_args(args)
    if options.most is not None and options.rows is None:
        raise InputError("--most: planes would be lost; expected --rows FILE as well")
    rows = read_rows(Path(options.rows)) if options.rows else []
    done = {row.case for row in rows}
    left = [case for case in list_cases() if case not in done]
    for case in left[: options.most]:
        row = judge_case(case)
        rows.append(row)
        print(f"{case.name} {case.kind} {case.counts:g} {case.seed}: {row.centring}", file=sys.stderr)
        if options.rows:
            with Path(options.rows).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    if options.most is not None and len(left) > options.most:
        print(f"{len(left) - options.most} planes are left")
        return 0
    lines = page(rows)
    write_page(OUT, lines)
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.centring")
