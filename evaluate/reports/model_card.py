"""The model card of a weights folder, made from the files of its training and its evaluation.

The card is `card.json` (for programs) and `README.md` (for people), beside the safetensors. Every number comes from a
file: the training log, the checkpoint or the training store, and the report of an evaluation.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from dsfunet.files import replacing, write_json
from evaluate.reports.tables import class_table, methods_table, paper_table, score_table
from evaluate.reports.training_log import log_versions, read_log

CARD_FILE, README_FILE = "card.json", "README.md"

_KEPT_FROM_REPORT = (
    "table",
    "limits",
    "predictors",
    "training",
    "by",
    "provenance",
    "missing_share",
    "warnings",
)

# The breakdowns of the report whose classes differ most.
_WHERE_IT_FAILS = ("missing pixels", "order kind", "lattice", "species group")

VALIDATION_COLUMNS = {
    "form_factor": "validation/form_factor_mse",
    "short_range_order": "validation/short_range_order_mse",
}


def validation_curve(log: Path) -> list[dict[str, float]]:
    """Read the validation errors of one training run against the number of batches.

    Raises:
        InputError: if the log holds no validation error.
    """
    columns = read_log(log)
    if VALIDATION_COLUMNS["form_factor"] not in columns:
        raise InputError(f"{log}: the log holds no validation error; expected the log of a training run")
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
    """Return the content of card.json.

    Args:
        checkpoint: content of the checkpoint that the weights came from.
        log: folder of the CSV logger.
        store_path: the training store; None takes its description from the checkpoint.
        report: content of report.json of the evaluation.
        note: further remarks for users.

    Raises:
        InputError: if the store or the log cannot be used.
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
            "curve": validation_curve(log),
            "started_from": _kept(checkpoint, "started_from"),
            "made_by": checkpoint["made_by"],
        },
        "scores": {key: report[key] for key in _KEPT_FROM_REPORT},
        "note": note,
    }


def _trained_on(checkpoint: dict[str, Any], store: Store | None) -> dict[str, Any]:
    """Return the description of the training data: that of the store or, without one, that in the checkpoint.

    It includes the species that the initial weights were trained on; the checkpoint already lists these.
    """
    if store is None:
        data: dict[str, Any] = checkpoint.get("data") or {}
        if not data.get("species"):
            raise InputError(
                "the checkpoint does not name its training planes; give their store with --store"
            )
        return data
    description = store.description()
    earlier = _kept(checkpoint, "species")
    return (
        description
        if earlier is None
        else {**description, "species": sorted({*description["species"], *earlier})}
    )


def _ranks(version: Path) -> int:
    """Return the number of training processes, each with its own batches, from the record of the run."""
    path = version / "hparams.yaml"
    # The file may hold YAML tags that a safe loader refuses, and only one number is needed.
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((int(line.split(":")[1]) for line in lines if line.startswith("ranks:")), 1)


def _minutes(checkpoint: dict[str, Any]) -> float | None:
    """Return the training time [min]; None if the schedule did not record it."""
    seconds = _kept(checkpoint, "spent_seconds")
    return None if seconds is None else round(seconds / 60, 1)


def _kept(checkpoint: dict[str, Any], name: str) -> Any:
    """Return the value that a callback of the run stored under a name; None if there is none."""
    states = (checkpoint.get("callbacks") or {}).values()
    return next((state[name] for state in states if isinstance(state, dict) and name in state), None)


def card_text(card: dict[str, Any], report: dict[str, Any]) -> str:
    """Return the card for people, in Markdown."""
    data, training = card["data"], card["training"]
    scored = report["provenance"]["stores"]["validation"]
    spent = f", {training['minutes']:.0f} minutes including validation" if training["minutes"] else ""
    initial = training["started_from"]
    started = f" Training started from the weights `{initial[:16]}`." if initial else ""
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
        f"Scores in spread space on {scored['planes']} planes (digest `{scored['digest'][:16]}`) of species that were"
        " not used in training:",
        "",
        *paper_table(report),
        "",
        *score_table(report),
        "",
        'Comparison with other methods. Those with "known" in the column "lattice" use the true lattice; the networks'
        " alone do not:",
        "",
        *methods_table(report),
        "",
        "## Where it fails",
        "",
        *(line for name in _WHERE_IT_FAILS for line in (*class_table(name, _worst_first(report, name)), "")),
        "## How it was trained",
        "",
        "Errors during training (mean over the validation planes of the run):",
        "",
        "| samples | I_FF | I_SRO |",
        "|---|---|---|",
    ]
    per_batch = training["samples_seen"] // training["batches"]
    lines += [
        f"| {point['batches'] * per_batch} | {point['form_factor']:.4f} | {point['short_range_order']:.4f} |"
        for point in training["curve"]
    ]
    lines += [
        "",
        "`card.json` in this folder holds the recipe, the configuration and all scores of the report.",
    ]
    return "\n".join(lines) + "\n"


def _worst_first(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Sort the classes of planes by the 90th percentile of the form factor's error, worst first."""
    classes = report["by"][name].items()
    return dict(sorted(classes, key=lambda each: -each[1]["form_factor"]["percentile_90"]))


def write_card(
    weights: Path, checkpoint_path: Path, log: Path, store_path: Path | None, report_path: Path, note: str
) -> tuple[Path, Path]:
    """Write card.json and README.md into a weights folder; returns their paths.

    Args:
        weights: folder that `dsfunet export` wrote.
        checkpoint_path: checkpoint that the weights came from.
        log: folder of the CSV logger.
        store_path: the training store; None takes its description from the checkpoint.
        report_path: report.json of the evaluation.
        note: further remarks for users.

    Raises:
        InputError: if a file is missing or damaged, or the files do not belong together; nothing is written then.
    """
    # Imported here because torch takes seconds, which a wrong option should not wait for.
    from dsfunet.networks.weights import read_checkpoint

    for path in (weights, checkpoint_path, report_path):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder; check the path")
    checkpoint = read_checkpoint(checkpoint_path)
    try:
        report = json.loads(report_path.read_text(encoding="utf-8"))
        card = build_card(checkpoint, log, store_path, report, note)
        text = card_text(card, report)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OSError, yaml.YAMLError) as error:
        raise InputError(
            f"the checkpoint, log, store and report do not fit together ({error!r}); expected those of one run, made"
            " with this version"
        ) from error
    write_json(weights / CARD_FILE, card)
    with replacing(weights / README_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return weights / CARD_FILE, weights / README_FILE
