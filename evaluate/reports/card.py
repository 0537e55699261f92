"""`python -m evaluate.reports.card`: the model card of a weights folder, from what training and evaluation left behind.

Writes `card.json` (for programs) and `README.md` (for people) beside the safetensors. Every number comes from a
file: the training log, the checkpoint or the store the weights were trained on, and the evaluation report.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dsfunet.command_parser import Parser
from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.files import replacing, write_json
from evaluate.reports.tables import class_table, paper_table, rivals_table, score_table
from evaluate.reports.training_log import log_versions, read_log

_OF_THE_REPORT = (
    "table",
    "limits",
    "predictors",
    "training",
    "by",
    "provenance",
    "missing_share",
    "warnings",
)

# Ways to sort planes by which they fare most differently; the report has more.
_WHERE_IT_FAILS = ("missing pixels", "order kind", "lattice", "species group")

VALIDATION_COLUMNS = {
    "form_factor": "validation/form_factor_mse",
    "short_range_order": "validation/short_range_order_mse",
}


def build_parser() -> Parser:
    """The command line of the card."""
    parser = Parser(
        prog="python -m evaluate.reports.card", description="Write the model card of a weights folder."
    )
    parser.add_argument("--weights", type=str, required=True, help="folder that `dsfunet export` wrote")
    parser.add_argument("--checkpoint", type=str, required=True, help="checkpoint the weights came from")
    parser.add_argument(
        "--log", type=str, required=True, help="folder of the CSV logger, with a version_N for every start"
    )
    parser.add_argument(
        "--store",
        type=str,
        default=None,
        help="the training store; without it the card says of the planes what the checkpoint does",
    )
    parser.add_argument("--report", type=str, required=True, help="report.json of the evaluation")
    parser.add_argument(
        "--note", type=str, default="", help="what else a user should know, a sentence or two"
    )
    return parser


def training_curve(log: Path) -> list[dict[str, float]]:
    """Validation errors over training, in batches, of the log of one run.

    Raises:
        InputError: the log holds no validation.
    """
    columns = read_log(log)
    if VALIDATION_COLUMNS["form_factor"] not in columns:
        raise InputError(f"{log}: holds no validation error; expected the log of a training run")
    batches = columns[VALIDATION_COLUMNS["form_factor"]][0]
    return [
        {
            "batches": int(batches[point]),
            **{name: columns[column][1][point] for name, column in VALIDATION_COLUMNS.items()},
        }
        for point in range(len(batches))
    ]


def build_card(
    checkpoint: dict[str, Any], log: Path, store_path: Path | None, report: dict[str, Any], note: str
) -> dict[str, Any]:
    """Everything the card says, in plain types.

    Raises:
        InputError: the store or the log cannot be used.
    """
    versions = log_versions(log)
    config = yaml.safe_load((versions[-1] / "config.yaml").read_text(encoding="utf-8"))
    batches = int(checkpoint["state_dict"]["batches_seen"])
    return {
        "data": _trained_on(checkpoint, None if store_path is None else open_store(store_path)),
        "training": {
            "config": {key: config[key] for key in ("seed_everything", "model", "data")},
            "batches": batches,
            "samples_seen": batches * config["data"]["batch_size"] * _ranks(versions[-1]),
            "minutes": _minutes(checkpoint),
            "curve": training_curve(log),
            "started_from": _kept(checkpoint, "started_from"),
            "made_by": checkpoint["made_by"],
        },
        "scores": {key: report[key] for key in _OF_THE_REPORT},
        "note": note,
    }


def _trained_on(checkpoint: dict[str, Any], store: Store | None) -> dict[str, Any]:
    """What the store says of itself, with the species that weights training began with had seen before.

    Without the store what the checkpoint says, which has those species already.
    """
    if store is None:
        data: dict[str, Any] = checkpoint.get("data") or {}
        if not data.get("species"):
            raise InputError("the checkpoint does not say which planes it was trained on: expected --store")
        return data
    description = store.description()
    earlier = _kept(checkpoint, "species")
    return (
        description
        if earlier is None
        else {**description, "species": sorted({*description["species"], *earlier})}
    )


def _ranks(version: Path) -> int:
    """Processes that trained, each on batches of its own, from the record of the run."""
    path = version / "hparams.yaml"
    # The logger writes tuples and the like with tags of its own; only one number is wanted.
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((int(line.split(":")[1]) for line in lines if line.startswith("ranks:")), 1)


def _minutes(checkpoint: dict[str, Any]) -> float | None:
    """Training time, where the schedule kept it."""
    seconds = _kept(checkpoint, "spent_seconds")
    return None if seconds is None else round(seconds / 60, 1)


def _kept(checkpoint: dict[str, Any], name: str) -> Any:
    """What a callback of the run kept under a name; None where none did."""
    states = (checkpoint.get("callbacks") or {}).values()
    return next((state[name] for state in states if isinstance(state, dict) and name in state), None)


def card_text(card: dict[str, Any], report: dict[str, Any]) -> str:
    """The card for people, in Markdown."""
    data, training = card["data"], card["training"]
    scored = report["provenance"]["stores"]["validation"]
    spent = f", {training['minutes']:.0f} minutes with validations" if training["minutes"] else ""
    begun = training["started_from"]
    started = f" Training began with the weights `{begun[:16]}`." if begun else ""
    lines = [
        "# Model card",
        "",
        f"Trained on {data['planes']} simulated planes (digest `{data['digest'][:16]}`, recipe digest"
        f" `{data['recipe_digest'][:16]}`) of {len(data['species'])} species: {training['samples_seen']} samples in"
        f" {training['batches']} batches{spent}, on {training['made_by']['machine']}, dsfunet"
        f" {training['made_by']['version']}, seed {training['config']['seed_everything']}.{started}",
        "",
        card["note"],
        "",
        f"Scores on {scored['planes']} planes of species never trained on (`{scored['digest'][:16]}`), spread space:",
        "",
        *paper_table(report),
        "",
        *score_table(report),
        "",
        "Where methods without a network are told the lattice, and the networks are not:",
        "",
        *rivals_table(report),
        "",
        "## Where it fails",
        "",
        *(line for name in _WHERE_IT_FAILS for line in (*class_table(name, _worst_first(report, name)), "")),
        "## How it was trained",
        "",
        "Validation errors while training (mean over the planes the run watched):",
        "",
        "| samples | I_FF | I_SRO |",
        "|---|---|---|",
    ]
    per_batch = training["samples_seen"] // training["batches"]
    lines += [
        f"| {point['batches'] * per_batch} | {point['form_factor']:.4f} | {point['short_range_order']:.4f} |"
        for point in training["curve"]
    ]
    lines += ["", "`card.json` beside this file holds the recipe, the configuration and the whole report."]
    return "\n".join(lines) + "\n"


def _worst_first(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Classes of planes, by the 90th percentile of the form factor's error; a file has lost their order."""
    classes = report["by"][name].items()
    return dict(sorted(classes, key=lambda each: -each[1]["form_factor"]["percentile_90"]))


def main(args: Sequence[str] | None = None) -> int:
    """Write the card; returns 0, or 2 with one sentence on standard error when the input is at fault."""
    options = build_parser().parse_args(args)
    weights = Path(options.weights)
    try:
        _write_card(options, weights)
    except InputError as error:
        print(f"evaluate.reports.card: {error}", file=sys.stderr)
        return 2
    print(f"wrote {weights / 'card.json'} and {weights / 'README.md'}")
    return 0


def _write_card(options: Any, weights: Path) -> None:
    # Imported here: torch takes seconds that a wrong option need not wait for.
    from dsfunet.networks.weights import read_checkpoint

    report_path, checkpoint_path = Path(options.report), Path(options.checkpoint)
    for path in (weights, checkpoint_path, report_path):
        if not path.exists():
            raise InputError(f"{path}: not there")
    checkpoint = read_checkpoint(checkpoint_path)
    try:
        report = json.loads(report_path.read_text(encoding="utf-8"))
        store = None if options.store is None else Path(options.store)
        card = build_card(checkpoint, Path(options.log), store, report, options.note)
        text = card_text(card, report)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OSError, yaml.YAMLError) as error:
        raise InputError(
            f"checkpoint, log, store and report do not belong to one run of this version: {error!r}"
        ) from error
    write_json(weights / "card.json", card)
    with replacing(weights / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
