"""A volume in a user's file: where its voxels lie, which layer a plane's name means, and reading that layer alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.hdf5 import get_shape, read_block
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import AXIS_LABELS, PlaneName, parse_plane_name
from dsfunet.planes.preprocessing import PIXELS

Box = tuple[slice, slice, slice]
"""A block of voxels: which along h, k and l; steps of 1."""


_FARTHEST_LAYER = 0.05
"""How far [r.l.u.] a layer may lie from the plane that was asked for."""

_MOST_ALONG = 1_000_000
"""Voxels along an axis; no detector and no computer makes more."""

MOST_PIXELS = 2**26
"""Pixels of a plane, 8192 x 8192: more are refused before anything of that size is made."""

_MOST_READ = 200_000_000
"""Voxels that are read at a time: 1.6 GB as float64."""

_FARTHEST_INDEX = 1e6
"""Largest h, k or l; beyond it numbers are no Miller indices, and would overflow later."""


@dataclass(frozen=True)
class VolumeAxes:
    """Where the voxels of a volume lie, everything in the order h, k, l.

    `lower` are the coordinates of the first voxel and `steps` the spacings [r.l.u.], `counts` the numbers of
    voxels, `dimensions` the dimension of the array that runs along each axis: one beyond its dimensions for an
    axis that the array does not have. Dimensions that run along none of the three are one voxel thick.

    Raises:
        InputError: a number is not finite or no Miller index, an axis of more than one voxel has no step, or it
            has more than a million.
    """

    lower: tuple[float, float, float]
    steps: tuple[float, float, float]
    counts: tuple[int, int, int]
    dimensions: tuple[int, int, int] = (0, 1, 2)

    def __post_init__(self) -> None:
        for label, lower, step, count in zip(AXIS_LABELS, self.lower, self.steps, self.counts, strict=True):
            if count < 1:
                raise InputError(f"volume has no voxels along {label}")
            if count > _MOST_ALONG:
                raise InputError(
                    f"volume has {count} voxels along {label}: expected {_MOST_ALONG} at the most"
                )
            if not (np.isfinite(lower) and np.isfinite(step)) or (count > 1 and step == 0):
                raise InputError(
                    f"volume axis {label}: begins at {lower} with step {step}, expected finite numbers"
                )
            if max(abs(lower), abs(step) * count) > _FARTHEST_INDEX or (count > 1 and abs(step) < 1e-9):
                raise InputError(
                    f"volume axis {label}: begins at {lower} with {count} steps of {step}, "
                    "expected Miller indices"
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

    def read(self, dataset: h5py.Dataset, box: Box) -> npt.NDArray[Any]:
        """A block of a dataset and nothing else of it, indexed [h, k, l] whatever the order on disk.

        Raises:
            InputError: the block is of more than 200 million voxels, or the file is damaged there.
        """
        size = tuple(len(range(*part.indices(n))) for part, n in zip(box, self.counts, strict=True))
        if np.prod([float(n) for n in size]) > _MOST_READ:
            raise InputError(
                f"{' x '.join(map(str, size))} voxels asked for at once: expected {_MOST_READ:,} at the most"
            )
        shape = get_shape(dataset) or ()
        selection = [slice(0, 1)] * len(shape)
        for dimension, part in zip(self.dimensions, box, strict=True):
            if dimension < len(shape):
                selection[dimension] = part
        values = read_block(dataset, selection)
        order = [d for d in self.dimensions if d < len(shape)]
        order += [d for d in range(len(shape)) if d not in order]
        return values.transpose(order).reshape(size)

    @staticmethod
    def _name(fixed_axis: int, offset: float) -> PlaneName:
        first, second = (axis for axis in range(3) if axis != fixed_axis)
        return PlaneName((first, second), offset)


@dataclass(frozen=True, eq=False)
class Volume:
    """An open volume, or a single layer, of which nothing but its description has been read yet.

    Attributes:
        layout: what kind of file it is, in words.
        axes: where its voxels lie.
        read: the intensities of a box, float64 [h, k, l], NaN where nothing was measured.
        cell: the unit cell, None where the file has none that makes sense.
        cell_trouble: what is wrong with the cell then, in words.
        read_sigma: standard uncertainties, likewise; None where the file has none.
        notes: sentences about what a reader had to assume, for the user to see.
        details: what else the file says that a user may want to see, by name.
    """

    layout: str
    axes: VolumeAxes
    read: Callable[[Box], Array]
    cell: Cell | None
    cell_trouble: str = ""
    read_sigma: Callable[[Box], Array] | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)

    def plane(self, text: str | None = None) -> MeasuredPlane:
        """The plane of that name, as `parse_plane_name` takes it, or the only one there is; read without the rest.

        Raises:
            InputError: no name is given and there are many planes, there is none of that name, or the volume has no
                cell and its layers are not 256 x 256.
        """
        name = self.axes.choose(text)
        index, offset = self.axes.layer(name)
        notes = list(self.notes)
        if offset != name.offset:
            notes.append(f"plane {name}: the nearest layer was taken, {name.fixed_label} = {offset:g}")
            name = PlaneName(name.axes, offset)
        first, second = name.axes
        shape = self.axes.counts[first], self.axes.counts[second]
        grid = None
        if self.cell is not None:
            grid = PlaneGrid(self.cell, name, self.axes.coordinates(first), self.axes.coordinates(second))
        elif shape == (PIXELS, PIXELS):
            notes.append(f"{self.cell_trouble}: the plane is taken pixel by pixel, without axes")
        else:
            raise InputError(
                f"{self.cell_trouble}, so a plane of {shape} pixels cannot be placed in reciprocal space: "
                f"expected a unit cell, or {(PIXELS, PIXELS)} pixels"
            )
        parts = [slice(None)] * 3
        parts[name.fixed_axis] = slice(index, index + 1)
        box: Box = (parts[0], parts[1], parts[2])
        intensity, sigma = (
            None if read is None else read(box).reshape(shape) for read in (self.read, self.read_sigma)
        )
        assert intensity is not None
        return MeasuredPlane(intensity, grid, tuple(notes), sigma)


def to_intensities(values: npt.NDArray[Any]) -> Array:
    """Numbers as a file has them as float64, NaN where they are not finite: nothing was measured there."""
    with np.errstate(all="ignore"):  # a longdouble may not fit
        result = np.asarray(values, dtype=np.float64)
    return result if np.isfinite(result).all() else np.where(np.isfinite(result), result, np.nan)
