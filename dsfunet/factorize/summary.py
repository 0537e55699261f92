"""The outcome of each plane of a batch: a JSON file that is complete at any moment, and the record in each result."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.factorize.jobs import Job
from dsfunet.files import replacing
from dsfunet.io.hdf5 import open_hdf5

Status = Literal["done", "skipped", "failed", "waiting"]

_SECONDS_BETWEEN_WRITES = 2.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of one plane.

    Attributes:
        status: Done now, skipped because its result existed already, failed, or waiting.
        r_factor: sum |I - P| / sum I over the measured pixels, P being the product; None without a result.
        missing: Share of the plane that was not measured, 0 to 1.
        lattice: Whether the lattice was used, in words.
        verdict: Whether the components explain the plane, in a sentence.
        verdict_level: explained, doubtful or not explained.
        verdict_numbers: The numbers behind the verdict, by name.
        seconds: Time that the plane took, reading and writing included [s].
        notes: Sentences that the user should read.
        error: The sentence that says why the plane failed.
    """

    status: Status = "waiting"
    r_factor: float | None = None
    missing: float | None = None
    lattice: str | None = None
    verdict: str | None = None
    verdict_level: str | None = None
    verdict_numbers: dict[str, float] | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Provenance:
    """The origin of a result, which is made again when any of this has changed.

    Attributes:
        source_bytes: Size of the file.
        source_modified_ns: Modification time of the file [ns since 1970].
        settings: `FactorizeRequest.digest`.
        weights: SHA-256 digest of the weights.
        plane: The plane as requested; empty for the only one of a file.
    """

    source_bytes: int
    source_modified_ns: int
    settings: str
    weights: str
    plane: str

    @classmethod
    def of(cls, job: Job, settings: str, weights: str) -> "Provenance":
        """Look up the origin of a job's result, with its file as it is now.

        Raises:
            InputError: The file does not exist or cannot be read.
        """
        try:
            found = job.file.stat()
        except FileNotFoundError as error:
            raise InputError(f"{job.file}: no such file") from error
        except OSError as error:
            raise InputError(f"{job.file}: cannot be read ({error.strerror})") from error
        return cls(found.st_size, found.st_mtime_ns, settings, weights, job.requested or "")

    def record(self, missing: float) -> dict[str, str | int | float]:
        """Entries for the NXprocess of a result, where `find_finished` looks for them."""
        return {**{f"batch_{name}": value for name, value in asdict(self).items()}, "missing": missing}


def find_finished(job: Job, provenance: Provenance) -> Outcome | None:
    """The outcome of a job whose result exists and has the same origin; None if the job is still to be done."""
    if not job.output.is_file() or (job.picture is not None and not job.picture.is_file()):
        return None
    try:
        with open_hdf5(job.output) as file:
            process = file["entry/process"]
            found = {name: _plain(process[f"batch_{name}"][()]) for name in asdict(provenance)}
            if found != asdict(provenance):
                return None
            r_factor, missing = float(process["r_factor"][()]), float(process["missing"][()])
            lattice, verdict, level = (
                str(_plain(process[name][()])) for name in ("lattice_mode", "verdict", "verdict_level")
            )
            numbers = json.loads(process["verdict_numbers"][()])
            return Outcome("skipped", r_factor, missing, lattice, verdict, level, numbers)
    except (
        OSError,
        RuntimeError,
        KeyError,
        AttributeError,
        TypeError,
        ValueError,
    ):  # not a result of ours, or of another version
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


class Summary:
    """Outcomes of a batch, plane by plane, and the file that lists them.

    Args:
        jobs: Jobs of the batch; `record` accepts others as well.
        path: The JSON file, or None. It is rewritten every few seconds, and whenever `write` is called.
        settings: Settings of the batch, for the record.
    """

    def __init__(self, jobs: Iterable[Job], path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.outcomes: dict[Job, Outcome] = {job: Outcome() for job in jobs}
        self._settings = dict(settings)
        self._started = _now()
        self._written = -np.inf

    def record(self, job: Job, outcome: Outcome) -> None:
        """Record the outcome of a job.

        Raises:
            InputError: The file has to be rewritten and cannot be.
        """
        self.outcomes[job] = outcome
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write()

    @property
    def counts(self) -> dict[str, int]:
        """Number of planes that are done, skipped, failed and waiting."""
        counted = Counter(outcome.status for outcome in self.outcomes.values())
        return {status: counted[status] for status in ("done", "skipped", "failed", "waiting")}

    @property
    def exit_code(self) -> int:
        """0 if every plane is done, 1 if some failed or are waiting, 2 if none could be done."""
        counts = self.counts
        if counts["done"] + counts["skipped"] == len(self.outcomes):
            return 0
        return 1 if counts["done"] + counts["skipped"] else 2

    def write(self, ended: str = "") -> None:
        """Write the file; `ended` says why the batch ended, and is empty while it runs.

        Raises:
            InputError: The file cannot be written.
        """
        if self.path is None:
            return
        content = {
            "program": "dsfunet",
            "version": __version__,
            "started": self._started,
            "written": _now(),
            "ended": ended or None,
            "settings": self._settings,
            "counts": self.counts,
            "planes": [
                {
                    "file": str(job.file),
                    "plane": job.requested,
                    **({} if job.at is None else {"at": str(job.at)}),
                    "output": str(job.output),
                    **asdict(outcome),
                }
                for job, outcome in self.outcomes.items()
            ],
        }
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        self._written = time.monotonic()


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
