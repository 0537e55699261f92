"""Measure what the clean-up of measured planes gains: errors of the shipped networks before and after.

    python -m benchmarks.cleanup

Simulated planes of species that are not in the training data are degraded as at a beamline, cleaned up by
`dsfunet.cleanup`, which does not know the degradation, and factorised in lattice mode. All seeds are fixed. Writes
benchmarks/cleanup.md and prints it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse.typing import PositiveInt

from benchmarks.pages import write_page
from dsfunet import Factorizer
from dsfunet.cleanup import CleanUp, clean, look_for_bragg
from dsfunet.command_parser import Parser, run_script
from dsfunet.data.sample import scattering_plane
from dsfunet.environment import describe_machine
from dsfunet.io import MeasuredPlane, parse_plane_name
from dsfunet.physics import Cell, Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.preprocessing import COMPONENTS, spread
from simulate.artefacts.degradation import SignalRecipe, degrade
from simulate.crystals.draw import build_population
from simulate.crystals.planes import draw_sample
from simulate.live import read_recipe
from simulate.recipe import Counts
from simulate.stores.correlation_cache import load_correlation_sets

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "cleanup.md"
_COUNTS = {"share_counts": 1.0, "brightest_counts": (1000.0, 3000.0)}
_MANY_COUNTS = {"share_counts": 1.0, "brightest_counts": (2e4, 1e5)}
_PEAKS = {
    "share_bragg": 1.0,
    "bragg_spot_share": (0.8, 1.0),
    "bragg_hole_share": (0.0, 0.0),
    "bragg_height": (3.0, 30.0),
}
_BACKGROUND = {"share_background": 1.0, "background_constant": (0.05, 0.2), "background_height": (0.1, 0.3)}

# Counts are those of the brightest pixel, which is a Bragg peak if the plane has peaks.
CASES = {
    "counting noise alone": (SignalRecipe(**_COUNTS), ("Bragg auto, missing", "background radial")),
    "residue of subtracted Bragg peaks": (
        SignalRecipe(share_bragg=1.0, **_COUNTS),
        ("Bragg auto, missing", "Bragg auto, filled"),
    ),
    "Bragg peaks left in": (
        SignalRecipe(**_PEAKS, **_MANY_COUNTS),
        ("Bragg auto, missing", "Bragg auto, filled", "Bragg 0.2 1/Angstrom, missing"),
    ),
    "smooth background": (SignalRecipe(**_BACKGROUND, **_COUNTS), ("background radial",)),
    "Bragg peaks and background": (
        SignalRecipe(**_PEAKS, **_BACKGROUND, **_MANY_COUNTS),
        ("Bragg auto, missing", "background radial", "Bragg auto, missing; background radial"),
    ),
    "30 to 100 counts": (SignalRecipe(share_counts=1.0, brightest_counts=(30.0, 100.0)), ("symmetry -1",)),
}
STEPS = {
    "nothing": CleanUp(),
    "Bragg auto, missing": CleanUp(bragg_radius="auto"),
    "Bragg auto, filled": CleanUp(bragg_radius="auto", bragg_fill="surroundings"),
    "Bragg 0.2 1/Angstrom, missing": CleanUp(bragg_radius=0.2),
    "background radial": CleanUp(background="radial"),
    "Bragg auto, missing; background radial": CleanUp(bragg_radius="auto", background="radial"),
    "symmetry -1": CleanUp(laue="-1"),
}


_WHERE_NOT = (
    "Where it does not help: subtracting a radial background from a plane without one removes some diffuse scattering"
    " and costs a little. Holes cut around the residue of well-subtracted peaks harm short-range order more than the"
    " residue does, so only the form factor gains. Filled holes give a better mean error of short-range order than"
    " missing ones, but hardly a better form factor. Averaging over inversion alone gains little, and only on layers"
    " through the origin. Planes whose peaks `look_for_bragg` misses stay degraded and keep the means high, so compare"
    " the medians and look at the planes."
)


@dataclass(frozen=True)
class CartesianGrid:
    """The grid of a simulated plane as `clean` needs it: square and Cartesian, even if the cell is oblique."""

    cell: Cell
    plane: Plane
    name: object

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the plane."""
        return self.plane.shape


@dataclass(frozen=True, eq=False)
class Truth:
    """A simulated plane: both components, their exact product, the mask (True = measured) and the lattice."""

    form_factor: np.ndarray
    short_range_order: np.ndarray
    scattering: np.ndarray
    mask: np.ndarray
    lattice: LatticePlane


def simulate_planes(count: int) -> list[Truth]:
    """Simulate validation planes of the benchmark's recipe, on integer layers, where Bragg peaks lie."""
    recipe = dataclasses.replace(
        read_recipe(ROOT / "configs" / "simulate" / "benchmark.yaml"),
        monte_carlo_sets=Counts(1, 24),
        strongest_layer_share=0.0,
    )
    population = build_population(
        recipe, "validation", load_correlation_sets(recipe, "validation", None, 1, False)
    )
    planes = []
    for index in range(count):
        sample = draw_sample(population, index)
        components = [np.asarray(sample[name], np.float32) for name in COMPONENTS]
        floors = [float(sample[f"{name}_floor"]) for name in COMPONENTS]
        first, second = (int(axis) for axis in sample["plane_axes"])
        lattice = LatticePlane(Cell(*sample["cell"]), Plane(*sample["plane"]), (first, second))
        mask = np.unpackbits(sample["mask"], axis=-1).astype(bool)
        planes.append(Truth(*components, scattering_plane(*components, *floors), mask, lattice))
    return planes


def degrade_plane(truth: Truth, recipe: SignalRecipe, seed: int) -> MeasuredPlane:
    """Return the degraded plane, with NaN in the detector's gaps."""
    lattice = truth.lattice
    rng = np.random.default_rng(seed)
    shown = degrade(truth.scattering, lattice.plane, lattice.cell, rng, recipe).astype(np.float64)
    grid = CartesianGrid(lattice.cell, lattice.plane, parse_plane_name("hk0"))
    return MeasuredPlane(np.where(truth.mask, shown, np.nan), grid)


def errors(truth: Truth, measured: MeasuredPlane, factorize: Factorizer) -> np.ndarray:
    """Return four mean squared errors in spread space: both components in lattice mode, then of the networks alone."""
    answer = factorize(measured.intensity, lattice=truth.lattice)
    true = (truth.form_factor, truth.short_range_order)
    found = (answer.form_factor, answer.short_range_order, *answer.of_networks)
    return np.array(
        [float(np.mean((spread(each) - spread(its)) ** 2)) for each, its in zip(found, true * 2, strict=True)]
    )


def score(
    planes: Sequence[Truth], factorize: Factorizer
) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, float]]:
    """Return errors (planes, 4) of every case and clean-up, and each case's share of planes that look like Bragg."""
    found: dict[tuple[str, str], np.ndarray] = {}
    flagged = {}
    for number, (case, (recipe, steps)) in enumerate(CASES.items()):
        measured = [degrade_plane(truth, recipe, 1000 * number + index) for index, truth in enumerate(planes)]
        looks = [look_for_bragg(each.intensity, each.grid.plane, each.cell).suspicious for each in measured]
        flagged[case] = float(np.mean(looks))
        for name in ("nothing", *steps):
            found[case, name] = np.array(
                [
                    errors(truth, clean(each, STEPS[name])[0], factorize)
                    for truth, each in zip(planes, measured, strict=True)
                ]
            )
    return found, flagged


def table(found: dict[tuple[str, str], np.ndarray], flagged: dict[str, float], count: int) -> list[str]:
    """Format the results as Markdown."""
    lines = [
        "# What the clean-up gains",
        "",
        f"`python -m benchmarks.cleanup --planes {count}`: {count} planes on integer layers, of species not in the"
        " training data, with detector gaps. They are degraded, cleaned up with the same settings for all, and"
        " factorised with the shipped weights. Seeds are fixed, so every run gives the same numbers"
        f" ({describe_machine()}). Errors are mean squared errors in spread space over all 256 x 256 pixels: the mean"
        " over planes, and the median in brackets. *Better* is the share of planes for which the clean-up lowers the"
        " sum of both errors in lattice mode.",
        "",
        "| degradation | clean-up | I_FF, lattice mode | I_SRO, lattice mode | I_FF, networks"
        " | I_SRO, networks | better |",
        "|---|---|---|---|---|---|---|",
    ]
    for (case, name), values in found.items():
        before = found[case, "nothing"]
        better = np.mean(values[:, :2].sum(axis=1) < before[:, :2].sum(axis=1))
        cells = [f"{values[:, i].mean():.4f} ({np.median(values[:, i]):.4f})" for i in range(4)]
        share = "" if name == "nothing" else f"{100 * better:.0f} %"
        lines.append(
            f"| {case if name == 'nothing' else ''} | {name} | " + " | ".join(cells) + f" | {share} |"
        )
    lines += ["", "Share of planes that `look_for_bragg` finds suspicious:", ""]
    lines += [f"* {case}: {100 * share:.0f} %" for case, share in flagged.items()]
    return [*lines, "", _WHERE_NOT]


def main(args: Sequence[str] | None = None) -> int:
    """Simulate planes, degrade them, clean them up, and write and print the table."""
    parser = Parser(prog="python -m benchmarks.cleanup", description=__doc__)
    parser.add_argument("--planes", type=PositiveInt, default=24, help="number of planes in each case")
    options = parser.parse_args(args)
    planes = simulate_planes(options.planes)
    lines = table(*score(planes, Factorizer.from_pretrained()), options.planes)
    write_page(OUT, lines)
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.cleanup")
