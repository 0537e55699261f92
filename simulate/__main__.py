"""Command line of the simulator: make, finish, check and show stores of planes.

For example `python -m simulate --config configs/simulate/smoke.yaml --out data/smoke`.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.command_parser import FragmentHelp, Parser, first_line
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from simulate.recipe import Recipe
from simulate.stores.writer import Task, finalise, format_numbers, missing_shards, resolve_workers, simulate


def build_parser() -> Parser:
    """Return the parser of the main command: every field of the recipe, and where and how to write the stores."""
    parser = Parser(
        prog="python -m simulate",
        formatter_class=FragmentHelp,
        description="Simulate planes of diffuse scattering with known components. Other commands, each with its own"
        " --help: "
        + "; ".join(
            f"`python -m simulate {name}`: {first_line(function).rstrip('.')}"
            for name, function in (*COMMANDS.items(), (VIOLATIONS, make_violations))
        ),
    )
    parser.add_argument("--config", action=ActionConfigFile, help="recipe file, see configs/simulate/")
    parser.add_class_arguments(Recipe)
    parser.add_argument("--out", type=str, required=True, help="folder for train.zarr and validation.zarr")
    parser.add_argument(
        "--workers", type=int, default=None, help="worker processes (default: one for each core)"
    )
    parser.add_argument("--progress", type=bool, default=True, help="show progress bars")
    parser.add_argument(
        "--task-index",
        type=NonNegativeInt | None,
        help="for array jobs: index I of this task, from 0 to N - 1; it makes shards I, I + N, I + 2 N, ...",
    )
    parser.add_argument("--task-count", type=PositiveInt | None, help="for array jobs: number N of tasks")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="make a few planes, write nothing, and print how long the recipe takes and how much disk space it needs",
    )
    return parser


def make_stores(arguments: Sequence[str] | None) -> None:
    """Make the stores of a recipe, or forecast their cost with --dry-run.

    Raises:
        InputError: as `simulate`, or when only one of --task-index and --task-count is given.
    """
    parser = build_parser()
    namespace = parser.parse_args(arguments)
    own = {
        name: namespace.pop(name)
        for name in ("out", "workers", "progress", "task_index", "task_count", "dry_run", "config")
    }
    out = Path(own["out"])
    recipe = Recipe(**vars(parser.instantiate(namespace)))
    task = _task(own["task_index"], own["task_count"])
    if own["dry_run"]:
        from simulate.stores.forecast import forecast, format_forecast

        workers = resolve_workers(own["workers"])
        print(format_forecast(forecast(recipe, workers, task.count), workers * task.count, out))
        return
    for split, path in simulate(recipe, out, own["workers"], own["progress"], task).items():
        missing = missing_shards(path)
        if missing:
            print(
                f"{path}: waiting for {len(missing)} shard{'s' if len(missing) > 1 else ''} of other tasks"
                f" ({format_numbers(missing)}); the task that writes the last shard finishes the store"
            )
        else:
            _print_finished(split, path)


def finalise_stores(store: list[str]) -> None:
    """Finish stores that an array job has written completely.

    Args:
        store: one or more stores, such as data/train.zarr.
    """
    for path in map(Path, store):
        finalise(path)
        _print_finished(open_store(path).attributes["split"], path)


def check(store: str, workers: PositiveInt | None = None, progress: bool = True) -> None:
    """Check every shard of a finished store against its stored digest.

    Args:
        store: the store, such as data/train.zarr.
        workers: worker processes (default: one for each core).
        progress: show a progress bar.
    """
    from simulate.stores.check import check_store

    print(check_store(Path(store), resolve_workers(workers), progress))


def show(store: str, output: str, samples: PositiveInt = 12, seed: NonNegativeInt = 0) -> None:
    """Draw some planes of a finished store on one sheet.

    Args:
        store: the store, such as data/train.zarr.
        output: picture to write (.png).
        samples: number of planes to draw.
        seed: random seed that selects the planes.
    """
    from simulate.stores.gallery import save_gallery

    print(save_gallery(Path(store), Path(output), samples, seed))


def make_violations(arguments: Sequence[str]) -> None:
    """Make a store of planes that break the method's assumptions, to test the verdict."""
    from simulate.violations.store import write_violations

    description = first_line(make_violations)
    parser = Parser(
        prog="python -m simulate violations", formatter_class=FragmentHelp, description=description
    )
    parser.add_argument("--config", action=ActionConfigFile, help="recipe file, see configs/simulate/")
    parser.add_class_arguments(Recipe)
    parser.add_argument("--out", type=str, required=True, help="folder for violations.zarr")
    parser.add_argument(
        "--planes-per-kind", type=PositiveInt, default=108, help="number of planes of each kind of violation"
    )
    parser.add_argument(
        "--workers", type=int, default=None, help="worker processes (default: one for each core)"
    )
    parser.add_argument("--progress", type=bool, default=True, help="show progress bars")
    namespace = parser.parse_args(arguments)
    own = {name: namespace.pop(name) for name in ("out", "planes_per_kind", "workers", "progress", "config")}
    recipe = Recipe(**vars(parser.instantiate(namespace)))
    path = write_violations(recipe, Path(own["out"]), own["planes_per_kind"], own["workers"], own["progress"])
    store = open_store(path)
    print(f"{path}: {len(store)} planes, digest {store.digest[:12]}")


VIOLATIONS = "violations"
"""Name of the command that makes violations; unlike the `COMMANDS` it takes a recipe."""

COMMANDS: dict[str, Callable[..., None]] = {"finalise": finalise_stores, "check": check, "show": show}
"""Commands that take a store instead of a recipe, by the first word of the command line."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the simulator; return 0, or 2 after printing one error line when the input is invalid."""
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments and arguments[0] in COMMANDS:
            _run_command(arguments[0], arguments[1:])
        elif arguments and arguments[0] == VIOLATIONS:
            make_violations(arguments[1:])
        else:
            make_stores(arguments)
    except InputError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    return 0


def _run_command(name: str, arguments: list[str]) -> None:
    function = COMMANDS[name]
    description = first_line(function)
    parser = Parser(prog=f"python -m simulate {name}", formatter_class=FragmentHelp, description=description)
    if name == "finalise":
        parser.add_argument("store", nargs="+", type=str, help="stores, such as data/train.zarr")
    else:
        parser.add_argument("store", type=str, help="the store, such as data/train.zarr")
    skip: set[str | int] = {"store"}
    if name == "show":
        parser.add_argument("-o", "--output", type=str, required=True, help="picture to write (.png)")
        skip.add("output")
    parser.add_function_arguments(function, skip=skip)
    function(**parser.parse_args(arguments).as_dict())


def _task(index: int | None, count: int | None) -> Task:
    if (index is None) != (count is None):
        given, missing = (
            ("--task-count", "--task-index") if index is None else ("--task-index", "--task-count")
        )
        raise InputError(f"{given} is given without {missing}; give both for an array job")
    return Task() if index is None or count is None else Task(index, count)


def _print_finished(split: str, path: Path) -> None:
    store = open_store(path)
    print(f"{path}: {len(store)} {split} planes, digest {store.digest[:12]}")


if __name__ == "__main__":
    raise SystemExit(main())
