"""`python -m benchmarks.crystals`: factorise virtual crystals that another forward model made, with default options.

The crystals of `tests.virtual_crystals` (explicit sites, Monte Carlo with pair energies, counted pairs) are measured as
single planes: complete, with 29 % missing and with few counts. Each goes through `factorize_plane`, which is told
neither structure nor centring. The values are those of its joint fit, compared with the truth, beside those that
`refine` gives with the form factor of the networks. Then joint fits alone of twenty crystals of each kind (`--seeds`)
show whether errors are as large as stated. All seeds are fixed. Writes benchmarks/crystals.md and prints it.
With --shared, the same for a folder of planes in Yell's layout with a truth.json: a dictionary by the stem of the
file's name, with the correlations of the layer by vector under "layer" (or "layer0", in halves of the cell's edges, for
layers with index 0).

Time is that of `factorize_plane` on one core, with the search for the centring.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.crystal_seeds import AXES, CASES, fit_seeds, measure_plane
from benchmarks.crystals_page import VECTORS, Row, page, tables
from benchmarks.pages import write_page
from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.command_parser import Parser, run_script
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.lattice_model import LatticeModel, fit_lattice
from dsfunet.factorize.pipeline import Factorization, factorize_plane
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.cell_units import parse_cell_units
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName
from dsfunet.planes.preprocessing import measured_pixels
from dsfunet.planes.result import Result
from tests.virtual_crystals import PLANE_CRYSTALS, Plane, correlate

OUT = Path(__file__).parent / "crystals.md"
# Planes whose cell has half the conventional edges, so that a vector "1 0" of truth.json, in halves of the conventional
# edges, is 1 0 of their own cell. The correlations are the same, and every projected lattice vector joins sites.
_HALF_EDGE = "cu3auhalf"
_SHORTEST = 2


@dataclass(frozen=True)
class Outcome:
    """A factorised plane with its joint fit and the processor time of both."""

    factorization: Factorization
    model: LatticeModel
    seconds: float

    @property
    def verdict(self) -> str:
        """Level of the verdict, with its first reason."""
        verdict = self.factorization.verdict
        return verdict.level + (f": {verdict.reasons[0]}" if verdict.reasons else "")


def factorize(measured: MeasuredPlane, factorizer: Factorizer) -> Outcome:
    """Factorise a plane with default options; the joint fit is made again to get its harmonics."""
    start = time.process_time()
    factorization = factorize_plane(measured, factorizer=factorizer)
    seconds = time.process_time() - start
    assert measured.grid is not None
    mask = measured_pixels(measured.intensity)
    intensity = np.where(mask, measured.intensity, 0.0)
    model = fit_lattice(intensity, mask, measured.grid, measured, FactorizeSettings())
    return Outcome(factorization, model, seconds)


def own_crystals(factorizer: Factorizer) -> Iterator[Row]:
    """Factorise the planes of our own crystals."""
    for name in PLANE_CRYSTALS:
        axes = AXES.get(name, (0, 1))
        for case in CASES:
            plane, measured, grid = measure_plane(name, case)
            outcome = factorize(measured, factorizer)
            fit = outcome.model.fit
            truths: dict[tuple[float, float, float], float] = {}
            for index in fit.harmonics.indices[:VECTORS]:
                whole = np.round(2 * index).astype(int).tolist()
                vector = [0.0, 0.0, 0.0]
                vector[axes[0]], vector[axes[1]] = whole[0] / 2, whole[1] / 2
                truths[vector[0], vector[1], vector[2]] = correlate(name).layer_value(
                    (whole[0], whole[1]), axes, plane.offset
                )
            yield _row(
                f"{name}, {case}", outcome, truths, grid, _coverage(outcome.factorization.result, plane)
            )


def _row(
    name: str,
    outcome: Outcome,
    truths: dict[tuple[float, float, float], float],
    grid: PlaneGrid,
    covered: tuple[float, ...] | None = None,
) -> Row:
    model, fit = outcome.model, outcome.model.fit
    values = []
    for vector, truth in truths.items():
        try:
            place, _ = fit.harmonics.find(vector, grid.name)
        except InputError:  # between two sites of a cell, which the lattice does not have
            continue
        text = " ".join(f"{vector[axis]:g}" for axis in grid.name.layer.axes)
        values.append((text, truth, float(fit.alphas[place]), float(fit.alpha_sigmas[place])))
    found = f"{model.centring} ({model.centring_from})"
    by_networks = _values_by_networks(outcome.factorization.result, model.centring, truths, grid)
    return Row(name, fit, found, outcome.verdict, outcome.seconds, tuple(values), by_networks, covered)


def _values_by_networks(
    result: Result, centring: Centring, truths: dict[tuple[float, float, float], float], grid: PlaneGrid
) -> tuple[tuple[str, float, float, float], ...]:
    """Refine the shortest vectors with the form factor of the networks; empty if that cannot be done."""
    axes = grid.name.layer.axes
    settings = RefinementSettings(
        laue="-1", centring=centring, layer=True, form_factor="result", answer="networks", shells=8
    )
    try:
        alphas = refine_alphas(result, settings).alphas
    except InputError:
        return ()
    by_pair = {
        tuple(float(each[axis]) for axis in axes): alpha for alpha in alphas for each in alpha.equivalents
    }
    found = []
    for vector, truth in list(truths.items())[:_SHORTEST]:
        alpha = by_pair.get(tuple(vector[axis] for axis in axes))
        if alpha is not None:
            text = " ".join(f"{vector[axis]:g}" for axis in axes)
            found.append((text, truth, alpha.value, alpha.standard_uncertainty))
    return tuple(found)


def _coverage(result: Result, plane: Plane) -> tuple[float, ...]:
    """Return the shares of measured pixels of F and I_SRO within one and within two sigmas, on the best scale."""
    assert result.sigma_form_factor is not None and result.sigma_short_range_order is not None
    pairs = (
        (result.form_factor, result.sigma_form_factor, "form_factor_floor", plane.form_factor),
        (result.short_range_order, result.sigma_short_range_order, "short_range_order_floor", plane.order),
    )
    shares = []
    for values, sigma, floor, truth in pairs:
        found = (values.astype(np.float64) + float(result.process[floor]))[plane.mask]
        weights, known = 1 / sigma[plane.mask].astype(np.float64) ** 2, truth[plane.mask]
        scale = np.sum(weights * found * known) / np.sum(weights * found**2)
        away = np.abs(scale * found - known) / (scale * sigma[plane.mask])
        shares += [float(np.mean(away < 1)), float(np.mean(away < 2))]
    return tuple(shares)


def shared_crystals(folder: Path, factorizer: Factorizer, only: Sequence[str] = ()) -> Iterator[Row]:
    """Factorise the planes of a folder for which truth.json has correlations of the layer; only some if named.

    Raises:
        InputError: the folder has no truth.json, or a plane cannot be read.
    """
    if not (folder / "truth.json").is_file():
        raise InputError(f"{folder}: it has no truth.json; expected a folder of planes with their truth")
    truths = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for stem, truth in truths.items():
        if not (folder / f"{stem}.h5").is_file() or (only and stem not in only):
            continue
        # Cells with half the conventional edges are below 2 Angstrom, which is asked about otherwise.
        options = ReadOptions(cell_units=parse_cell_units("angstrom"))
        measured = read_plane(folder / f"{stem}.h5", options=options)
        grid = measured.grid
        if grid is None or not isinstance(grid.name, PlaneName):
            continue
        vectors = _layer_vectors(truth, grid.name, 1.0 if stem.startswith(_HALF_EDGE) else 0.5)
        if vectors:
            yield _row(stem, factorize(measured, factorizer), vectors, grid)


def _layer_vectors(
    truth: dict[str, object], name: PlaneName, half_edge: float
) -> dict[tuple[float, float, float], float]:
    """Return the known correlations of a layer by lattice vector.

    Args:
        truth: of the plane.
        name: of the plane.
        half_edge: half a conventional edge, in edges of the plane's cell.
    """
    for key, unit in (("layer", 1.0), ("layer0", half_edge)):
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


def _reported(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows and report each one, because a run takes minutes."""
    for row in rows:
        print(f"{row.name}: {row.seconds:.1f} s", file=sys.stderr)
        yield row


def main(args: Sequence[str] | None = None) -> int:
    """Fit the crystals, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.crystals", description=__doc__)
    parser.add_argument("--shared", type=str | None, default=None, help="folder of planes with a truth.json")
    parser.add_argument(
        "--only",
        type=list[str],
        default=[],
        help="names of planes in that folder; prints them and writes no page",
    )
    parser.add_argument(
        "--seeds", type=int, default=20, help="crystals of each kind whose errors are averaged"
    )
    options = parser.parse_args(args)
    if options.only and not options.shared:
        raise InputError("--only: it names planes of a folder; expected --shared FOLDER as well")
    factorizer = Factorizer.from_pretrained(device="cpu")
    if options.only:
        print(
            "\n".join(tables([*_reported(shared_crystals(Path(options.shared), factorizer, options.only))]))
        )
        return 0
    own = [*_reported(own_crystals(factorizer))]
    shared = [*_reported(shared_crystals(Path(options.shared), factorizer))] if options.shared else []
    lines = page(own, shared, fit_seeds(options.seeds) if options.seeds > 0 else [])
    write_page(OUT, lines)
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.crystals")
