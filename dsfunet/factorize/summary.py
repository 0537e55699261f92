"""The outcome of each plane of a batch: a JSON file that is complete at any moment, and the record in each result."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.factorize.jobs import Job
from dsfunet.files import make_printable, replacing
from dsfunet.io.hdf5 import open_hdf5
from dsfunet.io.linked_files import Marks, mark_file

Status = Literal["done", "skipped", "failed", "waiting"]

_SECONDS_BETWEEN_WRITES = 2.0
_WRITES_SHARE = 0.05  # of the time, at most: a list of 10,000 planes takes a while to write


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
        retry: Whether the same may succeed later: the disk was full, or a linked file is not there yet.
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
    retry: bool = False


@dataclass(frozen=True)
class Provenance:
    """The origin of a result, which is made again when any of this has changed.

    Attributes:
        source: Full path of the file.
        source_bytes: Size of the file.
        source_modified_ns: Modification time of the file [ns since 1970].
        settings: `FactorizeRequest.digest`.
        weights: SHA-256 digest of the weights.
        plane: The plane as requested; empty for the only one of a file.
    """

    source: str
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
        source = make_printable(job.file.resolve())
        return cls(source, found.st_size, found.st_mtime_ns, settings, weights, job.requested or "")

    def record(self, missing: float, linked: Marks) -> dict[str, str | int | float]:
        """Entries for the NXprocess of a result, where `find_finished` looks for them.

        Args:
            missing: Share of the plane that was not measured, 0 to 1.
            linked: Other files that the plane was read from.
        """
        own = {f"batch_{name}": value for name, value in asdict(self).items()}
        return {**own, "batch_linked": json.dumps(linked), "missing": missing}


def find_finished(job: Job, provenance: Provenance) -> Outcome | None:
    """The outcome of a job whose result exists and has the same origin; None if the job is still to be done."""
    if not job.output.is_file() or (job.picture is not None and not job.picture.is_file()):
        return None
    try:
        with open_hdf5(job.output) as file:
            process = file["entry/process"]
            found = {name: _plain(process[f"batch_{name}"][()]) for name in asdict(provenance)}
            linked = json.loads(process["batch_linked"][()])
            if found != asdict(provenance) or any(not _is_as_marked(*each) for each in linked.items()):
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


def find_owner(output: Path) -> str | None:
    """Full path of the file that a result was made from; None if there is no result, or it does not say so."""
    if not output.is_file():
        return None
    try:
        with open_hdf5(output) as file:
            return str(_plain(file["entry/process/batch_source"][()]))
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError):
        return None


def belongs_to_other(output: Path, file: Path) -> bool:
    """Whether a result was made from another file that still exists, so that its name must not change owner."""
    owner = find_owner(output)
    # The name of an owner with an escaped character is not its path, so nobody can say that it is gone.
    gone = owner is not None and "\\" not in owner and not Path(owner).exists()
    return owner is not None and owner != make_printable(file.resolve()) and not gone


def _is_as_marked(path: str, mark: Sequence[int] | None) -> bool:
    found = mark_file(path)
    return (None if mark is None else tuple(mark)) == found


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
        self._next_write = -np.inf
        self.recorded = 0
        """How many outcomes were recorded so far."""
        self._of_file: dict[Path, dict[Job, None]] = {}
        self.trouble: InputError | None = None
        """Why the file could not be written when it was due last."""

    def record(self, job: Job, outcome: Outcome) -> None:
        """Record the outcome of a job, and rewrite the file if that is due; if it cannot be, go on."""
        self.outcomes[job] = outcome
        self.recorded += 1
        self._of_file.setdefault(job.file, {})[job] = None
        if time.monotonic() > self._next_write:
            self.try_to_write()

    def forget_failures(self, file: Path) -> None:
        """Forget the jobs of a file that failed, because they are planned anew."""
        for job in list(self._of_file.get(file, ())):
            if self.outcomes[job].status == "failed":
                del self.outcomes[job], self._of_file[file][job]

    def try_to_write(self, ended: str = "") -> bool:
        """Write the file, or keep the error as `trouble` and return False."""
        try:
            self.write(ended)
        except InputError as error:
            self.trouble = error
            self._next_write = time.monotonic() + _SECONDS_BETWEEN_WRITES
            return False
        self.trouble = None
        return True

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
        began = time.monotonic()
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
        now = time.monotonic()
        self._next_write = now + max(_SECONDS_BETWEEN_WRITES, (now - began) / _WRITES_SHARE)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
