"""`python -m benchmarks.ranges`: find out on which planes the shipped networks are reliable.

Every case has the same simulated crystals, of species that are not in the training data. The planes are smaller or
larger than those of training, off centre, or have reciprocal cells only a few pixels wide. They have no gaps and no
noise, so that only the range matters. Finished cases are kept in `--work`. Writes benchmarks/ranges.md and prints it.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jsonargparse.typing import PositiveInt

from dsfunet._typing import Array, Mask
from dsfunet.command_parser import Parser
from dsfunet.environment import describe_machine
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.trained_range import FEWEST_PIXELS, SMALLEST_REACH
from dsfunet.files import replacing, write_json
from dsfunet.physics import Cell, Plane, form_factor_intensity, plane_through, short_range_order_intensity
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.preprocessing import PIXELS
from dsfunet.planes.resampling import LARGEST_SQUARE, SMALLEST_SQUARE, interpolate
from simulate.correlations.draw import draw_monte_carlo_set
from simulate.crystals.draw import Crystal, Population, build_population, draw_crystal
from simulate.crystals.planes import crystal_stream, draw_layers
from simulate.live import read_recipe

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "ranges.md"


_MONTE_CARLO_SETS = 32
_TRAINED_Q_MAX = (6.0, 8.0)
_COLUMNS = ("networks/form_factor", "lattice/form_factor", "networks/order", "lattice/order")


@dataclass(frozen=True)
class Case:
    """One case, which is one row of a table.

    Attributes:
        name: label of the row.
        q_max: half side of the measured plane [1/Angstrom]; pixels beyond it are missing.
        square: half side of the networks' square [1/Angstrom].
        judged: half side of the square within which errors count [1/Angstrom].
        shift: shift of the centre along the rows [1/Angstrom].
        pixels_per_cell: narrower spacing of reciprocal lattice lines [pixels], reached by stretching the cell; 0 keeps
            the cell.
        pixels: pixels per side of the measured plane, which is then resampled; 0 computes the networks' pixels.
    """

    name: str
    q_max: float = 7.0
    square: float = 7.0
    judged: float = 7.0
    shift: float = 0.0
    pixels_per_cell: float = 0.0
    pixels: int = 0

    @property
    def digest(self) -> str:
        """Digest of everything but the name, so that equal cases are evaluated only once."""
        return hashlib.sha256(json.dumps(list(asdict(self).values())[1:]).encode()).hexdigest()[:16]


def _reach_cases(q_max: float) -> list[Case]:
    lines = [Case(f"out to {q_max:g}, which fills the square", q_max, q_max, q_max)]
    low, high = _TRAINED_Q_MAX
    lines += [
        Case(f"out to {q_max:g}, in a square of {square:g}", q_max, square, q_max)
        for square in (4.0, low)
        if q_max < square and (q_max < 4 or square == low)
    ]
    if q_max > high:
        lines.append(Case(f"out to {q_max:g}, the same answers within {high:g}", q_max, q_max, high))
        lines.append(Case(f"out to {q_max:g}, cut down to {high:g}", high, high, high))
    return lines


GROUPS = {
    "Smaller and larger planes (half side in 1/Angstrom; the networks were trained on 6 to 8)": tuple(
        line
        for q_max in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)
        for line in _reach_cases(q_max)
    ),
    "Planes of half side 7 with their centre off the axis through Q = 0 (distance in 1/Angstrom)": tuple(
        Case(f"{shift:g} off", shift=shift) for shift in (0.0, 2.0, 4.0, 7.0, 10.0)
    ),
    "Planes of half side 7 of larger cells (narrower spacing of reciprocal lattice lines in pixels)": tuple(
        Case(f"{pixels:g} pixels", pixels_per_cell=pixels)
        for pixels in (24.0, 16.0, 12.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0)
    ),
    "Planes of half side 7 measured with few pixels per side and resampled to 256": tuple(
        Case(f"{pixels} pixels a side", pixels=pixels) for pixels in (16, 24, 32, 48, 64, 96, 128, 181)
    ),
}

CONCLUSIONS = (
    f"Consequences for users: the networks' square has a half side of at least {SMALLEST_SQUARE:g}, with missing pixels"
    f" around a smaller plane, and of at most {LARGEST_SQUARE:g}; the rest of a larger plane is left out unless you ask"
    f" for all of it. Planes with a half side below {SMALLEST_REACH:g} or with fewer than {FEWEST_PIXELS} measured"
    " pixels are refused. A square off the centre costs little, so one quadrant of a wide plane can be factorised"
    " alone. With larger cells the networks' own short-range order fails first and lattice mode last. These planes are"
    " sampled at points, however, while the pixels of a detector and of a resampled grid have a width.",
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a simulated crystal."""

    crystal: Crystal
    axes: tuple[int, int]
    offset: float

    def spacing(self) -> float:
        """Return the narrower spacing of the reciprocal lattice lines in the layer [1/Angstrom]."""
        first, second = (self.crystal.cell.reciprocal[axis] for axis in self.axes)
        area = float(np.linalg.norm(np.cross(first, second)))
        return area / float(max(np.linalg.norm(first), np.linalg.norm(second)))

    def networks_square(self, line: Case) -> tuple[Cell, Plane]:
        """Return the cell and the networks' square for a case."""
        cell = self.crystal.cell
        offset_vector = self.offset * cell.reciprocal[3 - sum(self.axes)]
        if line.pixels_per_cell:
            step = 2 * line.square / PIXELS
            stretch = self.spacing() / (line.pixels_per_cell * step)
            a, b, c, *angles = cell.parameters
            cell = Cell(stretch * a, stretch * b, stretch * c, *angles)
        plane = plane_through(cell, self.axes, 0.0, line.square)
        # An integer index stays an integer and a half-integer one a half-integer, at roughly the same height.
        third = cell.reciprocal[3 - sum(self.axes)]
        half = self.offset % 1.0
        index = round(float(np.linalg.norm(offset_vector) / np.linalg.norm(third)) - half) + half
        along = plane.step_u / np.linalg.norm(plane.step_u)
        return cell, Plane(index * third + line.shift * along, plane.step_u, plane.step_v, plane.shape)


def build(planes: int, seed: int) -> list[Layer]:
    """Draw one layer each of crystals whose species are not in the training data."""
    recipe = read_recipe(ROOT / "configs" / "simulate" / "release.yaml")
    sets = tuple(
        draw_monte_carlo_set(seed + number, recipe.monte_carlo) for number in range(_MONTE_CARLO_SETS)
    )
    population = build_population(recipe, "validation", sets)
    layers: list[Layer] = []
    number = 0
    while len(layers) < planes:
        layer = _draw(population, seed, number)
        number += 1
        if layer is not None:
            layers.append(layer)
    return layers


def _draw(population: Population, seed: int, number: int) -> Layer | None:
    rng = crystal_stream(population.recipe, population.split, 1_000_000 * (1 + seed) + number)
    crystal = draw_crystal(population, rng)
    axes, offset = next(iter(draw_layers(population.recipe, rng, crystal)))
    layer = Layer(crystal, axes, offset)
    form_factor, order = truth(layer, *layer.networks_square(Case("")))
    # Leave out layers without contrast or without order, as the simulator does.
    return layer if np.ptp(form_factor) > 1e-2 and np.ptp(order) > 1e-2 else None


def truth(layer: Layer, cell: Cell, plane: Plane) -> tuple[Array, Array]:
    """Compute I_FF and I_SRO of a layer on a plane."""
    crystal = layer.crystal
    form_factor = form_factor_intensity(
        *crystal.molecules, plane, crystal.order.m_a, crystal.debye_waller_b_angstrom2
    )
    return form_factor, short_range_order_intensity(crystal.order.alphas, cell, plane)


def judge(factorizer: Factorizer, layers: Sequence[Layer], line: Case) -> dict[str, list[float]]:
    """Return the errors of every plane: of the networks, of lattice mode and of a constant prediction."""
    result: dict[str, list[float]] = {
        name: [] for name in (*_COLUMNS, "flat/form_factor", "flat/order", "accepted")
    }
    for layer in layers:
        cell, plane = layer.networks_square(line)
        truths = truth(layer, cell, plane)
        inside = _within(line.q_max / line.square)
        scattering = np.where(inside, truths[0] * truths[1], np.nan)
        if line.pixels:
            scattering = _coarse(layer, cell, plane, line.pixels)
            inside = np.isfinite(scattering)
        found = factorizer(scattering, lattice=LatticePlane(cell, plane, layer.axes))
        assert found.of_networks is not None and found.lattice_answers[0] is not None
        region = inside & _within(line.judged / line.square)
        answers = {
            "networks/form_factor": found.of_networks[0],
            "networks/order": found.of_networks[1],
            "lattice/form_factor": found.form_factor,
            "lattice/order": found.short_range_order,
        }
        for which, true in zip(("form_factor", "order"), truths, strict=True):
            expected = _spread(true[region])
            for mode in ("networks", "lattice"):
                answer = _spread(answers[f"{mode}/{which}"][region].astype(np.float64))
                result[f"{mode}/{which}"].append(float(np.mean((answer - expected) ** 2)))
            result[f"flat/{which}"].append(float(expected.var()))
        result["accepted"].append(float(found.lattice_answers[0].accepted))
    return result


def _coarse(layer: Layer, cell: Cell, plane: Plane, pixels: int) -> Array:
    """Return the scattering on a plane, resampled from a coarser plane with `pixels` per side."""
    widen = PIXELS / pixels
    own = Plane(plane.origin, widen * plane.step_u, widen * plane.step_v, (pixels, pixels))
    form_factor, order = truth(layer, cell, own)
    return interpolate(form_factor * order, own, plane)


def _within(share: float) -> Mask:
    index = np.abs(np.arange(PIXELS) - PIXELS // 2) <= share * (PIXELS // 2)
    return np.logical_and.outer(index, index)


def _spread(values: Array) -> Array:
    """Normalise values to [0, 1] and map them to spread space, in which errors are quoted."""
    low, high = values.min(), values.max()
    return np.asarray(2 * np.sqrt((values - low) / max(high - low, 1e-30)) - 1)


def table(results: dict[str, dict[str, dict[str, list[float]]]], planes: int) -> list[str]:
    """Format the results as Markdown."""
    lines = [
        "# On which planes the shipped networks are reliable",
        "",
        f"`python -m benchmarks.ranges`: every row has the same {planes} layers of simulated crystals, of species not"
        f" in the training data, without gaps or noise, on {describe_machine()}. Errors are mean squared errors in"
        " spread space: median, mean over the planes. True and predicted component are both normalised over the pixels"
        " that count. *Flat* is the median error of the best constant prediction; a prediction is useless unless its"
        " error is well below that. *Accepted* is the share of planes whose lattice-mode result was accepted.",
    ]
    for group, group_results in results.items():
        lines += [
            "",
            f"## {group}",
            "",
            "| | I_FF flat | networks | lattice mode | I_SRO flat | networks | lattice mode | accepted |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, found in group_results.items():
            cells = []
            for which in ("form_factor", "order"):
                cells.append(f"{np.median(found[f'flat/{which}']):.3f}")
                cells += [
                    f"{np.median(found[f'{mode}/{which}']):.4f}, {np.mean(found[f'{mode}/{which}']):.4f}"
                    for mode in ("networks", "lattice")
                ]
            lines.append(f"| {name} | {' | '.join(cells)} | {100 * np.mean(found['accepted']):.0f} % |")
    return [*lines, "", *CONCLUSIONS]


def main(args: Sequence[str] | None = None) -> int:
    """Evaluate the unfinished cases, and write and print the tables."""
    parser = Parser(prog="python -m benchmarks.ranges", description=__doc__)
    parser.add_argument("--planes", type=PositiveInt, default=16, help="number of layers in every case")
    parser.add_argument("--seed", type=int, default=0, help="random seed that selects the layers")
    parser.add_argument("--work", type=Path, default=Path("runs/ranges"), help="folder for finished cases")
    parser.add_argument("--out", type=Path, default=OUT, help="Markdown file to write")
    options = parser.parse_args(args)
    options.work.mkdir(parents=True, exist_ok=True)
    layers = build(options.planes, options.seed)
    factorizer = Factorizer.from_pretrained("cpu")
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for group, lines in GROUPS.items():
        results[group] = {}
        for line in lines:
            path = options.work / f"{line.digest}-{options.planes}-{options.seed}.json"
            if not path.exists():
                write_json(path, judge(factorizer, layers, line))
            results[group][line.name] = json.loads(path.read_text(encoding="utf-8"))
    text = table(results, options.planes)
    with replacing(options.out) as temporary:
        temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
