"""What the clean-up of measured planes buys: errors of the shipped networks before and after, on simulated planes.

    python -m benchmarks.cleanup

Planes of species that the networks were never trained on are spoilt in ways that come up at a beamline, cleaned up by
`dsfunet.cleanup`, which is told nothing of what was done to them, and factorised in lattice mode. Everything is
seeded. Writes benchmarks/cleanup.md and prints it.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse.typing import PositiveInt

from dsfunet import Factorizer
from dsfunet.cleanup import CleanUp, clean, look_for_bragg
from dsfunet.command_parser import Parser
from dsfunet.data.sample import scattering_plane
from dsfunet.environment import describe_machine
from dsfunet.errors import InputError
from dsfunet.files import replacing
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

# Counts are those of the brightest pixel; with Bragg peaks in the plane that is a peak's.
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
    "Where it does not help: a radial background subtracted where there is none takes diffuse scattering for floor, and"
    " costs a little; residue of well subtracted peaks harms short-range order less than its holes do, so that only the"
    " form factor gains; filled holes are better than missing ones for short-range order in the mean, hardly for the"
    " form factor; inversion alone gains little, and only on layers through the origin. Planes whose"
    " peaks `look_for_bragg` misses stay spoilt, and keep the means high: look at medians, and at the plane."
)


@dataclass(frozen=True)
class CartesianGrid:
    """What `clean` needs of a grid, for simulated planes: square and Cartesian even where the cell is oblique."""

    cell: Cell
    plane: Plane
    name: object

    @property
    def shape(self) -> tuple[int, int]:
        """Of the plane."""
        return self.plane.shape


@dataclass(frozen=True, eq=False)
class Truth:
    """A simulated plane: both components, the scattering as it is, which pixels are measured, and its lattice."""

    form_factor: np.ndarray
    short_range_order: np.ndarray
    scattering: np.ndarray
    mask: np.ndarray
    lattice: LatticePlane


def simulate_planes(count: int) -> list[Truth]:
    """Validation planes of the benchmark's recipe, on integer layers, where Bragg peaks are."""
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
    """A plane as measured, NaN where the detector has gaps."""
    lattice = truth.lattice
    rng = np.random.default_rng(seed)
    shown = degrade(truth.scattering, lattice.plane, lattice.cell, rng, recipe).astype(np.float64)
    grid = CartesianGrid(lattice.cell, lattice.plane, parse_plane_name("hk0"))
    return MeasuredPlane(np.where(truth.mask, shown, np.nan), grid)


def errors(truth: Truth, measured: MeasuredPlane, factorize: Factorizer) -> np.ndarray:
    """Mean squared errors in spread space over all pixels: both components in lattice mode, both of the networks."""
    answer = factorize(measured.intensity, lattice=truth.lattice)
    true = (truth.form_factor, truth.short_range_order)
    found = (answer.form_factor, answer.short_range_order, *answer.of_networks)
    return np.array(
        [float(np.mean((spread(each) - spread(its)) ** 2)) for each, its in zip(found, true * 2, strict=True)]
    )


def score(
    planes: Sequence[Truth], factorize: Factorizer
) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, float]]:
    """Errors (planes, 4) of every case and clean-up, and the share of planes of each case that look like Bragg."""
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
    """The results as Markdown."""
    lines = [
        "# What the clean-up buys",
        "",
        f"`python -m benchmarks.cleanup --planes {count}`: {count} planes on integer layers, of species never trained"
        " on, with detector gaps, spoilt and"
        " cleaned up by settings that are the same for all; the shipped weights; seeded, so the same"
        f" on any run ({describe_machine()}). Mean squared errors in spread space over all 256 x 256 pixels; mean, and"
        " in brackets the median. *Better* is the share of planes whose two errors in lattice mode add up to less"
        " than with nothing done.",
        "",
        "| what was done to the planes | clean-up | I_FF, lattice mode | I_SRO, lattice mode | I_FF, networks"
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
    lines += ["", "Planes that `look_for_bragg` calls suspicious:", ""]
    lines += [f"* {case}: {100 * share:.0f} %" for case, share in flagged.items()]
    return [*lines, "", _WHERE_NOT]


def main(args: Sequence[str] | None = None) -> int:
    """Make the planes, spoil them, clean them up, write the table, print it."""
    parser = Parser(prog="python -m benchmarks.cleanup", description=__doc__)
    parser.add_argument("--planes", type=PositiveInt, default=24, help="how many planes of each case")
    options = parser.parse_args(args)
    planes = simulate_planes(options.planes)
    lines = table(*score(planes, Factorizer.from_pretrained()), options.planes)
    with replacing(OUT) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"benchmarks.cleanup: {error}")
