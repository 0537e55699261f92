"""`python -m evaluate --weights release --shards data/validation.zarr --out report`, and its other commands."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.command_parser import Parser
from dsfunet.errors import InputError
from evaluate.commands import COMMANDS

COMPARE = "compare"


def build_parser() -> Parser:
    """The command line: which weights, which planes, how, and where to write."""
    parser = Parser(
        prog="python -m evaluate",
        description="Score weights on simulated planes whose truth is known, beside methods that need no network."
        " `python -m evaluate compare A B` compares two reports; `python -m evaluate lattices` judges lattices"
        " found from the planes themselves; `python -m evaluate calibration` makes the calibration of the uncertainty;"
        " `python -m evaluate verdicts` counts planes flagged by the verdict.",
    )
    add = parser.add_argument
    add("--config", action=ActionConfigFile, help="a YAML file with any of these options")
    add("--checkpoint", type=str | None, help="a training checkpoint or a folder of safetensors")
    add("--weights", type=Literal["release"] | None, help="the weights in the package (without --checkpoint)")
    add("--shards", type=str, required=True, help="a store of planes, such as data/validation.zarr")
    add("--training-shards", type=str | None, help="a store of training planes, for the table's first column")
    add("--out", type=str, required=True, help="folder for the report: new, empty, or a report")
    add("--samples", type=PositiveInt | None, help="score the first so many planes (default: all)")
    add("--training-samples", type=PositiveInt, default=1024, help="and so many training planes, at most")
    add(
        "--mode",
        type=str,
        default="deterministic",
        help="deterministic, dropout:N or turns:N (N passes a plane)",
    )
    add(
        "--baselines",
        type=list[str] | None,
        help="methods that are scored beside the networks (default: all); noise is always among them",
    )
    add(
        "--features",
        type=Literal["auto", "inception", "statistics"],
        default="auto",
        help="feature space of FID and KID; auto: Inception if its weights can be had, else plane statistics",
    )
    add(
        "--inception-weights",
        type=str | None,
        help="file of the Inception weights that torch-fidelity fetches",
    )
    add(
        "--counts",
        type=list[float],
        default=[30.0, 100.0, 300.0, 1000.0, 3000.0],
        help="noise levels of the noise curve, counts in the brightest pixel",
    )
    add(
        "--curve-samples", type=NonNegativeInt, default=256, help="planes of the noise curve; 0 leaves it out"
    )
    add("--uncertainty-mode", type=str, default="turns:8", help="passes whose spread is the uncertainty")
    add(
        "--uncertainty-samples",
        type=NonNegativeInt,
        default=256,
        help="planes it is judged on; 0 leaves it out",
    )
    add("--seed", type=NonNegativeInt, default=0, help="of everything random")
    add("--batch-size", type=PositiveInt, default=4, help="planes that are factorised at once")
    add("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
    add("--processes", type=PositiveInt | None, help="default: one a core, or one a GPU")
    add(
        "--allow-trained-species",
        type=bool,
        default=False,
        help="score planes of species that the weights were trained on, with a warning",
    )
    add("--progress", type=bool, default=True, help="show a progress bar")
    return parser


def build_compare_parser() -> Parser:
    """The command line of the comparison."""
    parser = Parser(
        prog="python -m evaluate compare",
        description="Compare two reports on the same planes, by a paired bootstrap over planes.",
    )
    add = parser.add_argument
    add("first", type=str, help="folder of a report")
    add("second", type=str, help="folder of another, or the same for two methods of one report")
    add(
        "--first-method",
        type=str,
        default="network",
        help="whose scores of the first, such as network or series",
    )
    add("--second-method", type=str, default="network", help="whose scores of the second")
    add("--resamples", type=PositiveInt, default=2000, help="bootstrap resamples")
    add("--confidence", type=float, default=0.95, help="of the intervals")
    add("--seed", type=NonNegativeInt, default=0, help="of the resampling")
    add("--out", type=str | None, help="write the differences to this file too (.json)")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the evaluator; returns 0, or 2 with one sentence on standard error when the input is at fault."""
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments and arguments[0] == COMPARE:
            _compare(build_compare_parser().parse_args(arguments[1:]))
        elif arguments and arguments[0] in COMMANDS:
            build, run = COMMANDS[arguments[0]]
            run(build().parse_args(arguments[1:]))
        else:
            _evaluate(build_parser().parse_args(arguments))
    except InputError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, or a file taken away
        print(f"evaluate: {error}; expected files that can be read and written", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        going_on = (
            ""
            if arguments and arguments[0] in (COMPARE, *COMMANDS)
            else "; the same command goes on from here"
        )
        print(f"evaluate: stopped{going_on}", file=sys.stderr)
        return 130
    return 0


def parts_of(out: Path) -> Path:
    """Where an evaluation keeps what is done before its report is whole."""
    out = out.resolve()
    return out.with_name(f"{out.name}.parts")


def _evaluate(options: Namespace) -> None:
    out = Path(options.out)
    weights = _named_weights(options.checkpoint, options.weights)
    # Imported here: torch takes seconds that a wrong option need not wait for.
    from dsfunet.data.store import open_store
    from evaluate.predictors.registry import BASELINES, NOISE
    from evaluate.reports.report import check_destination

    check_destination(out)
    for store in filter(None, (options.shards, options.training_shards)):
        open_store(store)
    from evaluate.reports.report import write
    from evaluate.reports.tables import paper_table, score_table
    from evaluate.runs.evaluation import evaluate
    from evaluate.runs.planning import Request
    from evaluate.runs.running import checked_device, default_processes

    baselines = BASELINES if options.baselines is None else tuple(dict.fromkeys([*options.baselines, NOISE]))
    request = Request(
        weights=weights,
        shards=options.shards,
        training_shards=options.training_shards,
        samples=options.samples,
        training_samples=options.training_samples,
        mode=options.mode,
        baselines=baselines,
        features=options.features,
        inception_weights=options.inception_weights,
        counts=tuple(options.counts),
        curve_samples=options.curve_samples,
        uncertainty_mode=options.uncertainty_mode,
        uncertainty_samples=options.uncertainty_samples,
        seed=options.seed,
        batch_size=options.batch_size,
        allow_trained_species=options.allow_trained_species,
    )
    device = checked_device(options.device)
    processes = options.processes or default_processes(device)
    parts = parts_of(out)
    report = evaluate(request, parts, device, processes, options.progress)
    write(report, out)
    shutil.rmtree(parts)
    for warning in report.plain["warnings"]:
        print(f"Warning: {warning}")
    print("\n".join([*paper_table(report.plain), "", *score_table(report.plain)]))
    spent = report.timing["seconds_per_plane"]["validation"]["network"]
    print(
        f"a plane took the networks {spent:.3f} s on one {'core' if device == 'cpu' else 'GPU'}; the report is in {out}"
    )


def _named_weights(checkpoint: str | None, weights: str | None) -> str:
    if checkpoint is not None and weights is not None:
        raise InputError(f"--checkpoint {checkpoint} and --weights {weights}: expected one of the two")
    if checkpoint is not None and not Path(checkpoint).exists():
        raise InputError(f"{checkpoint}: no such checkpoint or weights folder")
    return checkpoint or "release"


def _compare(options: Namespace) -> None:
    from dataclasses import asdict

    from dsfunet.files import check_writable, write_json
    from evaluate.reports.comparison import compare, comparison_table

    if options.out is not None:
        check_writable(Path(options.out))
    methods = (options.first_method, options.second_method)
    found = compare(
        Path(options.first),
        Path(options.second),
        methods,
        options.resamples,
        options.confidence,
        options.seed,
    )
    if options.out is not None:
        write_json(Path(options.out), [asdict(each) for each in found])
    print("\n".join(comparison_table(found, options.confidence)))


if __name__ == "__main__":
    raise SystemExit(main())
