"""What is asked of `dsfunet factorize` and `watch`, the same for every file: one field a setting and option."""

import hashlib
import json
from dataclasses import asdict, dataclass

from dsfunet.errors import InputError
from dsfunet.io.plane_names import parse_plane_name

NOT_OF_THE_ANSWER = frozenset({"plane", "planes", "weights", "png", "device", "batch_size", "workers"})
"""Fields that the numbers in a result do not depend on, or that a record names by themselves (planes, weights)."""


@dataclass(frozen=True)
class FactorizeSettings:
    """How planes are factorised, whichever files they come from.

    The fields are the options of the command line, as they stand there. One that changes the answer makes results
    that were made without it stale; one that does not belongs in NOT_OF_THE_ANSWER.

    Attributes:
        plane: plane of a volume, named as crystallographers do: hk1, h0l, "h k 1.5".
        planes: several of them, "hk0, hk1, h k 1.5"; each gets a result of its own.
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
        if self.planes is not None:
            self.plane_names()  # so that a name that means nothing stops everything before any work

    def plane_names(self) -> tuple[str | None, ...]:
        """The planes to make of each file, each once, in order; (None,) for the only one a file has.

        Raises:
            InputError: a name among several means no plane.
        """
        if self.planes is None:
            return (self.plane,)
        words = [word.strip() for word in self.planes.split(",") if word.strip()]
        if not words:
            raise InputError(f"--planes {self.planes!r}: expected names of planes, such as 'hk0, hk1'")
        return tuple({str(parse_plane_name(word)): word for word in words}.values())

    def digest(self) -> str:
        """Twelve hexadecimal digits that change with every setting on which the numbers of a result depend."""
        answer = {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_ANSWER}
        text = json.dumps(answer, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
