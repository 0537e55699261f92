"""The command line `python -m evaluate`: scores weights, or runs one of its other commands."""

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


def build_parser() -> Parser:
    """Return the parser of an evaluation."""
    parser = Parser(
        prog="python -m evaluate",
        description="Score weights and baselines without a network on simulated planes whose components are known."
        " Other commands (`python -m evaluate COMMAND --help`): compare (compare two reports), lattices (test the"
        " search for lattices), calibration (calibrate the uncertainties), verdicts (test the verdict), card (write a"
        " model card), curve (draw a training run).",
    )
    add = parser.add_argument
    add("--config", action=ActionConfigFile, help="YAML file with any of these options")
    _add_inputs(parser)
    add("--out", type=str, required=True, help="folder for the report: new, empty, or an earlier report")
    _add_measurements(parser)
    add("--seed", type=NonNegativeInt, default=0, help="seed of all random numbers")
    add("--batch-size", type=PositiveInt, default=4, help="number of planes that are factorised at once")
    add("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one")
    add(
        "--processes",
        type=PositiveInt | None,
        help="number of parallel processes (default: one per core, or one per GPU)",
    )
    add(
        "--allow-trained-species",
        type=bool,
        default=False,
        help="score planes of species that the weights were trained on, with a warning",
    )
    add("--progress", type=bool, default=True, help="show a progress bar")
    return parser


def _add_inputs(parser: Parser) -> None:
    add = parser.add_argument
    add("--checkpoint", type=str | None, help="training checkpoint or folder of safetensors")
    add(
        "--weights",
        type=Literal["release"] | None,
        help="the weights of the package, used if there is no --checkpoint",
    )
    add("--shards", type=str, required=True, help="store of planes, such as data/validation.zarr")
    add("--training-shards", type=str | None, help="store of training planes, for the table's first column")
    add("--samples", type=PositiveInt | None, help="number of planes to score, from the first (default: all)")
    add(
        "--training-samples",
        type=PositiveInt,
        default=1024,
        help="largest number of training planes to score",
    )


def _add_measurements(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--mode",
        type=str,
        default="deterministic",
        help="deterministic, or dropout:N or turns:N with N passes per plane",
    )
    add(
        "--baselines",
        type=list[str] | None,
        help="methods to score for comparison (default: all); noise is always included",
    )
    add(
        "--features",
        type=Literal["auto", "inception", "statistics"],
        default="auto",
        help="feature space of FID and KID; auto: Inception if its weights are available, else plane statistics",
    )
    add(
        "--inception-weights",
        type=str | None,
        help="file of the Inception weights that torch-fidelity downloads",
    )
    add(
        "--counts",
        type=list[float],
        default=[30.0, 100.0, 300.0, 1000.0, 3000.0],
        help="noise levels of the noise curve [counts in the brightest pixel]",
    )
    add(
        "--curve-samples",
        type=NonNegativeInt,
        default=256,
        help="number of planes for the noise curve; 0 skips it",
    )
    add(
        "--uncertainty-mode",
        type=str,
        default="turns:8",
        help="mode whose spread between passes is the uncertainty",
    )
    add(
        "--uncertainty-samples",
        type=NonNegativeInt,
        default=256,
        help="number of planes for testing the uncertainty; 0 skips it",
    )


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 with one sentence on standard error if the input is wrong."""
    arguments = list(sys.argv[1:] if args is None else args)
    command = arguments[0] if arguments and arguments[0] in COMMANDS else None
    try:
        if command is not None:
            build, run = COMMANDS[command]
            run(build().parse_args(arguments[1:]))
        else:
            _evaluate(build_parser().parse_args(arguments))
    except InputError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # the disk is full, or a file has disappeared
        print(f"evaluate: {error}; check the disk and the permissions", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        advice = "; run the same command again to continue" if command is None else ""
        print(f"evaluate: stopped{advice}", file=sys.stderr)
        return 130
    return 0


def parts_folder(out: Path) -> Path:
    """Return the folder in which an evaluation keeps its intermediate results, beside the report's folder."""
    out = out.resolve()
    return out.with_name(f"{out.name}.parts")


def _evaluate(options: Namespace) -> None:
    out = Path(options.out)
    weights = _chosen_weights(options.checkpoint, options.weights)
    # Imported here because torch takes seconds, which a wrong option should not wait for.
    from dsfunet.data.store import open_store
    from evaluate.reports.report_folder import check_destination

    check_destination(out)
    for store in filter(None, (options.shards, options.training_shards)):
        open_store(store)
    from evaluate.predictors.registry import BASELINES, NOISE
    from evaluate.reports.report import write_report
    from evaluate.reports.tables import paper_table, score_table
    from evaluate.runs.devices import default_processes, resolve_device
    from evaluate.runs.evaluation import evaluate
    from evaluate.runs.request import EvaluationRequest

    baselines = BASELINES if options.baselines is None else tuple(dict.fromkeys([*options.baselines, NOISE]))
    request = EvaluationRequest(
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
    device = resolve_device(options.device)
    processes = options.processes or default_processes(device)
    parts = parts_folder(out)
    report = evaluate(request, parts, device, processes, options.progress)
    write_report(report, out)
    shutil.rmtree(parts)
    for warning in report.plain["warnings"]:
        print(f"Warning: {warning}")
    print("\n".join([*paper_table(report.plain), "", *score_table(report.plain)]))
    seconds = report.timing["seconds_per_plane"]["validation"]["network"]
    unit = "core" if device == "cpu" else "GPU"
    print(f"the networks took {seconds:.3f} s per plane on one {unit}; the report is in {out}")


def _chosen_weights(checkpoint: str | None, weights: str | None) -> str:
    if checkpoint is not None and weights is not None:
        raise InputError(f"--checkpoint {checkpoint} and --weights {weights}: both are given; give only one")
    if checkpoint is not None and not Path(checkpoint).exists():
        raise InputError(f"--checkpoint {checkpoint}: there is no such checkpoint or folder; check the path")
    return checkpoint or "release"


if __name__ == "__main__":
    raise SystemExit(main())
