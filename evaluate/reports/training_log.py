"""What the CSV logger of a training run left: a folder with a version_N for every start of the run."""

import csv
from pathlib import Path

from dsfunet.errors import InputError

Points = tuple[list[float], list[float]]


def read_log(log: Path) -> dict[str, Points]:
    """Batches and values of every column of a CSV logger's folder, all starts of the run joined.

    A run that went on from a checkpoint went on from there: what the earlier log holds beyond is left out.

    Raises:
        InputError: there is no log, or nothing was logged yet.
    """
    columns: dict[str, list[tuple[float, float]]] = {}
    for version in log_versions(log):
        with (version / "metrics.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if not rows:
            continue
        first = float(rows[0]["step"])
        columns = {name: [each for each in points if each[0] <= first] for name, points in columns.items()}
        for row in rows:
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    columns.setdefault(name, []).append((float(row["step"]) + 1, float(value)))
    if not columns:
        raise InputError(f"{log}: holds no numbers yet; expected the log of a training run")
    return {name: ([x for x, _ in points], [y for _, y in points]) for name, points in columns.items()}


def log_versions(log: Path) -> list[Path]:
    """The folders of a CSV logger in the order they were made, each with metrics.csv and config.yaml.

    Raises:
        InputError: there is none.
    """
    numbers = sorted(
        int(path.parent.name.removeprefix("version_")) for path in log.glob("version_*/metrics.csv")
    )
    if not numbers:
        raise InputError(f"{log}: expected a folder of the CSV logger, found no version_N/metrics.csv in it")
    return [log / f"version_{number}" for number in numbers]
