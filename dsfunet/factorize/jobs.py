"""Which results a batch makes: one for each plane of each file, under names that no two of them share."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.io import open_volume
from dsfunet.planes.names import parse_plane


@dataclass(frozen=True)
class Job:
    """One result to make: the plane of that name out of a file (None: the only one it has), and where it goes.

    `refusal` says why that cannot be, where it is known beforehand.
    """

    file: Path
    plane: str | None
    output: Path
    picture: Path | None = None
    refusal: str | None = None

    @property
    def name(self) -> str:
        """File and plane in words."""
        return f"{self.file}" + (f" {self.plane}" if self.plane is not None else "")


def plan_jobs(files: Sequence[Path], folder: Path, settings: FactorizeSettings) -> list[Job]:
    """Jobs of a batch, file by file: FOLDER/<stem>_<plane>.nxs, or FOLDER/<stem>.nxs where no plane is named.

    Files of one stem, in different folders or with different endings, keep their path below the folder that these
    all share, or their full name. A file named twice is done once.

    Raises:
        InputError: two results would have the same name, or one would take the place of a measurement.
    """
    files = list({file.resolve(): file for file in files}.values())
    jobs = [
        job
        for file, beginning in zip(files, _beginnings(files), strict=True)
        for job in jobs_of(file, str(beginning), folder, settings)
    ]
    check_targets(jobs, files)
    return jobs


def jobs_of(file: Path, beginning: str, folder: Path, settings: FactorizeSettings) -> list[Job]:
    """The jobs of one file, whose results' names begin as given.

    Where layers of a volume are asked for and it cannot be told which it has, there is one job, with its refusal.
    """
    try:
        if settings.by_layers:
            with open_volume(file) as volume:
                names = settings.plane_names(volume.axes)
        else:
            names = settings.plane_names()
    except InputError as error:
        return [replace(_job(file, settings.planes, folder / beginning, settings), refusal=str(error))]
    return [_job(file, plane, folder / beginning, settings) for plane in names]


def check_targets(jobs: Sequence[Job], files: Sequence[Path]) -> None:
    """Refuse jobs of which two would write the same file, or one a measurement.

    Raises:
        InputError: as it says.
    """
    measurements = {_known_as(file): file for file in files}
    taken: dict[str, Job] = {}
    for job in jobs:
        for target in filter(None, (job.output, job.picture)):
            key = _known_as(target)
            if key in measurements:
                raise InputError(
                    f"{target}: is the measurement itself; expected another folder for the results"
                )
            if key in taken:
                raise InputError(
                    f"{target}: would hold the results of both {taken[key].name} and {job.name}; expected files of"
                    " different names, or batches with a folder each"
                )
            taken[key] = job


def _job(file: Path, plane: str | None, beginning: Path, settings: FactorizeSettings) -> Job:
    suffix = "" if plane is None else f"_{_in_a_file_name(plane)}"
    output = beginning.with_name(f"{beginning.name}{suffix}.nxs")
    picture = output.with_name(f"{beginning.name}{suffix}.png") if settings.png else None
    return Job(file, plane, output, picture)


def _in_a_file_name(plane: str) -> str:
    """Such as hk1, hk0.5, hhl, and 1_1_0_0_0_1 for [1 1 0] [0 0 1]."""
    try:
        text = str(parse_plane(plane))
    except InputError:
        text = plane
    spaced = text if "[" in text else text.replace(" ", "")
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", spaced).strip("_")


def _beginnings(files: Sequence[Path]) -> list[Path]:
    """What the names of each file's results begin with, below the folder of results."""
    stems = Counter(_folded(file.stem) for file in files)
    beginnings = []
    for file in files:
        twins = [each for each in files if stems[_folded(file.stem)] > 1 and _alike(each, file)]
        if not twins:
            beginnings.append(Path(file.stem))
            continue
        parents = [each.resolve().parent for each in twins]
        shared = os.path.commonpath(parents)
        same_folder = Counter(parents)[file.resolve().parent] > 1
        below = file.resolve().parent.relative_to(shared)
        beginnings.append(below / (file.name if same_folder else file.stem))
    return beginnings


def _alike(one: Path, other: Path) -> bool:
    return _folded(one.stem) == _folded(other.stem)


def _folded(name: str) -> str:
    # Some file systems take A.nxs and a.nxs for the same file.
    return name.casefold()


def _known_as(path: Path) -> str:
    return _folded(str(path.resolve()))
