"""Which results a batch makes: one for each plane of each file, under names that no two of them share."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsfunet.errors import InputError
from dsfunet.factorize_settings import FactorizeSettings
from dsfunet.io.plane_names import parse_plane_name


@dataclass(frozen=True)
class Job:
    """One result to make: the plane of that name out of a file (None: the only one it has), and where it goes."""

    file: Path
    plane: str | None
    output: Path
    picture: Path | None = None

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
        _job(file, plane, folder / beginning, settings)
        for file, beginning in zip(files, _beginnings(files), strict=True)
        for plane in planes_of(file, settings)
    ]
    check_targets(jobs, files)
    return jobs


def planes_of(file: Path, settings: FactorizeSettings) -> tuple[str | None, ...]:
    """Names of the planes to make of one file, (None,) for the only one it has.

    The same for every file; a way of asking that depends on what a file holds belongs here.
    """
    return settings.plane_names()


def job_of(file: Path, beginning: str, plane: str | None, folder: Path, settings: FactorizeSettings) -> Job:
    """The job whose result's name begins as given."""
    return _job(file, plane, folder / beginning, settings)


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
    suffix = "" if plane is None else f"_{str(parse_plane_name(plane)).replace(' ', '')}"
    output = beginning.with_name(f"{beginning.name}{suffix}.nxs")
    picture = output.with_name(f"{beginning.name}{suffix}.png") if settings.png else None
    return Job(file, plane, output, picture)


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
