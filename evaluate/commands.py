"""The commands `compare`, `lattices`, `calibration`, `verdicts`, `card` and `curve` of `python -m evaluate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from dsfunet.command_parser import Parser

_PLANES_HELP = "store of planes, such as data/validation.zarr"
_TRAINED_SPECIES_HELP = "{} planes of species that the weights were trained on, with a warning"


def build_compare_parser() -> Parser:
    """Return the parser of `compare`."""
    parser = _parser("compare", "Compare two reports on the same planes by a paired bootstrap over planes.")
    add = parser.add_argument
    add("first", type=str, help="folder of a report")
    add(
        "second", type=str, help="folder of a second report, or the same folder to compare two of its methods"
    )
    add(
        "--first-method",
        type=str,
        default="network",
        help="method of the first report, such as network or series",
    )
    add("--second-method", type=str, default="network", help="method of the second report")
    add("--resamples", type=PositiveInt, default=2000, help="number of bootstrap resamples, 100 or more")
    add("--confidence", type=float, default=0.95, help="confidence of the intervals, between 0 and 1")
    add("--seed", type=NonNegativeInt, default=0, help="seed of the resampling")
    add("--out", type=str | None, help="also write the differences to this file (.json)")
    return parser


def build_lattices_parser() -> Parser:
    """Return the parser of `lattices`."""
    parser = _parser(
        "lattices",
        "Measure how often the right lattice is found from the plane itself, and the errors of lattice mode on it.",
    )
    _add_inputs(parser, _PLANES_HELP)
    _add_report(parser, 600, "number of planes, spread evenly over the store")
    _add_execution(parser, "seed of the noise", _TRAINED_SPECIES_HELP.format("score"))
    return parser


def build_calibration_parser() -> Parser:
    """Return the parser of `calibration`."""
    parser = _parser(
        "calibration",
        "Calibrate the uncertainties of weights on half of the planes and test the calibration on the other half."
        " Put the resulting calibration.json beside the weights.",
    )
    _add_inputs(parser, _PLANES_HELP)
    _add_report(parser, 900, "number of planes, spread evenly over the store")
    _add_execution(
        parser,
        "seed of the noise, of the rotated copies and of the choice of pixels",
        _TRAINED_SPECIES_HELP.format("calibrate on"),
    )
    return parser


def build_verdicts_parser() -> Parser:
    """Return the parser of `verdicts`."""
    parser = _parser(
        "verdicts",
        "Measure how often the verdict flags good planes, and planes that break an assumption of the networks.",
    )
    _add_inputs(parser, "store of good planes, such as data/validation.zarr")
    add = parser.add_argument
    add("--violations", type=str, required=True, help="store made by `python -m simulate violations`")
    _add_report(parser, 1200, "number of good planes, spread over the store; half of them are scored")
    add("--fit", type=bool, default=False, help="fit new limits to the other half of the planes and use them")
    add("--training-shards", type=str | None, help="store of training planes, required by --fit true")
    add("--limits-out", type=str | None, help="write the limits to this file (.json)")
    _add_execution(parser, "seed of the noise", _TRAINED_SPECIES_HELP.format("score"))
    return parser


def build_card_parser() -> Parser:
    """Return the parser of `card`."""
    parser = _parser("card", "Write the model card of a weights folder: card.json and README.md.")
    add = parser.add_argument
    add("--weights", type=str, required=True, help="folder that `dsfunet export` wrote")
    add("--checkpoint", type=str, required=True, help="checkpoint that the weights came from")
    add("--log", type=str, required=True, help="folder of the CSV logger, with a version_N for every start")
    add(
        "--store",
        type=str,
        default=None,
        help="the training store; without it, the card uses the description in the checkpoint",
    )
    add("--report", type=str, required=True, help="report.json of the evaluation")
    add("--note", type=str, default="", help="further remarks for users, a sentence or two")
    return parser


def build_curve_parser() -> Parser:
    """Return the parser of `curve`."""
    parser = _parser(
        "curve", "Draw the losses, validation errors and speed of a training run from its CSV log."
    )
    parser.add_argument("log", type=str, help="folder of the CSV logger, such as runs/release/csv")
    parser.add_argument("-o", "--output", type=str, required=True, help="PNG file to write")
    return parser


def _parser(name: str, description: str) -> Parser:
    return Parser(prog=f"python -m evaluate {name}", description=description)


def _add_inputs(parser: Parser, shards_help: str) -> None:
    add = parser.add_argument
    add("--weights", type=str, default="release", help="release, a checkpoint or a folder of safetensors")
    add("--shards", type=str, required=True, help=shards_help)


def _add_report(parser: Parser, samples: int, samples_help: str) -> None:
    parser.add_argument(
        "--out", type=str, required=True, help="folder for the report: new, empty, or an earlier report"
    )
    parser.add_argument("--samples", type=PositiveInt, default=samples, help=samples_help)


def _add_execution(parser: Parser, seed_help: str, trained_species_help: str) -> None:
    add = parser.add_argument
    add("--seed", type=NonNegativeInt, default=0, help=seed_help)
    add("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if there is one")
    add("--allow-trained-species", type=bool, default=False, help=trained_species_help)
    add("--progress", type=bool, default=True, help="show a progress bar")


def run_compare(options: Namespace) -> None:
    """Run `compare`: print the differences, and write them to a file if requested."""
    from dataclasses import asdict

    from dsfunet.files import check_writable, write_json
    from evaluate.reports.comparison import compare_reports, comparison_table

    if options.out is not None:
        check_writable(Path(options.out))
    differences = compare_reports(
        Path(options.first),
        Path(options.second),
        (options.first_method, options.second_method),
        options.resamples,
        options.confidence,
        options.seed,
    )
    if options.out is not None:
        write_json(Path(options.out), [asdict(each) for each in differences])
    print("\n".join(comparison_table(differences, options.confidence)))


def run_lattices(options: Namespace) -> None:
    """Run `lattices`: check the input, measure, write the report and print its tables."""
    out = _check_files(options)
    from evaluate.studies.lattices import LatticeRequest, evaluate_lattices
    from evaluate.studies.lattices_report import lattice_tables, write_lattices

    plain, timing = evaluate_lattices(LatticeRequest(**_common_settings(options)))
    write_lattices(plain, timing, out)
    _print_report(lattice_tables(plain), out)


def run_calibration(options: Namespace) -> None:
    """Run `calibration`: check the input, fit and test, write the report and print its tables."""
    out = _check_files(options)
    from evaluate.studies.calibration import CalibrationRequest, calibrate
    from evaluate.studies.calibration_report import calibration_tables, write_calibration

    calibration, plain, timing = calibrate(CalibrationRequest(**_common_settings(options)))
    write_calibration(calibration, plain, timing, out)
    _print_report(calibration_tables(plain), out)


def run_verdicts(options: Namespace) -> None:
    """Run `verdicts`: check the input, measure, write the report and the limits, and print the tables."""
    out = _check_files(options, options.violations, options.training_shards)
    from dsfunet.files import write_json
    from evaluate.studies.verdicts import VerdictRequest, evaluate_verdicts
    from evaluate.studies.verdicts_report import verdict_tables, write_verdicts

    request = VerdictRequest(
        **_common_settings(options),
        violations=options.violations,
        training_shards=options.training_shards,
        fit=options.fit,
    )
    plain, fitted = evaluate_verdicts(request)
    write_verdicts(plain, fitted, out)
    if options.limits_out is not None:
        write_json(Path(options.limits_out), fitted)
    _print_report(verdict_tables(plain), out)


def run_card(options: Namespace) -> None:
    """Run `card`: write the model card into the weights folder."""
    from evaluate.reports.model_card import write_card

    card, readme = write_card(
        Path(options.weights),
        Path(options.checkpoint),
        Path(options.log),
        None if options.store is None else Path(options.store),
        Path(options.report),
        options.note,
    )
    print(f"wrote {card} and {readme}")


def run_curve(options: Namespace) -> None:
    """Run `curve`: draw the picture of a training run."""
    from dsfunet.files import check_writable
    from dsfunet.plotting.result import save_png
    from evaluate.reports.training_curve import draw_curve
    from evaluate.reports.training_log import read_log

    output = Path(options.output)
    check_writable(output)
    save_png(draw_curve(read_log(Path(options.log))), output)
    print(f"wrote {output}")


def _check_files(options: Namespace, *stores: str | None) -> Path:
    """Check the stores and the destination before torch is imported, which takes seconds; returns the report's folder.

    Raises:
        InputError: if the folder holds anything but a report, or a store cannot be used.
    """
    from dsfunet.data.store import open_store
    from evaluate.reports.report_folder import check_destination

    out = Path(options.out)
    check_destination(out)
    for store in filter(None, (options.shards, *stores)):
        open_store(store)
    return out


def _common_settings(options: Namespace) -> dict[str, Any]:
    """Return the settings that the requests of all studies share."""
    from evaluate.runs.devices import resolve_device

    names = ("weights", "shards", "samples", "seed", "allow_trained_species", "progress")
    return {**{name: options[name] for name in names}, "device": resolve_device(options.device)}


def _print_report(tables: list[str], out: Path) -> None:
    print("\n".join([*tables, "", f"the report is in {out}"]))


COMMANDS: dict[str, tuple[Callable[[], Parser], Callable[[Namespace], None]]] = {
    "compare": (build_compare_parser, run_compare),
    "lattices": (build_lattices_parser, run_lattices),
    "calibration": (build_calibration_parser, run_calibration),
    "verdicts": (build_verdicts_parser, run_verdicts),
    "card": (build_card_parser, run_card),
    "curve": (build_curve_parser, run_curve),
}
"""Parser and function of each command, by name."""
