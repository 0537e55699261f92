"""Volumes whose array does not run along h, k and l, interpolated box by box onto a grid that does."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.volume import Box, VolumeAxes

Read = Callable[[Box], Array]

_SNAP = 1e-5  # [voxels]; within this distance a target voxel is taken to be a voxel of the file


@dataclass(frozen=True, eq=False)
class ObliqueGrid:
    """Voxels of an array that lie at hkl = `origin` + `matrix` @ index.

    Attributes:
        origin: h, k, l of the first voxel, shape (3,) [r.l.u.].
        matrix: steps in h, k, l along each axis of the array, as columns, shape (3, 3) [r.l.u.].
        counts: numbers of voxels along the axes of the array.

    Raises:
        InputError: the steps do not span three dimensions.
    """

    origin: Array
    matrix: Array
    counts: tuple[int, int, int]

    def __post_init__(self) -> None:
        lengths = np.linalg.norm(self.matrix, axis=0)
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.origin).all() and lengths.all()):
            raise InputError(
                f"the steps in h, k, l are {self.matrix.T.tolist()}; expected three finite directions"
            )
        if abs(np.linalg.det(self.matrix / lengths)) < 1e-3:
            raise InputError(
                f"the steps in h, k, l, {self.matrix.T.tolist()}, do not span three dimensions; expected three"
                " independent directions"
            )

    def make_straight_axes(self) -> VolumeAxes:
        """Make a grid along h, k and l, as fine as this one and just wide enough to contain it.

        The grid contains the voxel nearest to the origin of reciprocal space. An index that changes only along one axis
        of the array keeps its values, so layers along that axis are not interpolated.
        """
        nearest = np.round(np.linalg.solve(self.matrix, -self.origin))
        through = self.origin + self.matrix @ np.clip(nearest, 0, np.array(self.counts) - 1)
        corners = np.array(list(product(*((0, n - 1) for n in self.counts))))
        reach = self.origin + corners @ self.matrix.T
        lower, steps, counts = [], [], []
        for number in range(3):
            row = self.matrix[number]
            step = float(row[np.abs(row).argmax()])
            places = (reach[:, number] - through[number]) / step
            first, last = int(np.floor(places.min() + _SNAP)), int(np.ceil(places.max() - _SNAP))
            lower.append(float(through[number]) + first * step)
            steps.append(step)
            counts.append(last - first + 1)
        return VolumeAxes(
            (lower[0], lower[1], lower[2]), (steps[0], steps[1], steps[2]), (counts[0], counts[1], counts[2])
        )

    def straighten_reader(self, axes: VolumeAxes, read: Read) -> Read:
        """Make a reader of boxes of a grid along h, k, l from a reader of boxes of the array.

        Values are interpolated linearly between the measured neighbours, and are missing (NaN) where these have less
        than half of the weight, and outside the array.

        Args:
            axes: the grid along h, k, l, from `make_straight_axes`.
            read: reader of boxes of the array, such as a `GapReader`.
        """
        inverse = np.linalg.inv(self.matrix)

        def straight(box: Box) -> Array:
            hkl = [axes.coordinates(n)[part] - self.origin[n] for n, part in enumerate(box)]
            h, k, l = np.ix_(*hkl)  # noqa: E741
            total, weight = np.zeros((h.size, k.size, l.size)), np.zeros((h.size, k.size, l.size))
            places = [row[0] * h + row[1] * k + row[2] * l for row in inverse]
            places = [np.where(np.abs(p - np.round(p)) < _SNAP, np.round(p), p) for p in places]
            if not total.size or any(
                p.max() < 0 or p.min() > n - 1 for p, n in zip(places, self.counts, strict=True)
            ):
                return np.full(total.shape, np.nan)
            begins = [int(max(np.floor(p.min()), 0)) for p in places]
            ends = [int(min(np.ceil(p.max()), n - 1)) + 1 for p, n in zip(places, self.counts, strict=True)]
            x, y, z = (slice(begin, end) for begin, end in zip(begins, ends, strict=True))
            values = read((x, y, z))
            floors = [np.floor(p).astype(np.int64) for p in places]
            parts = [p - floor for p, floor in zip(places, floors, strict=True)]
            for corner in product(*((0, 1) if part.any() else (0,) for part in parts)):
                share, inside = np.ones(total.shape), np.ones(total.shape, np.bool_)
                index = []
                for n, up in enumerate(corner):
                    share *= parts[n] if up else 1 - parts[n]
                    at = floors[n] + up
                    inside &= (at >= begins[n]) & (at < ends[n])
                    index.append(np.clip(at, begins[n], ends[n] - 1) - begins[n])
                found = values[index[0], index[1], index[2]]
                known = inside & np.isfinite(found)
                total += np.where(known, share * np.where(known, found, 0.0), 0.0)
                weight += np.where(known, share, 0.0)
            missing = weight < 0.5 - 1e-9
            result: Array = np.divide(total, weight, out=np.full(total.shape, np.nan), where=~missing)
            return result

        return straight
