"""`python -m simulate --config configs/simulate/smoke.yaml --out data/smoke`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

from dsfunet.errors import InputError
from dsfunet.shards import open_store
from simulate.recipe import Recipe
from simulate.writer import simulate


def build_parser() -> ArgumentParser:
    """The command line: every field of the recipe, a config file, where to write, how many workers."""
    parser = ArgumentParser(
        prog="python -m simulate", description="Make planes of diffuse scattering with known truth."
    )
    parser.add_argument("--config", action=ActionConfigFile, help="recipe file, see configs/simulate/")
    parser.add_class_arguments(Recipe)
    parser.add_argument("--out", type=str, required=True, help="folder for train.zarr and validation.zarr")
    parser.add_argument(
        "--workers", type=int, default=None, help="worker processes (default: one for each core)"
    )
    parser.add_argument("--progress", type=bool, default=True, help="show progress bars")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the simulator; returns 0, or 2 with one sentence on standard error when the input is at fault."""
    parser = build_parser()
    namespace = parser.parse_args(args)
    out, workers, progress = namespace.pop("out"), namespace.pop("workers"), namespace.pop("progress")
    namespace.pop("config")
    try:
        recipe = Recipe(**vars(parser.instantiate(namespace)))
        stores = simulate(recipe, Path(out), workers, progress)
    except InputError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    for split, path in stores.items():
        store = open_store(path)
        print(f"{path}: {len(store)} {split} planes, digest {store.digest[:12]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
