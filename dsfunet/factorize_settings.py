"""What is asked of `dsfunet factorize` and `watch`, the same for every file: one field a setting and option."""

import hashlib
import json
from dataclasses import asdict, dataclass

from dsfunet.errors import InputError
from dsfunet.io.plane_lists import planes_of
from dsfunet.io.volume import VolumeAxes

NOT_OF_THE_ANSWER = frozenset({"plane", "planes", "weights", "png", "device", "batch_size", "workers"})
"""Fields that the numbers in a result do not depend on, or that a record names by themselves (planes, weights)."""


@dataclass(frozen=True)
class FactorizeSettings:
    """How planes are factorised, whichever files they come from.

    The fields are the options of the command line, as they stand there. One that changes the answer makes results
    that were made without it stale; one that does not belongs in NOT_OF_THE_ANSWER.

    Attributes:
        plane: plane of a volume, named as crystallographers do: hk1, h0l, "h k 1.5".
        planes: several of them, "hk0, hk1, h k 1.5", or layers, hk:all, hk:half, hk:0..3/0.5; a result for each.
        weights: `release` for those in the package, or a checkpoint or folder of safetensors.
        png: also draw each result beside it, as .png.
        device: cpu or cuda; by default a GPU where there is one.
        lattice: use the lattice where the file gives it and it explains the plane; false for the networks alone.
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

    def __post_init__(self) -> None:
        if self.plane is not None and self.planes is not None:
            raise InputError(f"--plane {self.plane!r} and --planes {self.planes!r}: expected one of the two")
        for name in ("batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: expected 1 or more")
        if self.planes is not None and not self.by_layers:
            self.plane_names()  # so that a name that means nothing stops everything before any work

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
        anywhere = VolumeAxes(
            (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (2, 2, 2)
        )  # planes by name are the same in all
        return tuple(str(name) for name in planes_of(axes or anywhere, self.planes))

    def digest(self) -> str:
        """Twelve hexadecimal digits that change with every setting on which the numbers of a result depend."""
        answer = {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_ANSWER}
        text = json.dumps(answer, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
