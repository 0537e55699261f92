"""`python -m evaluate calibration | verdicts`: their command lines, and what they do."""

from pathlib import Path
from typing import Literal

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.command_parser import Parser


def build_calibration_parser() -> Parser:
    """The command line of the calibration."""
    parser = Parser(
        prog="python -m evaluate calibration",
        description="Make the calibration of the uncertainty of weights on half of some planes and judge it on the"
        " others; calibration.json goes beside the weights.",
    )
    add = parser.add_argument
    add("--weights", type=str, default="release", help="release, a checkpoint or a folder of safetensors")
    add("--shards", type=str, required=True, help="a store of planes, such as data/validation.zarr")
    add("--out", type=str, required=True, help="folder for the report: new, empty, or a report")
    add("--samples", type=PositiveInt, default=900, help="so many planes, spread evenly over the store")
    add("--seed", type=NonNegativeInt, default=0, help="of the noise, the turns and the pixels")
    add("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
    add(
        "--allow-trained-species",
        type=bool,
        default=False,
        help="calibrate on planes of species that the weights were trained on, with a warning",
    )
    add("--progress", type=bool, default=True, help="show a progress bar")
    return parser


def build_verdicts_parser() -> Parser:
    """The command line of the report on verdicts."""
    parser = Parser(
        prog="python -m evaluate verdicts",
        description="How often the verdict flags good planes, and planes that break what the networks assume.",
    )
    add = parser.add_argument
    add("--weights", type=str, default="release", help="release, a checkpoint or a folder of safetensors")
    add("--shards", type=str, required=True, help="a store of good planes, such as data/validation.zarr")
    add("--violations", type=str, required=True, help="a store of `python -m simulate violations`")
    add("--out", type=str, required=True, help="folder for the report: new, empty, or a report")
    add(
        "--samples",
        type=PositiveInt,
        default=1200,
        help="good planes, spread over the store; half of them judge",
    )
    add("--fit", type=bool, default=False, help="set the limits anew on the other half, and judge by these")
    add("--training-shards", type=str | None, help="planes of the training species, for --fit true")
    add("--limits-out", type=str | None, help="write the limits to this file (.json)")
    add("--seed", type=NonNegativeInt, default=0, help="of the noise")
    add("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
    add(
        "--allow-trained-species",
        type=bool,
        default=False,
        help="judge on planes of species that the weights were trained on, with a warning",
    )
    add("--progress", type=bool, default=True, help="show a progress bar")
    return parser


def run_calibration(options: Namespace) -> None:
    """`python -m evaluate calibration`: checks first, then the work, then the report."""
    from dsfunet.shards import open_store
    from evaluate.report import check_destination

    out = Path(options.out)
    check_destination(out)
    open_store(options.shards)
    from evaluate.calibration import CalibrationRequest, calibrate
    from evaluate.calibration_report import calibration_tables, write_calibration
    from evaluate.running import checked_device

    request = CalibrationRequest(
        weights=options.weights,
        shards=options.shards,
        samples=options.samples,
        device=checked_device(options.device),
        seed=options.seed,
        allow_trained_species=options.allow_trained_species,
        progress=options.progress,
    )
    calibration, plain, timing = calibrate(request)
    write_calibration(calibration, plain, timing, out)
    print("\n".join([*calibration_tables(plain), "", f"the report is in {out}"]))


def run_verdicts(options: Namespace) -> None:
    """`python -m evaluate verdicts`, likewise."""
    from dsfunet.shards import open_store, write_json
    from evaluate.report import check_destination

    out = Path(options.out)
    check_destination(out)
    for store in filter(None, (options.shards, options.violations, options.training_shards)):
        open_store(store)
    from evaluate.running import checked_device
    from evaluate.verdicts import VerdictRequest, evaluate_verdicts
    from evaluate.verdicts_report import verdict_tables, write_verdicts

    request = VerdictRequest(
        weights=options.weights,
        shards=options.shards,
        violations=options.violations,
        training_shards=options.training_shards,
        samples=options.samples,
        fit=options.fit,
        device=checked_device(options.device),
        seed=options.seed,
        allow_trained_species=options.allow_trained_species,
        progress=options.progress,
    )
    plain, fitted = evaluate_verdicts(request)
    write_verdicts(plain, fitted, out)
    if options.limits_out is not None:
        write_json(Path(options.limits_out), fitted)
    print("\n".join([*verdict_tables(plain), "", f"the report is in {out}"]))
