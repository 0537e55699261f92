"""A volume in a user's file: where its voxels lie, which layer is a given plane, and reading that layer alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.cell_units import CellQuestion
from dsfunet.io.hdf5 import get_shape, read_block
from dsfunet.io.space_groups import FoundCentring, find_centring
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import AXIS_LABELS, PlaneName, SpannedPlaneName
from dsfunet.planes.preprocessing import PIXELS, measured_pixels

Box = tuple[slice, slice, slice]
"""A block of voxels, as slices along h, k and l with steps of 1."""

CheckGrid = Callable[[PlaneGrid], None]
"""A function that refuses a plane by its place alone, before its pixels are read."""

_FARTHEST_LAYER = 0.05
"""Largest distance of a layer from the requested plane [r.l.u.]; layers closer than twice that are interpolated."""

_SAME_LAYER = 1e-3
"""A plane this close to a layer, in steps, is that layer: float32 limits may give 0.99999998 instead of 1."""

_MOST_ALONG = 1_000_000
"""Largest number of voxels along an axis; no real file has more."""

MOST_PIXELS = 2**26
"""Largest number of pixels of a plane, 8192 x 8192; more are refused before an array of that size is created."""

_MOST_READ = 200_000_000
"""Largest number of voxels read at a time: 1.6 GB as float64."""

_FARTHEST_INDEX = 1e6
"""Largest h, k or l; larger numbers are not Miller indices and would overflow later."""


def accept_any_grid(grid: PlaneGrid) -> None:
    """Refuse no plane; a `CheckGrid`."""


@dataclass(frozen=True)
class VolumeAxes:
    """The place of the voxels of a volume; all tuples are in the order h, k, l.

    Attributes:
        lower: coordinates of the centre of the first voxel [r.l.u.].
        steps: spacings of the voxels [r.l.u.]; negative where coordinates decrease.
        counts: numbers of voxels.
        dimensions: the dimension of the array that runs along each of h, k, l; a number beyond its dimensions for an
            axis that the array does not have.
        chosen: the index chosen along further dimensions of the array, such as temperature; dimensions that are in
            neither are one voxel thick.

    Raises:
        InputError: a number is not finite or not a Miller index, or an axis has no voxels, no step or more than a
            million voxels.
    """

    lower: tuple[float, float, float]
    steps: tuple[float, float, float]
    counts: tuple[int, int, int]
    dimensions: tuple[int, int, int] = (0, 1, 2)
    chosen: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for label, lower, step, count in zip(AXIS_LABELS, self.lower, self.steps, self.counts, strict=True):
            if count < 1:
                raise InputError(f"the volume has no voxels along {label}; expected one or more")
            if count > _MOST_ALONG:
                raise InputError(
                    f"the volume has {count} voxels along {label}; expected at most {_MOST_ALONG:,}"
                )
            if not (np.isfinite(lower) and np.isfinite(step)) or (count > 1 and step == 0):
                raise InputError(
                    f"axis {label} of the volume begins at {lower} with step {step}; expected finite numbers and a step"
                    " that is not zero"
                )
            if max(abs(lower), abs(step) * count) > _FARTHEST_INDEX or (count > 1 and abs(step) < 1e-9):
                raise InputError(
                    f"axis {label} of the volume begins at {lower} with {count} steps of {step}; expected Miller"
                    " indices [r.l.u.]"
                )

    def coordinates(self, axis: int) -> Array:
        """Return the voxel centres along an axis (0, 1, 2 for h, k, l) [r.l.u.]."""
        return self.lower[axis] + self.steps[axis] * np.arange(self.counts[axis], dtype=np.float64)

    def find_only_plane(self) -> PlaneName:
        """Return the plane of a volume that is a single layer.

        Raises:
            InputError: the volume has several layers along every axis.
        """
        single = [axis for axis in range(3) if self.counts[axis] == 1]
        if len(single) == 1:
            return self._name(single[0], self.lower[single[0]])
        size, examples = " x ".join(map(str, self.counts)), ", ".join(self.list_examples())
        raise InputError(
            f"the file is a volume of {size} voxels along h, k, l; name a plane, such as {examples}"
        )

    def list_examples(self) -> list[str]:
        """List names of a few planes in the volume: the layers nearest 0 and 1 along l, k and h."""
        names = []
        for axis in (2, 1, 0):
            values = self.coordinates(axis)
            layers = {float(round(values[np.abs(values - wish).argmin()], 6)) for wish in (0, 1)}
            others = [self.counts[other] for other in range(3) if other != axis]
            if min(others) > 1:
                names += [str(self._name(axis, value)) for value in sorted(layers)]
        return [f"'{name}'" if " " in name else name for name in names]

    def find_layer(self, name: PlaneName) -> tuple[int, float]:
        """Find the index and the coordinate [r.l.u.] of the layer nearest to a plane.

        The layer is at most half a step and at most 0.05 r.l.u. away: farther layers may scatter differently.

        Raises:
            InputError: there is no such layer, or the layer is only a line of voxels.
        """
        axis, count = name.fixed_axis, self.counts[name.fixed_axis]
        lower, step = self.lower[axis], abs(self.steps[axis])
        values = self.coordinates(axis)
        index = int(np.abs(values - name.offset).argmin())
        distance = abs(values[index] - name.offset)
        if distance > min(0.5 * step * (1 + 1e-6), _FARTHEST_LAYER) + 1e-6:
            held = f"{min(values):g} to {max(values):g} in steps of {step:g}" if count > 1 else f"{lower:g}"
            raise InputError(
                f"plane {name}: the volume has no such layer; choose one with {name.fixed_label} = {held}"
            )
        for other in name.axes:
            if self.counts[other] < 2:
                examples = ", ".join(self.list_examples())
                raise InputError(
                    f"plane {name}: the volume is one voxel thick along {AXIS_LABELS[other]}; "
                    + (
                        f"expected a plane such as {examples}"
                        if examples
                        else "expected a volume with planes"
                    )
                )
        same = distance <= _SAME_LAYER * step + 1e-6
        return index, name.offset if same else round(float(values[index]), 6)

    def find_neighbours(self, name: PlaneName) -> dict[int, float]:
        """Find the indices of the layers of which a plane is interpolated, and the weight of each.

        A plane that is a layer of the grid has one. So has a plane near a layer of a grid whose layers are farther
        apart than 0.1 r.l.u., or beyond the outermost layer: it is taken from the nearest layer.

        Raises:
            InputError: as `find_layer`.
        """
        index, offset = self.find_layer(name)
        axis = name.fixed_axis
        step = self.steps[axis]
        if offset == name.offset or abs(step) > 2 * _FARTHEST_LAYER * (1 + 1e-6):
            return {index: 1.0}
        place = (name.offset - self.lower[axis]) / step
        below = int(np.floor(place))
        if not 0 <= below < self.counts[axis] - 1:
            return {index: 1.0}
        return {below: below + 1 - place, below + 1: place - below}

    def read(self, dataset: h5py.Dataset, box: Box) -> npt.NDArray[Any]:
        """Read one block of a dataset, indexed [h, k, l] whatever the order on disk.

        Raises:
            InputError: the block has more than 200 million voxels, or the file is damaged.
        """
        size = tuple(len(range(*part.indices(n))) for part, n in zip(box, self.counts, strict=True))
        if np.prod([float(n) for n in size]) > _MOST_READ:
            raise InputError(
                f"a block of {' x '.join(map(str, size))} voxels is too large to read; expected at most {_MOST_READ:,}"
            )
        shape = get_shape(dataset) or ()
        selection = [slice(0, 1)] * len(shape)
        for dimension, part in zip(self.dimensions, box, strict=True):
            if dimension < len(shape):
                selection[dimension] = part
        for dimension, index in self.chosen:
            selection[dimension] = slice(index, index + 1)
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
    """An open volume, or a single layer, of which only the description has been read so far.

    Attributes:
        layout: kind of file, in words.
        axes: where the voxels lie.
        read: function that reads the intensities of a box, float64 [h, k, l], NaN where nothing was measured.
        cell: the unit cell; None if the file has no valid one.
        cell_trouble: the reason why there is no valid cell, in words; empty if there is one.
        read_sigma: function that reads the standard uncertainties likewise; None if the file has none.
        notes: sentences for the user about what the reader had to assume.
        details: other information in the file for the user, by name.
        space_group: what the file says about the space group: a symbol, a number or the letter of the centring; empty
            if it says nothing, or not for this cell.
        spanned: the plane of a file that holds one plane spanned by two vectors; `axes` then count along these, and
            their third means nothing.
        remarks: function that returns sentences for the user about the blocks that were read so far.
        choices: the values along each further axis, such as temperature, of which one was chosen, by its name.
    """

    layout: str
    axes: VolumeAxes
    read: Callable[[Box], Array]
    cell: Cell | None
    cell_trouble: str = ""
    read_sigma: Callable[[Box], Array] | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    space_group: str = ""
    spanned: SpannedPlaneName | None = None
    remarks: Callable[[], tuple[str, ...]] = tuple
    choices: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def find_centring(self) -> FoundCentring:
        """Find the centring of the cell that the space group states, and sentences for the user."""
        return find_centring(self.space_group, self.cell)

    def make_cell_error(self) -> InputError:
        """Make the error for a request that needs a unit cell when the file has no valid one."""
        if isinstance(self.cell_trouble, CellQuestion):  # it says what to do
            return InputError(self.cell_trouble)
        return InputError(f'{self.cell_trouble}; give one with --cell "a b c alpha beta gamma"')

    def read_plane(self, name: PlaneName | None = None, check: CheckGrid = accept_any_grid) -> MeasuredPlane:
        """Read one plane, or the only plane of a single layer, and nothing else of the volume.

        A plane between two layers that are at most 0.1 r.l.u. apart is interpolated linearly between them.

        Args:
            name: the plane; None for the only one.
            check: function that is called with the place of the plane before its pixels are read, and may refuse it.

        Raises:
            InputError: no name is given and there are several planes, there is no such plane, or the volume has no cell
                and its layers are not 256 x 256.
        """
        name = name or self.axes.find_only_plane()
        layers, notes = self.axes.find_neighbours(name), list(self.notes)
        if len(layers) == 1:
            _, offset = self.axes.find_layer(name)
            if offset != name.offset:
                notes.append(f"plane {name}: the nearest layer, {name.fixed_label} = {offset:g}, is used")
                name = PlaneName(name.axes, offset)
        else:
            held = self.axes.coordinates(name.fixed_axis)
            between = " and ".join(f"{held[index]:.6g}" for index in layers)
            notes.append(
                f"plane {name}: it lies between the layers {name.fixed_label} = {between}, so intensities are"
                " interpolated"
            )
        first, second = name.axes
        shape = self.axes.counts[first], self.axes.counts[second]
        grid = None
        if self.cell is not None:
            grid = PlaneGrid(self.cell, name, self.axes.coordinates(first), self.axes.coordinates(second))
            check(grid)
        elif shape == (PIXELS, PIXELS):
            notes.append(f"{self.cell_trouble}: the plane is used without axes, pixel by pixel")
        else:
            raise self.make_cell_error()
        intensity, sigma = self.read_layers(name, layers)
        centring, remarks = self.find_centring()
        notes += [*self.remarks(), *remarks]
        return MeasuredPlane(
            intensity, grid, tuple(notes), sigma, interpolated=len(layers) > 1, centring=centring
        )

    def read_layers(self, name: PlaneName, layers: Mapping[int, float]) -> tuple[Array, Array | None]:
        """Read the weighted mean of some layers, and its standard uncertainties if the file has any.

        Voxels that are NaN or negative are ignored; where the others have less than half of the weight, the mean is
        missing. Of a single layer, all numbers are returned as they are.

        Args:
            name: the plane, which says along which axes its layers run.
            layers: the weight of each layer, by its index; their sum is 1.
        """
        shape = self.axes.counts[name.axes[0]], self.axes.counts[name.axes[1]]
        parts = [slice(0, count) for count in self.axes.counts]

        def read_layer(index: int) -> tuple[Array, Array | None]:
            parts[name.fixed_axis] = slice(index, index + 1)
            box: Box = (parts[0], parts[1], parts[2])
            sigma = None if self.read_sigma is None else self.read_sigma(box).reshape(shape)
            return self.read(box).reshape(shape), sigma

        if len(layers) == 1:
            return read_layer(next(iter(layers)))
        total, variance, known = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for index, weight in layers.items():
            intensity, sigma = read_layer(index)
            share = np.where(measured_pixels(intensity), weight, 0.0)
            with np.errstate(all="ignore"):
                total += share * np.where(share > 0, intensity, 0.0)
                known += share
                if sigma is not None:
                    variance += np.square(share * np.where(share > 0, sigma, 0.0))
        enough = known >= 0.5 * (1 - 1e-9)
        found, deviation = (
            np.divide(values, known, out=np.full(shape, np.nan), where=enough)
            for values in (total, np.sqrt(variance))
        )
        return found, None if self.read_sigma is None else deviation


def to_intensities(values: npt.NDArray[Any]) -> Array:
    """Convert numbers of a file to float64, with NaN (not measured) for all values that are not finite."""
    with np.errstate(all="ignore"):  # a longdouble may overflow
        result = np.asarray(values, dtype=np.float64)
    return result if np.isfinite(result).all() else np.where(np.isfinite(result), result, np.nan)
