"""Which layer of a volume a plane's name means, and reading that layer alone."""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.io.plane_names import AXIS_LABELS, PlaneName, parse_plane_name

Array = npt.NDArray[np.float64]


_FARTHEST_LAYER = 0.05
"""How far [r.l.u.] a layer may lie from the plane that was asked for."""


@dataclass(frozen=True)
class VolumeAxes:
    """Where the voxels of a volume lie, everything in the order h, k, l.

    `lower` are the coordinates of the first voxel and `steps` the spacings [r.l.u.], `counts` the numbers of
    voxels, `dimensions` the dimension of the array that runs along each axis.

    Raises:
        InputError: a number is not finite, or an axis of more than one voxel has no step.
    """

    lower: tuple[float, float, float]
    steps: tuple[float, float, float]
    counts: tuple[int, int, int]
    dimensions: tuple[int, int, int] = (0, 1, 2)

    def __post_init__(self) -> None:
        for label, lower, step, count in zip(AXIS_LABELS, self.lower, self.steps, self.counts, strict=True):
            if count < 1:
                raise InputError(f"volume has no voxels along {label}")
            if not (np.isfinite(lower) and np.isfinite(step)) or (count > 1 and step == 0):
                raise InputError(
                    f"volume axis {label}: begins at {lower} with step {step}, expected finite numbers"
                )

    def coordinates(self, axis: int) -> Array:
        """Voxel centres along an axis (0, 1, 2 for h, k, l) [r.l.u.]."""
        return self.lower[axis] + self.steps[axis] * np.arange(self.counts[axis], dtype=np.float64)

    def choose(self, text: str | None) -> PlaneName:
        """The plane a user means: what the text says or, without one, the only layer there is.

        Raises:
            InputError: the text names no plane, or none is given and the volume has many.
        """
        if text is not None:
            return parse_plane_name(text)
        single = [axis for axis in range(3) if self.counts[axis] == 1]
        if len(single) == 1:
            return self._name(single[0], self.lower[single[0]])
        size, examples = " x ".join(map(str, self.counts)), ", ".join(self.examples())
        raise InputError(
            f"volume of {size} voxels along h, k, l: name the plane that is meant, such as {examples}"
        )

    def examples(self) -> list[str]:
        """Names of a few planes the volume holds: the layers nearest 0 and 1 along l, k and h."""
        names = []
        for axis in (2, 1, 0):
            values = self.coordinates(axis)
            layers = {float(round(values[np.abs(values - wish).argmin()], 6)) for wish in (0, 1)}
            others = [self.counts[other] for other in range(3) if other != axis]
            if min(others) > 1:
                names += [str(self._name(axis, value)) for value in sorted(layers)]
        return [f"'{name}'" if " " in name else name for name in names]

    def layer(self, name: PlaneName) -> tuple[int, float]:
        """Index and coordinate [r.l.u.] of the layer nearest a plane.

        At most half a step away, and never more than 0.05: another layer is other physics.

        Raises:
            InputError: there is none, or the layer is a mere line of voxels.
        """
        axis, count = name.fixed_axis, self.counts[name.fixed_axis]
        lower, step = self.lower[axis], abs(self.steps[axis])
        values = self.coordinates(axis)
        index = int(np.abs(values - name.offset).argmin())
        distance = abs(values[index] - name.offset)
        if distance > min(0.5 * step * (1 + 1e-6), _FARTHEST_LAYER) + 1e-6:
            held = (
                f"{min(values):g} to {max(values):g} in steps of {step:g}"
                if count > 1
                else f"{lower:g} alone"
            )
            raise InputError(f"plane {name}: the volume holds {name.fixed_label} = {held}")
        for other in name.axes:
            if self.counts[other] < 2:
                raise InputError(
                    f"plane {name}: the volume is one voxel thick along {AXIS_LABELS[other]}, "
                    f"expected a plane such as {', '.join(self.examples()) or 'none'}"
                )
        # float32 limits give 0.99999998 where 1 is meant.
        return index, name.offset if distance <= 1e-3 * step + 1e-6 else float(values[index])

    def read_layer(self, dataset: h5py.Dataset, name: PlaneName, index: int) -> npt.NDArray[Any]:
        """One layer of a dataset and nothing else of it, rows and columns in the order of the name."""
        selection: list[int | slice] = [slice(None)] * 3
        selection[self.dimensions[name.fixed_axis]] = index
        layer = np.asarray(dataset[tuple(selection[: dataset.ndim])])
        first, second = (self.dimensions[axis] for axis in name.axes)
        return layer if first < second else layer.T

    @staticmethod
    def _name(fixed_axis: int, offset: float) -> PlaneName:
        first, second = (axis for axis in range(3) if axis != fixed_axis)
        return PlaneName((first, second), offset)
