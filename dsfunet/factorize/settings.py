"""What is asked of `dsfunet factorize` and `watch`, the same for every file: one field a setting and option."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from dsfunet._version import __version__
from dsfunet.cleanup import CleanUp
from dsfunet.errors import InputError
from dsfunet.io import UserAxes, parse_plane_name
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.io.plane_lists import parse_plane_selection
from dsfunet.io.volume import VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.turns import choose_turns

NOT_OF_THE_ANSWER = frozenset({"plane", "planes", "weights", "png", "device", "batch_size", "workers"})
"""Fields that the numbers in a result do not depend on, or that a record names by themselves (planes, weights)."""


@dataclass(frozen=True)
class FactorizeSettings:
    """How planes are factorised, whichever files they come from.

    The fields are the options of the command line, as they stand there. One that changes the answer makes results
    that were made without it stale; one that does not belongs in NOT_OF_THE_ANSWER.

    Attributes:
        plane: plane of a volume, hk1, h0l, "h k 1.5", hhl or "[1 1 0] [0 0 1] + [0.5 0 0]".
        planes: several of them, "hk0, hk1, h k 1.5", or layers, hk:all, hk:half, hk:0..3/0.5; a result for each.
        weights: `release` for those in the package, or a checkpoint or folder of safetensors.
        png: also draw each result beside it, as .png.
        device: cpu or cuda; by default a GPU where there is one.
        lattice: use the lattice where the file gives it and it explains the plane; false, or
            --no-lattice, for the networks alone.
        passes: how often the plane is asked, turned: 4 say more than 1, and take longer; 0 for no uncertainties.
        whole: show the networks all of a plane wider than 17.6 1/Angstrom, not the part about its centre.
        cell: "a b c alpha beta gamma" [Angstrom, degrees], for a file that has none that makes sense.
        q_max_inv_angstrom: half the side of a square picture with Cartesian pixels, whose axes these options give.
        first_range: centres of the first and last pixel of a picture along the plane's first axis, "-5 5" [r.l.u.].
        second_range: likewise along the second axis; both go together.
        orientation: of a picture: array has the first axis down its rows, picture has it to the right, the second up.
        seed: of the turns, and of the noise that fills holes.
        clean_up: what is done to each plane before.
        batch_size: planes that go through the networks at once on a GPU.
        workers: planes that are worked on at once; by default one for each core, and on a GPU as many as a batch has.

    Raises:
        InputError: plane and planes are both given, a name among them means no plane, or a number is below 1.
    """

    plane: str | None = None
    planes: str | None = None
    weights: str = "release"
    png: bool = False
    device: str | None = None
    lattice: bool = True
    batch_size: int = 16
    workers: int | None = None
    passes: int = 1
    whole: bool = False
    cell: str | None = None
    q_max_inv_angstrom: float | None = None
    first_range: str | None = None
    second_range: str | None = None
    orientation: Literal["array", "picture"] = "array"
    seed: int = 0
    clean_up: CleanUp = field(default_factory=CleanUp)

    def __post_init__(self) -> None:
        if self.plane is not None and self.planes is not None:
            raise InputError(f"--plane {self.plane!r} and --planes {self.planes!r}: expected one of the two")
        for name in ("batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: expected 1 or more")
        choose_turns(self.passes or 1, self.seed)
        self.axes()
        if self.planes is not None and not self.by_layers:
            self.plane_names()  # so that a name that means nothing stops everything before any work

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> "FactorizeSettings":
        """From options by name, those of `CleanUp` among them.

        Raises:
            InputError: a setting is out of its range, or does not go with another.
        """
        own = {each.name for each in fields(cls)}
        values = {name: value for name, value in options.items() if name in own}
        steps = {name: value for name, value in options.items() if name not in own}
        return cls(**values, clean_up=CleanUp(**steps, seed=values.get("seed", 0)))

    def axes(self) -> UserAxes | None:
        """The axes that are given for pictures; None where none are.

        Raises:
            InputError: of cell, plane, and ranges or q_max, something is missing or means nothing.
        """
        places = (self.q_max_inv_angstrom, self.first_range, self.second_range)
        if all(each is None for each in places):
            if self.orientation != "array":
                raise InputError(
                    f"orientation {self.orientation}: is of a picture whose axes are given, expected --cell, --plane"
                    " and --q-max-inv-angstrom or both ranges with it"
                )
            return None
        if self.cell is None or self.plane is None:
            raise InputError(
                "axes of a picture: expected --cell and --plane with --q-max-inv-angstrom or with both ranges"
            )
        return UserAxes(
            cell_from_text(self.cell),
            parse_plane_name(self.plane),
            _range(self.first_range),
            _range(self.second_range),
            self.q_max_inv_angstrom,
            self.orientation,
        )

    def given_cell(self) -> Cell | None:
        """The cell for files that have none that makes sense; None where none is given.

        Raises:
            InputError: it is no cell.
        """
        return None if self.cell is None else cell_from_text(self.cell)

    @property
    def by_layers(self) -> bool:
        """Whether it depends on the volume which planes are meant."""
        return self.planes is not None and ":" in self.planes

    def plane_names(self, axes: VolumeAxes | None = None) -> tuple[str | None, ...]:
        """The planes to make of a file, each once, in order; (None,) for the only one it has.

        Args:
            axes: of the volume in the file; needed where layers of it are asked for.

        Raises:
            InputError: a name among several means no plane, or layers are asked for that the volume does not hold.
        """
        if self.planes is None:
            return (self.plane,)
        if self.by_layers and axes is None:
            raise InputError(f"--planes {self.planes!r}: expected a volume, whose layers these are")
        return tuple(str(name) for name in parse_plane_selection(self.planes).list_planes(axes))

    def digest(self) -> str:
        """Twelve hexadecimal digits that change with every setting on which the numbers of a result depend.

        They change with the version of dsfunet, too.

        And with size and time of writing of the files among them, masks and backgrounds: the same name may come to hold
        another one.
        """
        answer = {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_ANSWER}
        answer["version"] = __version__
        if self.clean_up.files:
            answer["files"] = [_state(file) for file in self.clean_up.files]
        text = json.dumps(answer, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _state(file: Path) -> tuple[int, int] | None:
    """Size [bytes] and time of writing [ns] of a file, None where it is not there."""
    try:
        found = file.stat()
    except OSError:  # who reads it says so
        return None
    return found.st_size, found.st_mtime_ns


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        first, last = map(float, text.replace(",", " ").strip("[]() ").split())
    except ValueError:
        raise InputError(
            f"range {text!r}: expected two numbers, the first and the last pixel's [r.l.u.]"
        ) from None
    return first, last
