"""`python -m benchmarks.crystals`: fit both factors of virtual crystals that another forward model made.

The crystals of `tests.virtual_crystals` (explicit sites, Monte Carlo with pair energies, counted pairs) are measured as
single planes: complete, with 29 % missing and with few counts. Form factor and short-range order are fitted jointly on
the known lattice, without networks, and compared with the truth. All seeds are fixed. Writes benchmarks/crystals.md and
prints it. With --shared, the same for a folder of planes in Yell's layout with a truth.json: a dictionary by the stem
of the file's name, with the correlations of the layer by vector under "layer" (or "layer0", in halves of the cell's
edges, for layers with index 0).

Time is processor time of one fit on one core with the extension of its harmonics. A plane of 253 x 253 pixels took
1.0 s with 100 and then 200 harmonics on one of 2 cores of AMD EPYC, and 207 x 207 pixels 0.5 s with 218 at once.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from dsfunet._typing import Array
from dsfunet.command_parser import Parser
from dsfunet.environment import describe_machine
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.io import read_plane
from dsfunet.lattice.joint_fit import JointFit, fit_plane
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import CRYSTALS, Plane, correlate, measure

OUT = Path(__file__).parent / "crystals.md"
_VECTORS = 6
_REACH = {"molecule": 7.0}
_AXES = {"molecule": (0, 2)}
_CASES: dict[str, dict[str, float | bool]] = {
    "complete": {},
    "29 % missing": {"missing": True},
    "20 counts": {"brightest": 20.0},
}
# The lattice of a shared crystal by the beginning of its name; all others are primitive.
_CENTRINGS = {"cu3auhalf": None, "hcp": None, "cu3au": "F", "pba": "F", "feal": "I", "rhom": "R"}


@dataclass(frozen=True)
class Row:
    """What one fit found.

    Attributes:
        name: of the crystal and what was measured.
        fit: the fit.
        seconds: processor time.
        values: vector, truth, found value and its standard uncertainty.
        covered: shares of pixels with F and with I_SRO within one standard uncertainty; None if unknown.
    """

    name: str
    fit: JointFit
    seconds: float
    values: tuple[tuple[str, float, float, float], ...]
    covered: tuple[float, float] | None

    @property
    def pulls(self) -> Array:
        """Errors in units of their standard uncertainties."""
        return np.array([(found - truth) / sigma for _, truth, found, sigma in self.values])


def fit_timed(
    intensity: Array, mask: np.ndarray, grid: PlaneGrid, centring: Centring
) -> tuple[JointFit, float]:
    """Return a fit and its processor time [s]."""
    start = time.process_time()
    fit = fit_plane(intensity, mask, grid, centring)
    return fit, time.process_time() - start


def own_crystals() -> Iterator[Row]:
    """Fit the planes of our own crystals."""
    for name, crystal in CRYSTALS.items():
        axes = _AXES.get(name, (0, 1))
        a, b, c, beta = crystal.cell
        for case, options in _CASES.items():
            plane = measure(name, axes=axes, reach=_REACH.get(name, 4.2), step=1 / 24, **options)  # type: ignore[arg-type]
            grid = PlaneGrid(
                Cell(a, b, c, 90, beta, 90), PlaneName(axes, plane.offset), plane.rows, plane.columns
            )
            fit, seconds = fit_timed(plane.counts, plane.mask, grid, crystal.centring)
            values = []
            for place in range(_VECTORS):
                vector = np.round(2 * fit.harmonics.indices[place]).astype(int).tolist()
                truth = correlate(name).layer_value((vector[0], vector[1]), axes, plane.offset)
                text = " ".join(f"{each / 2:g}" for each in vector)
                values.append((text, truth, float(fit.alphas[place]), float(fit.alpha_sigmas[place])))
            yield Row(f"{name}, {case}", fit, seconds, tuple(values), _coverage(fit, plane))


def _coverage(fit: JointFit, plane: Plane) -> tuple[float, float]:
    pairs = (
        (fit.form_factor - plane.form_factor, fit.form_factor_sigma),
        (fit.short_range_order - plane.order, fit.short_range_order_sigma),
    )
    first, second = (float(np.mean((np.abs(error) < sigma)[plane.mask])) for error, sigma in pairs)
    return first, second


def shared_crystals(folder: Path) -> Iterator[Row]:
    """Fit the planes of a folder for which truth.json has correlations of the layer.

    Raises:
        InputError: the folder has no truth.json, or a plane cannot be read.
    """
    if not (folder / "truth.json").is_file():
        raise InputError(f"{folder}: it has no truth.json; expected a folder of planes with their truth")
    truths = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for stem, truth in truths.items():
        centring = next((found for start, found in _CENTRINGS.items() if stem.startswith(start)), "P")
        if centring is None or not (folder / f"{stem}.h5").is_file():
            continue
        measured = read_plane(folder / f"{stem}.h5")
        grid = measured.grid
        if grid is None or not isinstance(grid.name, PlaneName):
            continue
        vectors = _layer_vectors(truth, grid.name)
        if not vectors:
            continue
        mask = np.isfinite(measured.intensity)
        fit, seconds = fit_timed(np.where(mask, measured.intensity, 0.0), mask, grid, centring)
        values = []
        for vector, value in vectors.items():
            try:
                place, _ = fit.harmonics.find(vector, grid.name)
            except InputError:  # between two sites of a cell, which the lattice does not have
                continue
            text = " ".join(f"{each:g}" for each in vector)
            values.append((text, value, float(fit.alphas[place]), float(fit.alpha_sigmas[place])))
        yield Row(stem, fit, seconds, tuple(values), None)


def _layer_vectors(truth: dict[str, object], name: PlaneName) -> dict[tuple[float, float, float], float]:
    """Return the known correlations of a layer by lattice vector."""
    for key, unit in (("layer", 1.0), ("layer0", 0.5)):
        found = truth.get(key)
        if not isinstance(found, dict) or (key == "layer0" and name.offset != 0):
            continue
        vectors: dict[tuple[float, float, float], float] = {}
        for text, value in found.items():
            words = [unit * float(Fraction(word)) for word in text.split()]
            vector = [0.0, 0.0, 0.0]
            for axis, word in zip(name.axes if len(words) == 2 else (0, 1, 2), words, strict=True):
                vector[axis] = word
            vectors[vector[0], vector[1], vector[2]] = float(value)
        return vectors
    return {}


def tables(rows: Sequence[Row]) -> list[str]:
    """Format fits as two Markdown tables: one line a plane, and one line a plane with its values."""
    covers = any(row.covered for row in rows)
    lines = [
        "| plane | harmonics | time [s] | chi-squared | rms pull | largest error"
        + (" | I_FF within 1 | I_SRO within 1 |" if covers else " |"),
        "|---|---|---|---|---|---|" + ("---|---|" if covers else ""),
    ]
    for row in rows:
        worst = max(abs(found - truth) for _, truth, found, _ in row.values)
        cells = [
            row.name,
            f"{row.fit.harmonics.count}",
            f"{row.seconds:.1f}",
            f"{row.fit.chi_squared:.3f}",
            f"{np.sqrt(np.mean(row.pulls**2)):.2f}",
            f"{worst:.4f}",
        ]
        cells += [f"{100 * share:.0f} %" for share in row.covered or ()]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| plane | vector: truth / found (s.u.) |", "|---|---|"]
    for row in rows:
        values = "; ".join(
            f"{vector}: {truth:.4f} / {_with_uncertainty(found, sigma)}"
            for vector, truth, found, sigma in row.values[:_VECTORS]
        )
        lines.append(f"| {row.name} | {values} |")
    return lines


def _with_uncertainty(value: float, sigma: float) -> str:
    """Return a value with its uncertainty in the last digits: -0.2254(3)."""
    return f"{value:.4f}({max(round(1e4 * sigma), 1)})"


def page(own: Sequence[Row], shared: Sequence[Row]) -> list[str]:
    """Format all results as a page."""
    lines = [
        "# Virtual crystals",
        "",
        "`python -m benchmarks.crystals`: form factor and short-range order fitted jointly to one plane on the known"
        f" lattice, without networks and without a structure ({describe_machine()}; processor time on one core). The"
        " crystals come from a second forward model that shares no code with the product: explicit sites ordered by"
        " Monte Carlo with pair energies, scattering of explicit atoms, Poisson counts with 2,000 in the brightest"
        " pixel unless a line says otherwise. Seeds are fixed. The correlations are those of the layer on its own"
        " scale. *rms pull*: root mean square of errors over standard uncertainties, of the shortest vectors."
        " *within 1*: share of measured pixels within one standard uncertainty of the truth.",
        "",
        "The errors of the shortest vectors of one plane go together where the form factor limits them, so a pull of 2"
        " in one line is no surprise; the tests average over twenty crystals.",
        "",
        *tables(own),
    ]
    if shared:
        lines += [
            "",
            "## A shared set of crystals",
            "",
            "Planes made by a third forward model (`--shared FOLDER`). Some of them hold what no lattice explains: a"
            " background, Bragg peaks, a twin, a size effect, two sites in a cell, or a resolution wider than the"
            " pixels; their names say so, and chi-squared or the values show it.",
            "",
            *tables(shared),
        ]
    return lines


def _reported(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows and report each one, because a run takes minutes."""
    for row in rows:
        print(f"{row.name}: {row.seconds:.1f} s", file=sys.stderr)
        yield row


def main(args: Sequence[str] | None = None) -> int:
    """Fit the crystals, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.crystals", description=__doc__)
    parser.add_argument("--shared", type=str | None, default=None, help="folder of planes with a truth.json")
    options = parser.parse_args(args)
    own = [*_reported(own_crystals())]
    shared = [*_reported(shared_crystals(Path(options.shared)))] if options.shared else []
    lines = page(own, shared)
    with replacing(OUT) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"benchmarks.crystals: {error}")
