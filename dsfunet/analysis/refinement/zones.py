"""Brillouin zones of a plane: which pixels are independent observations of I_SRO, and all zones folded into one.

A zone is one repeat of I_SRO in the plane: a reciprocal cell of a primitive lattice, more of a centred one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from dsfunet._typing import Array, Integers
from dsfunet.physics.centring import Centring
from dsfunet.physics.layer_repeat import LayerRepeat, find_layer_repeat, layer_operations
from dsfunet.physics.symmetry import plane_operations
from dsfunet.planes.measured import PlaneGrid

_FEWEST_BINS, _MOST_BINS = 5, 63


@dataclass(frozen=True, eq=False)
class Zones:
    """The zones of a plane, each centred on a point of the reciprocal lattice's repeat in the plane.

    Attributes:
        centring: lattice type.
        repeat: the repeat cell of I_SRO in the plane.
        zone: number of the zone of each pixel, shape (n, m), from 0.
        group: number of the group of symmetry-equivalent zones of each pixel, shape (n, m), from 0.
        windows: one overlapping window for each group, shape (groups, n m), sparse. Windows are two zones wide in each
            direction and fall off as a cosine from the centres of their zones; their squares add up to 1 in every
            pixel.
    """

    centring: Centring
    repeat: LayerRepeat
    zone: Integers
    group: Integers
    windows: csr_array


@dataclass(frozen=True, eq=False)
class FoldedMap:
    """Pixels averaged into one Brillouin zone.

    Attributes:
        repeat: the repeat cell that the zone covers.
        centres: of the bins along either repeat vector, i / bins with i from -(bins - 1)/2 to (bins - 1)/2, as
            fractions of that vector ([r.l.u.] for a primitive lattice).
        observed: mean of the data in each bin, shape (bins, bins), first index along the first repeat vector; NaN in
            bins without a pixel.
        calculated: mean of the fitted series, likewise.
    """

    repeat: LayerRepeat
    centres: Array
    observed: Array
    calculated: Array


def zones_of(grid: PlaneGrid, rotations: Integers, centring: Centring = "P") -> Zones:
    """Return the zones of a plane along two axes of the cell, grouped by the symmetry of the Laue class.

    Reconstructions are often averaged over the Laue class, and a network's error follows its input, so equivalent
    zones count as one independent observation. Windows overlap as in Welch's estimate of a power spectrum, because
    errors continue across the borders of zones: with sharp windows, slow errors would leak into all harmonics.

    Args:
        grid: the pixels of the plane.
        rotations: operations of the Laue class, which maps the lattice onto itself, shape (order, 3, 3).
        centring: lattice type.

    Raises:
        InputError: the plane does not lie along two axes of the cell.
    """
    layer = grid.name.layer
    axes = list(layer.axes)
    repeat = find_layer_repeat(centring, layer.fixed_axis, grid.cell.reciprocal)
    place = repeat.coordinates(grid.hkl()).reshape(-1, 2)
    below = np.floor(place)
    beyond = place - below
    near, far = np.cos(np.pi / 2 * beyond), np.sin(np.pi / 2 * beyond)
    heights = np.concatenate([first[:, 0] * second[:, 1] for first in (near, far) for second in (near, far)])
    start, span = below.min(axis=0).astype(np.int64), np.ptp(below, axis=0).astype(np.int64) + 2
    # Numbers that increase with the first coordinate, then the second.
    corner = (below.astype(np.int64) - start) @ [span[1], 1]
    corners = np.concatenate([corner + shift for shift in (0, 1, span[1], span[1] + 1)])
    there, window = _renumber(corners)
    points = np.stack(np.divmod(there, span[1]), axis=1) + start
    number = {tuple(point): i for i, point in enumerate(points.tolist())}
    centres = np.full((len(points), 3), layer.offset)
    centres[:, axes] = repeat.indices(points)
    links = [(i, i) for i in range(len(points))]
    for operation in plane_operations(rotations, layer.fixed_axis, layer.offset, periodic=False):
        images = np.floor(repeat.coordinates(centres @ operation) + 0.5 + 1e-9).astype(np.int64)
        links += [
            (i, number[tuple(image)]) for i, image in enumerate(images.tolist()) if tuple(image) in number
        ]
    first, second = np.array(links).T
    graph = coo_array((np.ones(len(links)), (first, second)), shape=(len(points),) * 2)
    count, group = connected_components(graph, directed=False)
    group = group.astype(np.int64)

    pixels = np.tile(np.arange(len(place)), 4)
    windows = coo_array((heights, (group[window], pixels)), shape=(count, len(place))).tocsr()
    # Two windows of one group may overlap; their sum is normalised like all others.
    total = np.sqrt(windows.power(2).sum(axis=0))
    windows.data /= total[windows.indices]
    nearest = (np.floor(place + 0.5).astype(np.int64) - start) @ [span[1], 1]
    zone = np.searchsorted(there, nearest).reshape(grid.shape)
    return Zones(centring, repeat, zone, group[zone], windows)


def _renumber(numbers: Integers) -> tuple[Integers, Integers]:
    """Return the values that occur among whole numbers from 0, ascending, and the place of each number among them."""
    there = np.bincount(numbers) > 0
    places = np.cumsum(there) - 1
    return np.flatnonzero(there), places[numbers]


def fold_bins(grid: PlaneGrid, repeat: LayerRepeat) -> int:
    """Return the number of bins along a side of the folded zone: odd, about one per pixel of the coarser axis."""
    return int(np.clip(2 * (repeat.steps(grid.steps) // 2) + 1, _FEWEST_BINS, _MOST_BINS))


def fold_numbers(hkl: Array, repeat: LayerRepeat, bins: int) -> Integers:
    """Return the bin of each point, row * bins + column, shape (n,), for indices hkl of shape (n, 3)."""
    # Centred on multiples of 1 / bins, so that h and -h fall into opposite bins.
    index = (np.rint(repeat.coordinates(hkl) * bins).astype(np.int64) + (bins - 1) // 2) % bins
    numbers: Integers = index[:, 0] * bins + index[:, 1]
    return numbers


def fold(
    observed: Array,
    calculated: Array,
    weights: Array,
    grid: PlaneGrid,
    rotations: Integers,
    centring: Centring = "P",
) -> FoldedMap:
    """Fold a plane into one Brillouin zone: weighted means, with each pixel at all its equivalent places in the layer.

    Args:
        observed: data, shape (n, m) of the grid.
        calculated: fitted series, shape (n, m).
        weights: shape (n, m); pixels of weight 0 do not count.
        grid: the pixels of the plane.
        rotations: operations of the Laue class, which maps the lattice onto itself, shape (order, 3, 3).
        centring: lattice type.
    """
    used = weights > 0
    hkl, weight = grid.hkl()[used], weights[used]
    layer = grid.name.layer
    repeat = find_layer_repeat(centring, layer.fixed_axis, grid.cell.reciprocal)
    bins = fold_bins(grid, repeat)
    sums = np.zeros((3, bins * bins))
    operations = layer_operations(rotations, layer.fixed_axis, layer.offset, centring)
    for operation, shift in zip(*operations, strict=True):
        number = fold_numbers(hkl @ operation + shift, repeat, bins)
        sums[0] += np.bincount(number, weight, bins * bins)
        sums[1] += np.bincount(number, weight * observed[used], bins * bins)
        sums[2] += np.bincount(number, weight * calculated[used], bins * bins)
    with np.errstate(invalid="ignore"):
        means: npt.NDArray[np.float64] = (sums[1:] / sums[0]).reshape(2, bins, bins)
    centres = (np.arange(bins) - (bins - 1) // 2) / bins
    return FoldedMap(repeat, centres, means[0], means[1])


@dataclass(frozen=True)
class Misfit:
    """The residuals of a fit, split into what all zones share and what scatters between zones.

    Attributes:
        repeated: sum over the bins of the folded zone of w (mean residual)^2.
        scatter: variance for unit weight, from the scatter between zones within bins.
        bins: number of bins that contain a pixel that counts.
    """

    repeated: float
    scatter: float
    bins: int

    def beyond_scatter(self, degrees_of_freedom: float) -> float:
        """Return the standard deviation, for unit weight, of the shared misfit that scatter does not explain (>= 0)."""
        return float(np.sqrt(max(0.0, self.repeated / degrees_of_freedom - self.scatter)))


def misfit_of(
    residuals: Array, weights: Array, zone: Integers, hkl: Array, grid: PlaneGrid, repeat: LayerRepeat
) -> Misfit:
    """Return the misfit of n pixels with residuals (n,), weights (n,), zone numbers (n,) and indices hkl (n, 3)."""
    _, number = _renumber(fold_numbers(hkl, repeat, fold_bins(grid, repeat)))
    zones = int(zone.max()) + 1
    cell, where = _renumber(number * zones + zone)
    bin_of_cell = cell // zones
    weight = np.bincount(where, weights)
    mean = np.bincount(where, weights * residuals) / weight
    count = int(number.max()) + 1
    bin_weight = np.bincount(bin_of_cell, weight)
    bin_mean = np.bincount(bin_of_cell, weight * mean) / bin_weight
    within = len(cell) - count
    scatter = float(weight @ (mean - bin_mean[bin_of_cell]) ** 2) / within if within else 0.0
    return Misfit(float(bin_weight @ bin_mean**2), scatter, count)
