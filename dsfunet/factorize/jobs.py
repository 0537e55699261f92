"""Jobs: the results that a run makes, one for each plane of each file, under names that are all different."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsfunet.errors import InputError, may_pass
from dsfunet.factorize.settings import FactorizeRequest
from dsfunet.files import make_printable
from dsfunet.io import open_volume
from dsfunet.io.fourth_axis import Coordinates
from dsfunet.io.open_volumes import list_coordinates
from dsfunet.planes.names import AnyPlaneName


@dataclass(frozen=True)
class Job:
    """One result to make.

    Attributes:
        file: The measurement.
        plane: Which plane of it; None for the only one it has.
        output: The NeXus file to write.
        picture: The PNG to draw, if any.
        refusal: Why the job cannot be done, if that is already known.
        refusal_may_pass: Whether it could be done later, such as when a linked file is there.
        requested: The plane as messages and records name it; None for the only one.
        at: The value along a fourth axis of the data; None for what the request says.
    """

    file: Path
    plane: AnyPlaneName | None
    output: Path
    picture: Path | None = None
    refusal: str | None = None
    refusal_may_pass: bool = False
    requested: str | None = None
    at: Coordinates | None = None

    @property
    def name(self) -> str:
        """File, plane and value along a fourth axis, for messages."""
        return make_printable(" ".join(map(str, filter(None, (self.file, self.requested, self.at)))))


def plan_jobs(files: Sequence[Path], folder: Path, request: FactorizeRequest) -> list[Job]:
    """Plan a batch, file by file: FOLDER/<stem>_<plane>.nxs, or FOLDER/<stem>.nxs when no plane is named.

    Files with the same stem keep their path below the folder they all share, or their full name. A file that is named
    twice is done once.

    Raises:
        InputError: Two results would have the same name, or a result would overwrite a measurement.
    """
    files = list({file.resolve(): file for file in files}.values())
    jobs = [
        job
        for file, beginning in zip(files, _beginnings(files), strict=True)
        for job in plan_file(file, str(beginning), folder, request)
    ]
    check_targets(jobs, files)
    return jobs


def plan_file(file: Path, beginning: str, folder: Path, request: FactorizeRequest) -> list[Job]:
    """Plan the jobs of one file, whose results' names begin as given: for each value along a fourth axis all planes.

    When layers, or all values along an axis, are requested and cannot be read, the list holds one job with its refusal.
    """
    at = request.reading.at
    if at is None or not at.are_several:
        return _plan_planes(file, beginning, folder, request)
    try:
        values = at.values or list_coordinates(file, at.name, request.reading, request.cell)
    except InputError as error:
        return [_refuse(file, folder / beginning, str(at), error)]
    jobs = []
    for each in (Coordinates(at.name, (value,)) for value in values):
        one = replace(request, reading=replace(request.reading, at=each))
        name = f"{beginning}_{_make_file_name(str(each).replace('=', ''))}"
        jobs += [replace(job, at=each) for job in _plan_planes(file, name, folder, one)]
    return jobs


def _plan_planes(file: Path, beginning: str, folder: Path, request: FactorizeRequest) -> list[Job]:
    """Plan the jobs of one file at one value along a fourth axis, if it has one."""
    selection = request.planes
    if selection is None:
        return [_make_job(file, None, folder / beginning, request.png)]
    if not selection.needs_volume:
        return [_make_job(file, plane, folder / beginning, request.png) for plane in selection.list_planes()]
    try:
        with open_volume(file, request.reading, request.cell) as volume:
            planes = selection.list_planes(volume.axes)
    except InputError as error:
        return [_refuse(file, folder / beginning, str(selection), error)]
    return [_make_job(file, plane, folder / beginning, request.png) for plane in planes]


def _refuse(file: Path, beginning: Path, requested: str, error: InputError) -> Job:
    passing = may_pass(error)
    return Job(file, None, _output(beginning, requested), None, str(error), passing, requested=requested)


def check_targets(jobs: Sequence[Job], files: Sequence[Path]) -> None:
    """Refuse jobs that would overwrite each other's results or a measurement.

    Raises:
        InputError: Two jobs have a target in common, or a target is one of the files.
    """
    measurements = {_identify(file) for file in files}
    taken: dict[str, Job] = {}
    for job in jobs:
        for target in filter(None, (job.output, job.picture)):
            key = _identify(target)
            if key in measurements:
                raise InputError(
                    f"{target}: the result would overwrite the measurement; choose another name or folder"
                )
            if taken.get(key) is job:
                nexus = target.with_suffix(".nxs")
                raise InputError(f"{target}: the picture would overwrite the result; name the result {nexus}")
            if key in taken:
                raise InputError(
                    f"{target}: {taken[key].name} and {job.name} would both be written here; rename one of the files,"
                    " or use a folder for each batch"
                )
            taken[key] = job


def _make_job(file: Path, plane: AnyPlaneName | None, beginning: Path, png: bool) -> Job:
    requested = None if plane is None else str(plane)
    output = _output(beginning, requested)
    return Job(file, plane, output, output.with_suffix(".png") if png else None, requested=requested)


def _output(beginning: Path, plane: str | None) -> Path:
    suffix = "" if plane is None else f"_{_make_file_name(plane)}"
    return beginning.with_name(f"{beginning.name}{suffix}.nxs")


def _make_file_name(plane: str) -> str:
    """The name of a plane as part of a file name: hk1, hk0.5, hhl, or 1_1_0_0_0_1 for [1 1 0] [0 0 1]."""
    spaced = plane if "[" in plane else plane.replace(" ", "")
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", spaced).strip("_")


def _beginnings(files: Sequence[Path]) -> list[Path]:
    """The beginning of the names of each file's results, below the folder of results."""
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(_folded(file.stem), []).append(file)
    beginnings = {}
    for twins in groups.values():
        if len(twins) == 1:
            beginnings[twins[0]] = Path(twins[0].stem)
            continue
        parents = [each.resolve().parent for each in twins]
        shared, members = os.path.commonpath(parents), Counter(parents)
        for file, parent in zip(twins, parents, strict=True):
            below = parent.relative_to(shared)
            beginnings[file] = below / (file.name if members[parent] > 1 else file.stem)
    return [beginnings[file] for file in files]


def _folded(name: str) -> str:
    # On some file systems A.nxs and a.nxs are the same file.
    return name.casefold()


def _identify(path: Path) -> str:
    return _folded(str(path.resolve()))
