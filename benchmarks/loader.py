"""`python -m benchmarks.loader`: samples per second of the loader, from shards and live, compared with training.

It simulates planes of a recipe in a temporary folder, or reads existing stores (`--folder`), and trains the networks of
configs/release.yaml. Takes three minutes on two busy cores. Writes benchmarks/loader.md and prints it.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jsonargparse.typing import PositiveInt

from benchmarks.pages import write_page
from dsfunet.command_parser import Parser

OUT = Path(__file__).parent / "loader.md"
PLANES, VALIDATION_PLANES = 1024, 8
"""Numbers of planes of the stores that are made."""
SETS = {"train": 20, "validation": 4}
"""Numbers of Monte Carlo sets for these planes; the time per plane does not depend on it."""


def make_store(recipe: Path, folder: Path) -> Path:
    """Simulate the planes of a recipe, but few of them; return the recipe that says so."""
    import yaml

    from simulate.__main__ import main as simulate

    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    content |= {"samples": {"train": PLANES, "validation": VALIDATION_PLANES}, "monte_carlo_sets": SETS}
    smaller = folder / recipe.name
    smaller.write_text(yaml.safe_dump(content), encoding="utf-8")
    simulate(["--config", str(smaller), "--out", str(folder), "--progress", "false"])
    return smaller


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write and print the tables."""
    parser = Parser(prog="python -m benchmarks.loader", description=__doc__)
    parser.add_argument(
        "--folder",
        type=str | None,
        default=None,
        help=f"folder with train.zarr and validation.zarr of the recipe (default: {PLANES} planes are simulated)",
    )
    parser.add_argument(
        "--recipe", type=str, default="configs/simulate/release.yaml", help="recipe of the planes"
    )
    parser.add_argument("--epochs", type=PositiveInt, default=3, help="number of timed epochs of the store")
    parser.add_argument("--steps", type=PositiveInt, default=2, help="number of timed training steps")
    parser.add_argument("--out", type=str, default=str(OUT), help="Markdown file to write")
    options = parser.parse_args(args)
    from benchmarks.loader_stages import (
        measure,  # not by the worker processes, which import this module again
    )

    with tempfile.TemporaryDirectory() as temporary:
        folder, recipe = Path(options.folder or temporary), Path(options.recipe)
        if options.folder is None:
            recipe = make_store(recipe, folder)
        write_page(Path(options.out), measure(folder, recipe, options.epochs, options.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
