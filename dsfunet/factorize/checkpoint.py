"""The checkpoint of a long factorisation of a volume: a file beside the result, from which the same command goes on."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from dsfunet._version import __version__
from dsfunet.errors import InputError, PassingError
from dsfunet.files import replacing
from dsfunet.lattice.volume_fit.memory import FitMemory
from dsfunet.lattice.volume_fit.voxels import Voxels

SECONDS = 60.0
"""Time after which the checkpoint is written again, at the next end of a round [s]."""

_SUFFIX = ".checkpoint"


def checkpoint_path(result: Path) -> Path:
    """Return the path of the checkpoint of a result."""
    return result.with_name(f"{result.name}{_SUFFIX}")


def digest_voxels(voxels: Voxels) -> str:
    """Return a digest of everything that a fit sees of a volume, as hexadecimal text."""
    digest = hashlib.blake2b(digest_size=20)
    for values in (*voxels.axes, voxels.intensity, voxels.count, voxels.precision, voxels.shares):
        digest.update(b"none" if values is None else np.ascontiguousarray(values).view(np.uint8).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class CentringChoice:
    """How the centring was chosen: the letter, "option", "file" or "data", and sentences for the user."""

    centring: str
    origin: str
    notes: tuple[str, ...]


class Checkpoint:
    """What is known of a factorisation so far, in memory and, every minute, in a file.

    Attributes:
        path: of the file.
        memory: of the fit.
        centring: how it was chosen; None if it is not known yet.
        note: sentence for the user about an earlier file; empty without one.

    Args:
        result: the file that the factorisation writes.
        identity: of the data and all settings; the file of another one is not used.
        seconds: time between two writes [s].
    """

    def __init__(self, result: Path, identity: Mapping[str, Any], seconds: float = SECONDS) -> None:
        self.path = checkpoint_path(result)
        self.centring: CentringChoice | None = None
        self.note = ""
        self._identity = json.dumps({"version": __version__, **identity}, sort_keys=True)
        self._seconds = seconds
        self._written = time.monotonic()
        self.memory = self._load() or FitMemory(on_keep=self._on_keep)

    def _load(self) -> FitMemory | None:
        if not self.path.is_file():
            return None
        try:
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if str(arrays["identity"]) != self._identity:
                self.note = (
                    f"{self.path} is the checkpoint of other data, settings or another version, so the fit starts from"
                    " the beginning"
                )
                return None
            centring = json.loads(str(arrays["centring"]))
            memory = FitMemory(arrays, self._on_keep)
            self.centring = CentringChoice(centring["centring"], centring["origin"], tuple(centring["notes"]))
        except (OSError, EOFError, BadZipFile, LookupError, TypeError, ValueError, InputError) as error:
            self.centring = None
            self.note = f"{self.path} is damaged ({error}), so the fit starts from the beginning"
            return None
        self.note = f"an earlier run was interrupted; going on from {self.path}"
        return memory

    def keep_centring(self, choice: CentringChoice) -> None:
        """Keep how the centring was chosen."""
        self.centring = choice
        self._on_keep()

    def write(self) -> None:
        """Write the file if there is something to go on from; the file is complete or the earlier one.

        Raises:
            InputError: the file cannot be written.
        """
        if self.centring is None:
            return
        centring = json.dumps(
            {
                "centring": self.centring.centring,
                "origin": self.centring.origin,
                "notes": list(self.centring.notes),
            }
        )
        with replacing(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                allow_pickle=False,
                **self.memory.as_arrays(),
                identity=np.array(self._identity),
                centring=np.array(centring),
            )
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def kept(self) -> Iterator["Checkpoint"]:
        """Write the file where the block is stopped from outside or fails for want of room; remove it at the end."""
        try:
            yield self
        except (KeyboardInterrupt, SystemExit, OSError, MemoryError, PassingError):
            self.write()
            raise
        self.remove()

    def _on_keep(self) -> None:
        if time.monotonic() - self._written >= self._seconds:
            self.write()
