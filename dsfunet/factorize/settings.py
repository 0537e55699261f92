"""Typed settings: how a plane is factorised, and which planes of which files, on which device."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dsfunet._version import __version__
from dsfunet.cleanup import CleanUp
from dsfunet.errors import InputError
from dsfunet.io import ReadOptions, UserAxes
from dsfunet.io.plane_lists import PlaneSelection
from dsfunet.lattice.joint_fit.resolution import Resolution
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, check_centring
from dsfunet.planes.turns import choose_turns


@dataclass(frozen=True)
class FactorizeSettings:
    """How a plane is factorised: everything that changes the answer to a measured plane.

    Attributes:
        lattice: Use the lattice where it explains the plane; False for the networks alone, "insist" to use the lattice
            in any case.
        passes: Number of passes over rotated and flipped copies of the plane, 0 to 8; more passes sharpen the
            uncertainties, 0 gives none.
        whole: Shrink all of a plane wider than 17.6 1/Angstrom into the networks' square, instead of using its centre.
        seed: Chooses the rotations and flips, and the noise that fills holes.
        clean_up: What is done to the plane first; nothing by default.
        centring: Lattice type of the sites in the conventional cell; None takes that of the file, or else finds
            it in the plane.
        resolution: Gaussian resolution of the instrument; "auto" estimates it from the plane; None takes pixels as
            sharp.
        thickness: Full width of the third index over which the layer was averaged [r.l.u.]; 0 for a sharp layer.

    Raises:
        InputError: `passes`, `seed` or `thickness` is out of range, or the centring is unknown.

    Examples:
        >>> from dsfunet import CleanUp, FactorizeSettings
        >>> FactorizeSettings(passes=4, clean_up=CleanUp(bragg_radius="auto")).lattice
        True
    """

    lattice: bool | Literal["insist"] = True
    passes: int = 1
    whole: bool = False
    seed: int = 0
    clean_up: CleanUp = field(default_factory=CleanUp)
    centring: Centring | None = None
    resolution: Resolution | Literal["auto"] | None = None
    thickness: float = 0.0

    def __post_init__(self) -> None:
        if self.centring is not None:
            check_centring(self.centring)
        Resolution(thickness=self.thickness)  # checks it
        choose_turns(self.passes or 1, self.seed)


@dataclass(frozen=True)
class FactorizeRequest:
    """What `dsfunet factorize` and `watch` do with every file.

    Attributes:
        planes: Planes of a volume; None for the only plane of a file.
        axes: Axes of a picture, whose file has none.
        cell: Unit cell, used when the file has no valid one.
        reading: What else the user says about the files, such as the scale of their numbers.
        weights: `release` for those in the package, or a checkpoint or a folder of safetensors.
        device: "cpu" or "cuda"; None chooses a GPU when there is one.
        png: Also draw each result, as .png beside it.
        batch_size: Number of planes that go through the networks at once on a GPU.
        workers: Number of planes worked on at once; None for one per core, or one per plane of a batch on a GPU.
        settings: How each plane is factorised.

    Raises:
        InputError: `batch_size` or `workers` is below 1.
    """

    planes: PlaneSelection | None = None
    axes: UserAxes | None = None
    cell: Cell | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    weights: str = "release"
    device: str | None = None
    png: bool = False
    batch_size: int = 16
    workers: int | None = None
    settings: FactorizeSettings = field(default_factory=FactorizeSettings)

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; expected 1 or more")

    def as_plain(self) -> dict[str, Any]:
        """The request in plain types, for a JSON file."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain | {"planes": None if self.planes is None else str(self.planes)}

    def digest(self) -> str:
        """Twelve hexadecimal digits that change whenever the numbers in a result could change.

        They depend on the settings, the axes, the cell, how files are read, the version of dsfunet, and the size and
        modification time of the mask and background files, but not on weights and plane names, which results record
        by themselves.
        """
        answer = {
            "settings": asdict(self.settings),
            "axes": None if self.axes is None else asdict(self.axes),
            "cell": None if self.cell is None else asdict(self.cell),
            "reading": asdict(self.reading),
            "version": __version__,
            "files": [_state(file) for file in self.settings.clean_up.files],
        }
        text = json.dumps(answer, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _state(file: Path) -> tuple[int, int] | None:
    """Size [bytes] and modification time [ns] of a file; None if it does not exist, which its reader will report."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
