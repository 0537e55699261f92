"""`python -m evaluate lattices | calibration | verdicts`: their command lines, and what they do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.command_parser import Parser

_ON_TRAINED = "{} on planes of species that the weights were trained on, with a warning"


def build_lattices_parser() -> Parser:
    """The command line of the report on lattices found."""
    parser = _parser(
        "lattices",
        "How often the right lattice is found from a plane itself, and what an answer on it is worth.",
    )
    _add_report(parser, 600, "so many planes, spread evenly over the store")
    _add_how(parser, "of the noise", _ON_TRAINED.format("judge"))
    return parser


def build_calibration_parser() -> Parser:
    """The command line of the calibration."""
    parser = _parser(
        "calibration",
        "Make the calibration of the uncertainty of weights on half of some planes and judge it on the"
        " others; calibration.json goes beside the weights.",
    )
    _add_report(parser, 900, "so many planes, spread evenly over the store")
    _add_how(parser, "of the noise, the turns and the pixels", _ON_TRAINED.format("calibrate"))
    return parser


def build_verdicts_parser() -> Parser:
    """The command line of the report on verdicts."""
    parser = _parser(
        "verdicts",
        "How often the verdict flags good planes, and planes that break what the networks assume.",
        "a store of good planes, such as data/validation.zarr",
    )
    add = parser.add_argument
    add("--violations", type=str, required=True, help="a store of `python -m simulate violations`")
    _add_report(parser, 1200, "good planes, spread over the store; half of them judge")
    add("--fit", type=bool, default=False, help="set the limits anew on the other half, and judge by these")
    add("--training-shards", type=str | None, help="planes of the training species, for --fit true")
    add("--limits-out", type=str | None, help="write the limits to this file (.json)")
    _add_how(parser, "of the noise", _ON_TRAINED.format("judge"))
    return parser


def _parser(
    name: str, description: str, shards: str = "a store of planes, such as data/validation.zarr"
) -> Parser:
    parser = Parser(prog=f"python -m evaluate {name}", description=description)
    add = parser.add_argument
    add("--weights", type=str, default="release", help="release, a checkpoint or a folder of safetensors")
    add("--shards", type=str, required=True, help=shards)
    return parser


def _add_report(parser: Parser, samples: int, samples_help: str) -> None:
    parser.add_argument(
        "--out", type=str, required=True, help="folder for the report: new, empty, or a report"
    )
    parser.add_argument("--samples", type=PositiveInt, default=samples, help=samples_help)


def _add_how(parser: Parser, seed: str, trained_species: str) -> None:
    add = parser.add_argument
    add("--seed", type=NonNegativeInt, default=0, help=seed)
    add("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
    add("--allow-trained-species", type=bool, default=False, help=trained_species)
    add("--progress", type=bool, default=True, help="show a progress bar")


def _checked_out(options: Namespace, *stores: str | None) -> Path:
    """The report's folder; that and the stores are looked at before torch is imported, which takes seconds.

    Raises:
        InputError: the folder holds something else, or a store cannot be used.
    """
    from dsfunet.data.store import open_store
    from evaluate.reports.report import check_destination

    out = Path(options.out)
    check_destination(out)
    for store in filter(None, (options.shards, *stores)):
        open_store(store)
    return out


def _asked(options: Namespace) -> dict[str, Any]:
    """What all requests hold."""
    from evaluate.runs.running import checked_device

    names = ("weights", "shards", "samples", "seed", "allow_trained_species", "progress")
    return {**{name: options[name] for name in names}, "device": checked_device(options.device)}


def _tell(tables: list[str], out: Path) -> None:
    print("\n".join([*tables, "", f"the report is in {out}"]))


def run_lattices(options: Namespace) -> None:
    """`python -m evaluate lattices`: checks first, then the work, then the report."""
    out = _checked_out(options)
    from evaluate.studies.lattices import LatticeRequest, evaluate_lattices
    from evaluate.studies.lattices_report import lattice_tables, write_lattices

    plain, timing = evaluate_lattices(LatticeRequest(**_asked(options)))
    write_lattices(plain, timing, out)
    _tell(lattice_tables(plain), out)


def run_calibration(options: Namespace) -> None:
    """`python -m evaluate calibration`, likewise."""
    out = _checked_out(options)
    from evaluate.studies.calibration import CalibrationRequest, calibrate
    from evaluate.studies.calibration_report import calibration_tables, write_calibration

    calibration, plain, timing = calibrate(CalibrationRequest(**_asked(options)))
    write_calibration(calibration, plain, timing, out)
    _tell(calibration_tables(plain), out)


def run_verdicts(options: Namespace) -> None:
    """`python -m evaluate verdicts`, likewise."""
    out = _checked_out(options, options.violations, options.training_shards)
    from dsfunet.files import write_json
    from evaluate.studies.verdicts import VerdictRequest, evaluate_verdicts
    from evaluate.studies.verdicts_report import verdict_tables, write_verdicts

    request = VerdictRequest(
        **_asked(options),
        violations=options.violations,
        training_shards=options.training_shards,
        fit=options.fit,
    )
    plain, fitted = evaluate_verdicts(request)
    write_verdicts(plain, fitted, out)
    if options.limits_out is not None:
        write_json(Path(options.limits_out), fitted)
    _tell(verdict_tables(plain), out)


COMMANDS: dict[str, tuple[Callable[[], Parser], Callable[[Namespace], None]]] = {
    "lattices": (build_lattices_parser, run_lattices),
    "calibration": (build_calibration_parser, run_calibration),
    "verdicts": (build_verdicts_parser, run_verdicts),
}
"""Command line and work of each, by name."""
