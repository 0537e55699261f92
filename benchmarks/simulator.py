"""`python -m benchmarks.simulator`: time every stage of making a plane, compared with a direct sum.

Everything runs in one process, on planes of configs/simulate/paper.yaml. Writes benchmarks/simulator.md and prints it.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt
from jsonargparse.typing import PositiveInt
from threadpoolctl import threadpool_limits

from dsfunet._typing import Array
from dsfunet.command_parser import Parser
from dsfunet.data.manifests import digest_arrays
from dsfunet.data.store import create_store
from dsfunet.environment import describe_machine
from dsfunet.physics import Plane, plane_through
from dsfunet.planes.preprocessing import PIXELS, normalise
from simulate.artefacts.masks import draw_mask
from simulate.correlations.draw import draw_monte_carlo_set
from simulate.correlations.sets import CorrelationSet
from simulate.crystals.draw import Crystal, Population, build_population, draw_crystal
from simulate.crystals.kernels import form_factor_intensity, short_range_order_intensity
from simulate.crystals.planes import crystal_stream, draw_layers, draw_samples
from simulate.recipe import Counts, Recipe
from simulate.stores.shard_writer import write_arrays

OUT = Path(__file__).parent / "simulator.md"


_SETS = 24

# Time per plane of the scattering function of the authors' published generator on one core; not measured here.
AUTHORS_SECONDS = 1.86


def direct_sum(crystal: Crystal, plane: Plane) -> tuple[Array, Array]:
    """Compute I_FF and I_SRO directly from equations 1 to 3 in float64, with every atom and vector at every pixel."""
    q = plane.q_points()
    s_squared = np.square(q).sum(axis=-1) / (4 * np.pi) ** 2
    difference = np.zeros(plane.shape, np.complex128)
    for molecule, sign in zip(crystal.molecules, (1.0, -1.0), strict=True):
        for element, position in zip(molecule.elements, molecule.positions_angstrom, strict=True):
            table = gemmi.Element(element).it92
            assert table is not None
            gaussians = (a * np.exp(-b * s_squared) for a, b in zip(table.a, table.b, strict=True))
            difference += sign * (sum(gaussians) + table.c) * np.exp(1j * (q @ position))
    m_a = crystal.order.m_a
    order = np.zeros(plane.shape)
    for (i, j, k), alpha in np.ndenumerate(crystal.order.alphas):
        order += alpha * np.cos(q @ (np.array([i - 5, j - 5, k - 5]) @ crystal.cell.direct))
    return m_a * (1 - m_a) * np.abs(difference) ** 2, np.maximum(order, 0)


def build(planes: int) -> tuple[Population, float]:
    """Build a population of the paper's recipe with a few Monte Carlo sets; also return the time of one set [ms]."""
    recipe = Recipe(Counts(planes, 0), seed=1, planes_per_crystal=12, monte_carlo_sets=Counts(_SETS, 0))
    start = time.process_time()
    sets: list[CorrelationSet] = [draw_monte_carlo_set(seed, recipe.monte_carlo) for seed in range(_SETS)]
    one_set = 1e3 * (time.process_time() - start) / _SETS
    return build_population(recipe, "train", tuple(sets)), one_set


def mean_milliseconds(work: Callable[[Any], Any], arguments: Sequence[Any]) -> float:
    """Return the mean processor time of one call [ms]."""
    start = time.process_time()
    for argument in arguments:
        work(argument)
    return 1e3 * (time.process_time() - start) / len(arguments)


def write_shard(samples: Sequence[dict[str, npt.ArrayLike]]) -> int:
    """Compress, digest and write samples as the simulator does; return the size on disk [bytes]."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.zarr"
        group = create_store(path, len(samples), len(samples), {})
        arrays = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
        write_arrays(group, 0, arrays)
        digest_arrays(arrays)
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def measure(planes: int, direct: int) -> list[str]:
    """Measure and return the lines of the report, in Markdown."""
    draw_monte_carlo_set(0, Recipe(Counts(1, 0)).monte_carlo)  # compiled, or loaded from numba's cache
    population, one_set = build(planes)
    rngs = [crystal_stream(population.recipe, "train", number) for number in range(planes)]
    crystals = [draw_crystal(population, rng) for rng in rngs]
    layers = [
        next(draw_layers(population.recipe, rng, crystal))
        for rng, crystal in zip(rngs, crystals, strict=True)
    ]
    cut = [
        plane_through(crystal.cell, axes, offset, 8.0, PIXELS)
        for crystal, (axes, offset) in zip(crystals, layers, strict=True)
    ]
    numbers = range(planes)

    def form_factor(n: int) -> npt.NDArray[np.float32]:
        return form_factor_intensity(*crystals[n].molecules, cut[n], crystals[n].order.m_a)

    def order(n: int) -> npt.NDArray[np.float32]:
        return short_range_order_intensity(crystals[n].order.alphas, crystals[n].cell, cut[n], layers[n][0])

    def mask(n: int) -> npt.NDArray[np.bool_]:
        plane = cut[n]
        return draw_mask(
            rngs[n], plane.origin, plane.step_u, plane.step_v, plane.shape, population.recipe.mask
        )

    for warm in (form_factor, order, mask):  # compiled, or loaded from numba's cache
        warm(0)
    list(draw_samples(population, 0, 12))
    pictures = [(form_factor(n), order(n)) for n in range(min(planes, 64))]
    stages = {
        "crystal: species, order, cell": mean_milliseconds(
            lambda n: draw_crystal(population, crystal_stream(population.recipe, "train", n)), numbers
        ),
        "physics: form factor": mean_milliseconds(form_factor, numbers),
        "physics: short-range order": mean_milliseconds(order, numbers),
        "normalise, convert to half floats": mean_milliseconds(
            lambda pair: [normalise(each)[0].astype(np.float16) for each in pair], pictures
        ),
        "mask": mean_milliseconds(mask, numbers),
    }
    start = time.process_time()
    samples = list(draw_samples(population, 0, planes))
    drawn = 1e3 * (time.process_time() - start) / planes
    start = time.process_time()
    size = write_shard(samples)
    written = 1e3 * (time.process_time() - start) / planes
    slow = 1e3 * _direct_seconds(crystals[:direct], cut[:direct])
    worst = max(_difference(crystals[n], cut[n], form_factor(n), order(n)) for n in range(direct))
    physics = stages["physics: form factor"] + stages["physics: short-range order"]
    total = drawn + written
    per_plane = size / planes
    return [
        "# The simulator, stage by stage",
        "",
        f"{planes} planes of 256 x 256 pixels from the paper's recipe, on {describe_machine()}; processor time of all"
        " threads.",
        "`python -m benchmarks.simulator` makes this table again.",
        "",
        "| stage | ms per plane and core |",
        "|---|---|",
        *(f"| {name} | {value:.2f} |" for name, value in stages.items()),
        f"| all stages of drawing, without near-duplicates (12 planes per crystal) | {drawn:.2f} |",
        f"| compress, digest, write | {written:.2f} |",
        f"| **physics** | **{physics:.2f}** |",
        f"| **total** | **{total:.2f}** |",
        f"| the same physics as a direct sum, numpy, float64 ({direct} planes, same run) | {slow:.0f} |",
        "",
        f"The physics is {slow / physics:.0f} times faster than the direct sum in this run, and all stages together are"
        f" {slow / total:.0f} times faster. They are {1e3 * AUTHORS_SECONDS / total:.0f} times faster than the authors'"
        f" scattering function alone ({AUTHORS_SECONDS} s per plane on another machine). The largest difference from"
        f" the direct sum is {worst:.0e} of a plane's maximum.",
        "",
        f"A plane takes {per_plane / 1e3:.0f} kB on disk. The paper's 211,028 planes take"
        f" {211_028 * per_plane / 1e9:.1f} GB and {211_028 * total / 3.6e6:.2f} core hours. Peak memory of this"
        f" process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB.",
        "",
        f"A Monte Carlo set takes {one_set:.0f} ms, so the paper's 12,000 sets take"
        f" {12_000 * one_set / 6e4 / 2:.1f} minutes on two cores.",
        "",
        *_floor(crystals, physics),
    ]


def _direct_seconds(crystals: Sequence[Crystal], planes: Sequence[Plane]) -> float:
    start = time.process_time()
    for crystal, plane in zip(crystals, planes, strict=True):
        direct_sum(crystal, plane)
    return (time.process_time() - start) / len(crystals)


def _difference(
    crystal: Crystal, plane: Plane, form_factor: npt.NDArray[np.float32], order: npt.NDArray[np.float32]
) -> float:
    expected = direct_sum(crystal, plane)
    return max(
        float(np.abs(found - true).max() / true.max())
        for found, true in zip((form_factor, order), expected, strict=True)
    )


def _floor(crystals: Sequence[Crystal], physics_milliseconds: float) -> list[str]:
    """Estimate the least possible time of the physics from its operations and bytes, and compare."""
    pixels = PIXELS**2
    atoms = float(np.mean([sum(len(each.elements) for each in crystal.species) for crystal in crystals]))
    elements = float(
        np.mean([len({*crystal.species[0].elements, *crystal.species[1].elements}) for crystal in crystals])
    )
    # Per pixel: 8 flops for each atom (complex multiply and add), 7 for each element (interpolate, multiply, add), 24
    # for the series of I_SRO, and 6 for |Q| and the square.
    flops = pixels * (8 * atoms + 7 * elements + 24 + 6)
    bytes_written = 2 * 4 * pixels
    size = 512
    square = np.ones((size, size), np.float32)
    square @ square
    start = time.process_time()
    for _ in range(20):
        square @ square
    peak = 20 * 2 * size**3 / (time.process_time() - start)
    floor = 1e3 * flops / peak
    return [
        "## Lower limit",
        "",
        f"With {atoms:.0f} atoms and {elements:.1f} elements per pair, the sums take {flops / 1e6:.0f} MFLOP per plane"
        f" and write {bytes_written / 1e6:.1f} MB. One thread of this machine reaches {peak / 1e9:.0f} GFLOP/s in a"
        f" matrix product, so the physics needs at least {floor:.2f} ms; it takes"
        f" {physics_milliseconds / floor:.0f} times as long, because table look-ups are scattered in memory and rows of"
        " 256 pixels are too short to hide every latency.",
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write and print the report."""
    parser = Parser(prog="python -m benchmarks.simulator", description=__doc__)
    parser.add_argument("--planes", type=PositiveInt, default=240, help="number of planes to make")
    parser.add_argument(
        "--direct", type=PositiveInt, default=3, help="number of planes to compute by the direct sum"
    )
    options = parser.parse_args(args)
    with threadpool_limits(1):
        lines = measure(options.planes, options.direct)
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
