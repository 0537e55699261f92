"""Numbers that say whether a plane is the product of its two components: what is left over, and how it looks.

Every number is of a measured plane in units of its brightest pixel, of both components and, where there is one, of a
lattice; none depends on the unit of intensity. `dsfunet.verdict.judge` says which values a good plane has.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dsfunet._typing import Array, Floats, Mask
from dsfunet.lattice.mode import LatticeAnswer
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.noise import take_second_differences
from dsfunet.verdict.scaled_plane import Seen, seen

# Standard deviation of the Gaussian under which weak residuals add up [pixels].
_SMOOTH_PIXELS = 1.5
# Where less is expected, in units of the brightest pixel, a residual counts as if so much were.
_WEAK = 0.01
_RADIAL_KNOTS = 10
# Periods a plane, and shares of its pixels, of the statistics of likeness.
_BANDS = (0.0, 4.0, 8.0, 12.0, 18.0, 27.0, 40.0, 64.0, 128.0)
_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.998)
# Half of the harmonics up to the second: the others are theirs at -v.
_HARMONICS = [(m, n) for m in range(3) for n in range(-2, 3) if m > 0 or n > 0]
# Least-squares fits look at every second or third pixel either way: what they fit is smooth.
_STEP, _SPARSE = 2, 3
_FEWEST_PIXELS = 500
# Where both residuals are well below this it does not matter which is smaller.
_ANY_RESIDUAL = 0.02
# Gaps: blocks of so many zeros either way, with so many pixels around them, and so many counts in these.
_BLOCK = 5
_SHORTEST_RIM = 30
_FEWEST_COUNTS = 3.0
# Sides of the squares that are the middle of a Bragg position, its surroundings but for their rim, and these [pixels].
_MIDDLE, _WITHIN_RIM, _SURROUNDINGS = 3, 7, 9
_FEWEST_NODES, _FEWEST_OTHERS, _FEWEST_RIM = 4, 12, 8
# How much positions may differ, form factors not being constant about them: in their ratios, as a share of what is
# bright where they are dark and ratios mean nothing, and in standard deviations.
_ALIKE, _ALIKE_BRIGHT, _SIGNIFICANT = 1.35, 0.04, 6.0


def measure(
    plane: Floats,
    mask: Mask,
    form_factor: Floats,
    short_range_order: Floats,
    answer: LatticeAnswer | None = None,
    lattice: LatticePlane | None = None,
    sigma: Floats | None = None,
) -> dict[str, float]:
    """All numbers of a plane by name; those of the lattice only where there is one.

    Shares are of the squared plane less its noise, `unexplained` being the root of one (a wR2 without noise).

    * noise: root of the noise's share of the squared plane;
    * unexplained, unexplained_weak: what the product leaves beyond noise; the same smoothed over a pixel and a half and
      divided by what is expected, so that weak features count; smooth_share: how much of it that smoothing keeps;
    * background: what a function of |Q| beside the product explains of the plane; radial: what one alone does; order:
      what the product adds to it;
    * spiky, isolated, sharp: share of maxima under five pixels wide, of single pixels that outshine all around them,
      and how sharp the sharpest of the residual are beyond noise; bright_quantile: how far above the rest they are;
    * dark, cliff: share of what is expected that lies in blocks of zeros, and how steep their edges are;
    * bragg_plane, bragg_residual, bragg_excess: contrast of Bragg positions, beside that of others and alone;
    * bragg_outstanding: share of them that outshine the others;
    * odd_share, odd_power, even_share, even_power: what displacements would explain of the residual, of the plane;
    * unexplained_on_lattice, lattice_over_networks, lattice_residual: of lattice mode's answer, accepted or not;
    * root_*, band_*: what the plane looks like (`likeness`).
    """
    it = seen(plane, mask, form_factor, short_range_order, sigma, lattice)
    leftover = _leftover(it)
    numbers = {
        **leftover,
        **_background(it),
        **_spots(it),
        **_dark(it),
        **likeness(it.plane, mask),
    }
    if lattice is not None:
        numbers |= _bragg(it, lattice)
        numbers |= _displacement(it, lattice)
        if answer is not None:
            if not answer.accepted:  # else the components judged are its own
                on = seen(plane, mask, answer.form_factor, answer.short_range_order, sigma, lattice)
                leftover = _leftover(on)
            numbers["unexplained_on_lattice"] = leftover["unexplained"]
            numbers["lattice_over_networks"] = (answer.residual + _ANY_RESIDUAL) / (
                answer.residual_of_networks + _ANY_RESIDUAL
            )
            numbers["lattice_residual"] = answer.residual
    return {name: float(value) for name, value in numbers.items()}


def _leftover(it: Seen) -> dict[str, float]:
    residual = it.residual
    noise = float(it.variance[it.mask].sum())
    missed = max(float(np.sum(residual**2)) - noise, 0.0)
    weights = np.maximum(ndimage.gaussian_filter(it.mask.astype(np.float64), _SMOOTH_PIXELS), 1e-3)
    smooth = ndimage.gaussian_filter(residual, _SMOOTH_PIXELS) / weights
    expected = np.maximum(it.product, 0) + _WEAK
    shared = 4 * np.pi * _SMOOTH_PIXELS**2
    weak = np.sum(((smooth**2 - it.variance / shared) / expected)[it.mask])
    return {
        "noise": np.sqrt(noise / max(float(np.sum(it.plane**2)), 1e-300)),
        "unexplained": np.sqrt(missed / it.power),
        "unexplained_weak": np.sqrt(max(float(weak), 0.0) / float(expected[it.mask].sum())),
        "smooth_share": float(np.sum(smooth[it.mask] ** 2)) / max(missed, 1e-3 * it.power),
    }


def _hats(radius: Array) -> Array:
    """Piecewise linear functions of |Q| that add up to 1, (pixels, knots)."""
    knots = np.linspace(0, float(radius.max()), _RADIAL_KNOTS)
    place = radius / knots[1]
    hats: Array = np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(_RADIAL_KNOTS)))
    return hats


def _background(it: Seen) -> dict[str, float]:
    some = np.zeros_like(it.mask)
    some[::_STEP, ::_STEP] = it.mask[::_STEP, ::_STEP]
    values, product = it.plane[some], it.product[some]
    if len(values) < 4 * _RADIAL_KNOTS:
        return {"background": 0.0, "radial": 0.0, "order": 1.0}
    hats = _hats(it.radius[some])
    about = float(np.sum((values - values.mean()) ** 2)) or 1.0
    signal = max(about - float(it.variance[some].sum()), 1e-3 * about)
    alone = _left(hats, values)
    before = _left(product[:, None], values)
    after = _left(np.column_stack([product, hats]), values)
    return {
        "background": max(before - after, 0.0) / signal,
        "radial": min((about - alone) / signal, 1.0),
        "order": max(alone - after, 0.0) / signal,
    }


def _left(columns: Array, values: Array) -> float:
    """Sum of squares that a least-squares fit leaves."""
    gram, right = columns.T @ columns, columns.T @ values
    gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram) / len(gram) + 1e-30
    return float(values @ values - right @ np.linalg.solve(gram, right))


def _spots(it: Seen) -> dict[str, float]:
    residual, deviation = it.residual, np.sqrt(it.variance)
    opened = ndimage.grey_opening(np.where(it.mask, it.plane, 1.0), size=(5, 5))
    hat = np.where(it.mask, it.plane - opened, 0.0)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    around = ndimage.maximum_filter(it.plane, footprint=ring)
    alone = it.mask & (it.plane > 1.5 * around + 5 * deviation + 0.01)
    sharp = np.abs(take_second_differences(residual))[it.mask] / 4
    return {
        "spiky": float(np.sum(hat**2)) / it.power,
        "isolated": float(alone.sum()) / it.mask.sum(),
        "sharp": float(np.quantile(sharp, 0.999)) - 4 * float(np.sqrt(np.mean(it.variance[it.mask]))),
        "bright_quantile": 1 - float(np.quantile(it.plane[it.mask], 0.999)),
    }


def _dark(it: Seen) -> dict[str, float]:
    """Zeros in one piece: how much of what the product expects lies there, and how steep their edges are.

    A dip of short-range order ends in a slope, a gap in a cliff: next to it the plane is as bright as further out.
    """
    zero = it.mask & (it.plane <= 1e-6)
    block = ndimage.maximum_filter(ndimage.minimum_filter(zero, _BLOCK), _BLOCK) & zero
    expected = np.maximum(it.product, 0)
    total = max(float(expected[it.mask].sum()), 1e-300)
    one, two, four = (ndimage.maximum_filter(block, size) & it.mask for size in (3, 5, 9))
    near, far = it.plane[one & ~block], it.plane[four & ~two]
    cliff = 0.0
    if len(near) >= _SHORTEST_RIM and len(far) >= _SHORTEST_RIM:
        # Few counts are zero by chance, and a block then ends wherever one count is.
        least = _FEWEST_COUNTS * float(it.plane[it.mask & ~zero].min(initial=1.0))
        rim = float(np.quantile(near, 0.75))
        cliff = min(rim / max(float(np.quantile(far, 0.75)), 1e-9), 2.0) if rim >= least else 0.0
    return {"dark": float(expected[block].sum()) / total, "cliff": cliff}


def likeness(plane: Array, mask: Mask) -> dict[str, float]:
    """What a plane looks like: quantiles of its square roots, and log power of these in bands of frequency."""
    roots = np.sqrt(np.maximum(plane, 0))
    measured = roots[mask]
    quantiles = np.quantile(measured, _QUANTILES)
    numbers = {f"root_{share:g}": float(value) for share, value in zip(_QUANTILES, quantiles, strict=True)}
    mean, deviation = float(measured.mean()), float(measured.std()) or 1.0
    filled = np.where(mask, (roots - mean) / deviation, 0.0)
    rows, columns = np.hanning(mask.shape[0] + 2)[1:-1], np.hanning(mask.shape[1] + 2)[1:-1]
    power = np.abs(np.fft.rfft2(filled * np.outer(rows, columns))) ** 2
    frequency = np.hypot.outer(
        np.fft.fftfreq(mask.shape[0]) * mask.shape[0], np.fft.rfftfreq(mask.shape[1]) * mask.shape[1]
    )
    index = np.digitize(frequency, _BANDS[1:-1])
    sums = np.bincount(index.reshape(-1), power.reshape(-1), len(_BANDS) - 1)
    for band, value in enumerate(sums / sums.sum()):
        numbers[f"band_{band}"] = float(np.log(value + 1e-6))
    return numbers


def _nodes(lattice: LatticePlane, shape: tuple[int, ...], shift: tuple[float, float]) -> npt.NDArray[np.intp]:
    """Pixels (k, 2), whole numbers, nearest to the points (m, n) + shift of a lattice in the plane, off its rim."""
    vectors = lattice.cell.direct[list(lattice.axes)] / (2 * np.pi)
    per_pixel = vectors @ np.stack([lattice.plane.step_u, lattice.plane.step_v], axis=1)
    start = vectors @ lattice.plane.origin
    half = np.array(shape) // 2
    reach = np.abs(per_pixel) @ half + 1
    grids = np.meshgrid(*(np.arange(-np.ceil(each), np.ceil(each) + 1) for each in reach), indexing="ij")
    points = np.stack(grids, axis=-1).reshape(-1, 2) + np.round(start) + np.array(shift)
    pixels = np.rint((points - start) @ np.linalg.inv(per_pixel).T + half).astype(int)
    inside = np.all((pixels >= 7) & (pixels < np.array(shape) - 7), axis=1)
    away = np.abs(pixels - half).max(axis=1) > 4
    nodes: npt.NDArray[np.intp] = pixels[inside & away]
    return nodes


def _bragg(it: Seen, lattice: LatticePlane) -> dict[str, float]:
    """How much brighter the middle of Bragg positions is than their surroundings, beside positions between them."""
    shape = it.mask.shape
    nodes = _nodes(lattice, shape, (0.0, 0.0))
    between = [_nodes(lattice, shape, shift) for shift in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25))]
    others = np.concatenate(between)
    mask = it.mask.astype(np.float64)
    sizes = (_MIDDLE, _WITHIN_RIM, _SURROUNDINGS)
    seen_means = {size: ndimage.uniform_filter(mask, size) for size in sizes}
    plane_means = {size: ndimage.uniform_filter(it.plane, size) for size in sizes}
    residual_means = {size: ndimage.uniform_filter(it.residual, size) for size in (_MIDDLE, _SURROUNDINGS)}
    seen_middle, seen_around = seen_means[_MIDDLE], seen_means[_SURROUNDINGS]
    usable = (seen_middle > 0.9) & (seen_around > 0.5)
    level = ndimage.uniform_filter(np.maximum(it.product, 0), _SURROUNDINGS) + 0.003
    nodes, others = (each[usable[tuple(each.T)]] for each in (nodes, others))
    if len(nodes) < _FEWEST_NODES or len(others) < _FEWEST_OTHERS:
        return {"bragg_plane": 0.0, "bragg_residual": 0.0, "bragg_excess": 0.0, "bragg_outstanding": 0.0}
    numbers = {"bragg_outstanding": _outstanding(it, nodes, plane_means, seen_means)}
    for name, means in (("bragg_plane", plane_means), ("bragg_residual", residual_means)):
        middle = means[_MIDDLE] / np.maximum(seen_middle, 0.1)
        around = means[_SURROUNDINGS] / np.maximum(seen_around, 0.1)
        contrast = (middle - around) / level
        at_nodes, elsewhere = (contrast[tuple(each.T)] for each in (nodes, others))
        # Of Bragg peaks many are weak: the brighter half tells.
        brighter, usual = (float(np.mean(np.sort(each)[len(each) // 2 :])) for each in (at_nodes, elsewhere))
        numbers[name] = (brighter - usual) / (float(np.sqrt(np.mean(elsewhere**2))) + 1e-3)
    return {**numbers, "bragg_excess": brighter}


def _outstanding(
    it: Seen,
    nodes: npt.NDArray[np.intp],
    plane_means: Mapping[int, Array],
    seen_means: Mapping[int, Array],
) -> float:
    """Share of the Bragg positions that are brighter beside their surroundings than the others beside theirs.

    Short-range order is the same about all of them, so that ratio is, too; Bragg peaks go by structure factors.
    Means of the plane and of its mask over squares, by their sides.
    """
    place = tuple(nodes.T)
    core, inside, around = (means[place] * size**2 for size, means in plane_means.items())
    inner, within, outer = (means[place] * size**2 for size, means in seen_means.items())
    # The outermost pixels alone: those nearer belong to the peak.
    rim_pixels = outer - within
    known = rim_pixels > _FEWEST_RIM
    if known.sum() < _FEWEST_NODES:
        return 0.0
    core, inner, rim_pixels = core[known] / inner[known], inner[known], rim_pixels[known]
    rim = np.maximum((around - inside)[known] / rim_pixels, 0)
    bright = (rim >= np.median(rim)) & (rim > 0)
    ratio = float(np.median(core[bright] / rim[bright])) if bright.any() else 1.0
    variance = it.variance[place][known] * (1 / inner + ratio**2 / rim_pixels)
    level = float(np.quantile(it.plane[it.mask], 0.95))
    enough = _ALIKE_BRIGHT * level + _SIGNIFICANT * np.sqrt(variance)
    return float(np.mean(core - _ALIKE * ratio * rim > enough))


def _displacement(it: Seen, lattice: LatticePlane) -> dict[str, float]:
    """What odd harmonics times Q, and even ones times Q squared, explain of the residual beside the periodic ones.

    Weighted by one over the product, so that the few cells where it is brightest do not decide alone.
    """
    some = np.zeros_like(it.mask)
    some[::_SPARSE, ::_SPARSE] = it.mask[::_SPARSE, ::_SPARSE]
    rows, columns = np.nonzero(some)
    if len(rows) < _FEWEST_PIXELS:
        return {}
    h, k = (index[some] for index in lattice.fractional_indices())
    u, v = (2 * each / count - 1 for each, count in zip((rows, columns), it.mask.shape, strict=True))
    phases = 2 * np.pi * np.stack([m * h + n * k for m, n in _HARMONICS], axis=1)
    cosines, sines = np.cos(phases), np.sin(phases)
    root = np.sqrt(np.maximum(it.product[some], 1e-3))
    constant = np.ones((len(root), 1))
    radial = np.square(it.radius[some])[:, None]
    periodic = np.hstack([constant, cosines, sines])
    odd = np.hstack([sines * u[:, None], sines * v[:, None]])
    even = np.hstack([constant, cosines]) * radial
    columns_of = np.hstack([periodic, odd, even]) * root[:, None]
    target = it.residual[some] / root
    gram, right = columns_of.T @ columns_of, columns_of.T @ target
    first, second = periodic.shape[1], periodic.shape[1] + odd.shape[1]
    about = float(target @ target) + 1e-300

    def left(chosen: npt.NDArray[np.intp]) -> float:
        part = gram[np.ix_(chosen, chosen)]
        part[np.diag_indices_from(part)] += 1e-9 * np.trace(part) / len(part) + 1e-30
        return about - float(right[chosen] @ np.linalg.solve(part, right[chosen]))

    every = np.arange(len(gram))
    before = max(left(every[:first]), 1e-9 * about)
    gains = {
        "odd": before - left(every[:second]),
        "even": before - left(np.concatenate([every[:first], every[second:]])),
    }
    total = float(np.sum(np.square(it.plane[some] / root))) + 1e-300
    return {
        **{f"{name}_share": gain / before for name, gain in gains.items()},
        **{f"{name}_power": gain / total for name, gain in gains.items()},
    }
