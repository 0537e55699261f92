"""The CSV log of a training run: a folder with one version_N for every start of the run."""

import csv
from pathlib import Path

from dsfunet.errors import InputError

Points = tuple[list[float], list[float]]


def read_log(log: Path) -> dict[str, Points]:
    """Read the batch numbers and values of every column of a CSV log, with all starts of the run joined.

    If a run was resumed from a checkpoint, rows of the earlier log after that checkpoint are left out.

    Raises:
        InputError: if there is no log, or nothing was logged yet.
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
        raise InputError(f"{log}: the log holds no numbers yet; expected the log of a training run")
    return {name: ([x for x, _ in points], [y for _, y in points]) for name, points in columns.items()}


def log_versions(log: Path) -> list[Path]:
    """Return the version_N folders of a CSV log in the order they were made, each with metrics.csv and config.yaml.

    Raises:
        InputError: if there is none.
    """
    numbers = sorted(
        int(path.parent.name.removeprefix("version_")) for path in log.glob("version_*/metrics.csv")
    )
    if not numbers:
        raise InputError(f"{log}: found no version_N/metrics.csv in it; expected a folder of the CSV logger")
    return [log / f"version_{number}" for number in numbers]
