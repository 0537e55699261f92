"""`python -m evaluate.card`: the model card of a weights folder, from what training and evaluation left behind.

Writes `card.json` (for programs) and `README.md` (for people) beside the safetensors. Every number comes from a
file: the training log, the store the weights were trained on, and the evaluation report.
"""

import csv
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from dsfunet.errors import InputError
from dsfunet.io.files import replacing
from dsfunet.shards import open_store, write_json
from evaluate.tables import score_table

VALIDATION_COLUMNS = {
    "form_factor": "validation/form_factor_mse",
    "short_range_order": "validation/short_range_order_mse",
}


def build_parser() -> ArgumentParser:
    """The command line of the card."""
    parser = ArgumentParser(
        prog="python -m evaluate.card", description="Write the model card of a weights folder."
    )
    parser.add_argument("--weights", type=str, required=True, help="folder that `dsfunet export` wrote")
    parser.add_argument(
        "--log", type=str, required=True, help="folder of the CSV logger: metrics.csv, config.yaml"
    )
    parser.add_argument("--store", type=str, required=True, help="the training store")
    parser.add_argument("--report", type=str, required=True, help="report.json of the evaluation")
    parser.add_argument(
        "--note", type=str, default="", help="what else a user should know, a sentence or two"
    )
    return parser


def training_curve(metrics: Path) -> list[dict[str, float]]:
    """Validation errors over training: samples are counted in batches, means are in spread space.

    Raises:
        InputError: the log holds no validation.
    """
    with metrics.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    curve = [
        {
            "batches": int(row["step"]) + 1,
            **{component: float(row[column]) for component, column in VALIDATION_COLUMNS.items()},
        }
        for row in rows
        if row.get(VALIDATION_COLUMNS["form_factor"])
    ]
    if not curve:
        raise InputError(f"{metrics}: holds no validation error; expected the log of a finished training")
    return curve


def build_card(log: Path, store_path: Path, report: dict[str, Any], note: str) -> dict[str, Any]:
    """Everything the card says, in plain types.

    Raises:
        InputError: the store or the log cannot be used.
    """
    store = open_store(store_path)
    config = yaml.safe_load((log / "config.yaml").read_text(encoding="utf-8"))
    curve = training_curve(log / "metrics.csv")
    names, used = store.attributes["species_names"], store.metadata("species")
    batch_size = config["data"]["batch_size"]
    return {
        "data": {
            "split": store.attributes["split"],
            "planes": len(store),
            "digest": store.digest,
            "recipe": store.attributes["recipe"],
            "recipe_digest": store.attributes["recipe_digest"],
            "species_digest": store.attributes["species_digest"],
            "species": [names[index] for index in sorted(set(used.reshape(-1).tolist()))],
        },
        "training": {
            "config": {key: config[key] for key in ("seed_everything", "model", "data")},
            "batches": curve[-1]["batches"],
            "samples_seen": curve[-1]["batches"] * batch_size,
            "curve": curve,
            "machine": f"{os.cpu_count()} cores of {_processor()}",
            "code_version": store.attributes["code_version"],
        },
        "scores": {key: report[key] for key in ("metrics", "provenance", "missing_share")},
        "note": note,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def card_text(card: dict[str, Any], report: dict[str, Any], minutes: float | None) -> str:
    """The card for people, in Markdown."""
    data, training = card["data"], card["training"]
    spent = f", {minutes:.0f} minutes" if minutes else ""
    lines = [
        "# Model card",
        "",
        f"Trained on {data['planes']} simulated planes (digest `{data['digest'][:16]}`, recipe digest"
        f" `{data['recipe_digest'][:16]}`) of {len(data['species'])} species: {training['samples_seen']} samples in"
        f" {training['batches']} batches{spent}, on {training['machine']},"
        f" seed {training['config']['seed_everything']}.",
        "",
        card["note"],
        "",
        f"Scores on {report['provenance']['planes']} planes of species never trained on"
        f" (`{report['provenance']['store']['digest'][:16]}`), spread space:",
        "",
        *score_table(report),
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


def main(args: Sequence[str] | None = None) -> int:
    """Write the card; returns 0, or 2 with one sentence on standard error when the input is at fault."""
    options = build_parser().parse_args(args)
    weights, log = Path(options.weights), Path(options.log)
    try:
        for path in (weights, log / "metrics.csv", log / "config.yaml", Path(options.report)):
            if not path.exists():
                raise InputError(f"{path}: not there")
        report = json.loads(Path(options.report).read_text(encoding="utf-8"))
        card = build_card(log, Path(options.store), report, options.note)
        budget = _budget_minutes(log)
        write_json(weights / "card.json", card)
        with replacing(weights / "README.md") as temporary:
            temporary.write_text(card_text(card, report, budget), encoding="utf-8")
    except InputError as error:
        print(f"evaluate.card: {error}", file=sys.stderr)
        return 2
    print(f"wrote {weights / 'card.json'} and {weights / 'README.md'}")
    return 0


def _budget_minutes(log: Path) -> float | None:
    config = yaml.safe_load((log / "config.yaml").read_text(encoding="utf-8"))
    for callback in config["trainer"].get("callbacks") or []:
        budget = (callback.get("init_args") or {}).get("budget_minutes")
        if budget:
            return float(budget)
    return None


if __name__ == "__main__":
    raise SystemExit(main())
