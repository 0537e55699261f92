"""Numbers that show whether a plane is the product of its two components: size and shape of the residual.

All numbers come from the measured plane in units of its brightest pixel, from both components and, if there is one,
from the lattice; none depends on the unit of intensity. `dsfunet.verdict.judge` compares them with good planes.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dsfunet._typing import Array, Floats, Mask
from dsfunet.lattice.mode import LatticeAnswer
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.noise import take_second_differences
from dsfunet.verdict.scaled_plane import ScaledPlane, scale_plane

# Standard deviation of the Gaussian that sums weak residuals [pixels].
_SMOOTH_PIXELS = 1.5
# Smallest expected intensity that a residual is divided by, in units of the brightest pixel.
_WEAK = 0.01
_RADIAL_KNOTS = 10
# Edges of the frequency bands [periods per plane], and quantiles, that describe the appearance of a plane.
_BANDS = (0.0, 4.0, 8.0, 12.0, 18.0, 27.0, 40.0, 64.0, 128.0)
_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.998)
# Half of the harmonics up to the second; the other half follows by inversion.
_HARMONICS = [(m, n) for m in range(3) for n in range(-2, 3) if m > 0 or n > 0]
# Least-squares fits use every second or third pixel along both axes, because they fit smooth functions.
_STEP, _SPARSE = 2, 3
_FEWEST_PIXELS = 500
# Added to both residuals before they are compared: well below this it does not matter which is smaller.
_ANY_RESIDUAL = 0.02
# Gaps: size of a block of zeros [pixels], fewest pixels around it, and fewest counts in these.
_BLOCK = 5
_SHORTEST_RIM = 30
_FEWEST_COUNTS = 3.0
# Sides of squares about a Bragg position [pixels]: its middle, its surroundings without the rim, its surroundings.
_MIDDLE, _WITHIN_RIM, _SURROUNDINGS = 3, 7, 9
_FEWEST_NODES, _FEWEST_OTHERS, _FEWEST_RIM = 4, 12, 8
# How much Bragg positions may differ, because form factors are not constant around them: factor on their ratio, share
# of the bright pixels (in dark regions ratios mean nothing), and standard deviations.
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
    """Measure a plane and its components; returns all numbers by name, those of the lattice only if there is one.

    "Power" is the sum of the squared plane minus that of its noise.

    * noise: square root of the share of noise in the squared plane;
    * unexplained: square root of the share of power that the product leaves, beyond noise (wR2 without noise);
      unexplained_weak: the same for the residual smoothed over 1.5 pixels and divided by the expected intensity, so
      that weak features count; smooth_share: share of the residual that smoothing keeps;
    * background: share of the variance that a function of |Q| explains in addition to the product; radial: share that
      such a function explains alone; order: share that the product explains in addition to it;
    * spiky: share of power in maxima less than five pixels wide; isolated: share of pixels far brighter than all
      neighbours; sharp: sharpness of the residual beyond noise; bright_quantile: distance of the brightest pixel from
      the rest;
    * dark: share of the expected intensity in blocks of zeros; cliff: steepness of their edges;
    * bragg_plane, bragg_residual: contrast of Bragg positions relative to that of other positions, in plane and
      residual; bragg_excess: contrast of Bragg positions in the residual; bragg_outstanding: share of Bragg positions
      that are brighter than the others explain;
    * odd_share, even_share: share of the residual that displacements would explain; odd_power, even_power: the same as
      a share of the plane;
    * unexplained_on_lattice, lattice_over_networks, lattice_residual: numbers of lattice mode, accepted or not;
    * root_*, band_*: appearance of the plane (`measure_appearance`).

    Args:
        plane: measured intensity (n, m), any unit; pixels outside the mask are ignored.
        mask: True = measured.
        form_factor: I_FF, (n, m).
        short_range_order: I_SRO, (n, m).
        answer: components that lattice mode gives, accepted or not.
        lattice: the lattice, given or found.
        sigma: standard deviation of each pixel in the unit of the plane; None estimates it.
    """
    scaled = scale_plane(plane, mask, form_factor, short_range_order, sigma, lattice)
    left = _measure_residual(scaled)
    numbers = {
        **left,
        **_measure_background(scaled),
        **_measure_spots(scaled),
        **_measure_dark_blocks(scaled),
        **measure_appearance(scaled.plane, mask),
    }
    if lattice is not None:
        numbers |= _measure_bragg_contrast(scaled, lattice)
        numbers |= _measure_displacements(scaled, lattice)
        if answer is not None:
            if not answer.accepted:  # otherwise these are the components measured above
                on_lattice = scale_plane(
                    plane, mask, answer.form_factor, answer.short_range_order, sigma, lattice
                )
                left = _measure_residual(on_lattice)
            numbers["unexplained_on_lattice"] = left["unexplained"]
            numbers["lattice_over_networks"] = (answer.residual + _ANY_RESIDUAL) / (
                answer.residual_of_networks + _ANY_RESIDUAL
            )
            numbers["lattice_residual"] = answer.residual
    return {name: float(value) for name, value in numbers.items()}


def _measure_residual(scaled: ScaledPlane) -> dict[str, float]:
    residual = scaled.residual
    noise = float(scaled.variance[scaled.mask].sum())
    missed = max(float(np.sum(residual**2)) - noise, 0.0)
    weights = np.maximum(ndimage.gaussian_filter(scaled.mask.astype(np.float64), _SMOOTH_PIXELS), 1e-3)
    smooth = ndimage.gaussian_filter(residual, _SMOOTH_PIXELS) / weights
    expected = np.maximum(scaled.product, 0) + _WEAK
    shared = 4 * np.pi * _SMOOTH_PIXELS**2
    weak = np.sum(((smooth**2 - scaled.variance / shared) / expected)[scaled.mask])
    return {
        "noise": np.sqrt(noise / max(float(np.sum(scaled.plane**2)), 1e-300)),
        "unexplained": np.sqrt(missed / scaled.power),
        "unexplained_weak": np.sqrt(max(float(weak), 0.0) / float(expected[scaled.mask].sum())),
        "smooth_share": float(np.sum(smooth[scaled.mask] ** 2)) / max(missed, 1e-3 * scaled.power),
    }


def _hat_functions(radius: Array) -> Array:
    """Return piecewise linear functions of |Q| that add up to 1, (pixels, knots)."""
    knots = np.linspace(0, float(radius.max()), _RADIAL_KNOTS)
    place = radius / knots[1]
    hats: Array = np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(_RADIAL_KNOTS)))
    return hats


def _measure_background(scaled: ScaledPlane) -> dict[str, float]:
    some = np.zeros_like(scaled.mask)
    some[::_STEP, ::_STEP] = scaled.mask[::_STEP, ::_STEP]
    values, product = scaled.plane[some], scaled.product[some]
    if len(values) < 4 * _RADIAL_KNOTS:
        return {"background": 0.0, "radial": 0.0, "order": 1.0}
    hats = _hat_functions(scaled.radius[some])
    about = float(np.sum((values - values.mean()) ** 2)) or 1.0
    signal = max(about - float(scaled.variance[some].sum()), 1e-3 * about)
    alone = _sum_of_squares_left(hats, values)
    before = _sum_of_squares_left(product[:, None], values)
    after = _sum_of_squares_left(np.column_stack([product, hats]), values)
    return {
        "background": max(before - after, 0.0) / signal,
        "radial": min((about - alone) / signal, 1.0),
        "order": max(alone - after, 0.0) / signal,
    }


def _sum_of_squares_left(columns: Array, values: Array) -> float:
    """Return the sum of squared residuals of a least-squares fit."""
    gram, right = columns.T @ columns, columns.T @ values
    gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram) / len(gram) + 1e-30
    return float(values @ values - right @ np.linalg.solve(gram, right))


def _measure_spots(scaled: ScaledPlane) -> dict[str, float]:
    residual, deviation = scaled.residual, np.sqrt(scaled.variance)
    opened = ndimage.grey_opening(np.where(scaled.mask, scaled.plane, 1.0), size=(5, 5))
    hat = np.where(scaled.mask, scaled.plane - opened, 0.0)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    around = ndimage.maximum_filter(scaled.plane, footprint=ring)
    alone = scaled.mask & (scaled.plane > 1.5 * around + 5 * deviation + 0.01)
    sharp = np.abs(take_second_differences(residual))[scaled.mask] / 4
    return {
        "spiky": float(np.sum(hat**2)) / scaled.power,
        "isolated": float(alone.sum()) / scaled.mask.sum(),
        "sharp": float(np.quantile(sharp, 0.999)) - 4 * float(np.sqrt(np.mean(scaled.variance[scaled.mask]))),
        "bright_quantile": 1 - float(np.quantile(scaled.plane[scaled.mask], 0.999)),
    }


def _measure_dark_blocks(scaled: ScaledPlane) -> dict[str, float]:
    """Measure blocks of zeros: the share of the expected intensity in them, and the steepness of their edges.

    A minimum of short-range order has sloping edges. A gap has cliffs: beside it the plane is as bright as further off.
    """
    zero = scaled.mask & (scaled.plane <= 1e-6)
    block = ndimage.maximum_filter(ndimage.minimum_filter(zero, _BLOCK), _BLOCK) & zero
    expected = np.maximum(scaled.product, 0)
    total = max(float(expected[scaled.mask].sum()), 1e-300)
    one, two, four = (ndimage.maximum_filter(block, size) & scaled.mask for size in (3, 5, 9))
    near, far = scaled.plane[one & ~block], scaled.plane[four & ~two]
    cliff = 0.0
    if len(near) >= _SHORTEST_RIM and len(far) >= _SHORTEST_RIM:
        # At low counts zeros occur by chance, and such a block ends at any pixel with one count.
        least = _FEWEST_COUNTS * float(scaled.plane[scaled.mask & ~zero].min(initial=1.0))
        rim = float(np.quantile(near, 0.75))
        cliff = min(rim / max(float(np.quantile(far, 0.75)), 1e-9), 2.0) if rim >= least else 0.0
    return {"dark": float(expected[block].sum()) / total, "cliff": cliff}


def measure_appearance(plane: Array, mask: Mask) -> dict[str, float]:
    """Describe the appearance of a plane: quantiles of its square roots, and their log power in frequency bands."""
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


def _lattice_points(
    lattice: LatticePlane, shape: tuple[int, ...], shift: tuple[float, float]
) -> npt.NDArray[np.intp]:
    """Return the pixels (k, 2) nearest to the points (m, n) + shift of a lattice, away from the edges of the plane."""
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


def _measure_bragg_contrast(scaled: ScaledPlane, lattice: LatticePlane) -> dict[str, float]:
    """Compare the contrast of Bragg positions to their surroundings with that of positions between them."""
    shape = scaled.mask.shape
    nodes = _lattice_points(lattice, shape, (0.0, 0.0))
    between = [
        _lattice_points(lattice, shape, shift) for shift in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25))
    ]
    others = np.concatenate(between)
    mask = scaled.mask.astype(np.float64)
    sizes = (_MIDDLE, _WITHIN_RIM, _SURROUNDINGS)
    mask_means = {size: ndimage.uniform_filter(mask, size) for size in sizes}
    plane_means = {size: ndimage.uniform_filter(scaled.plane, size) for size in sizes}
    residual_means = {
        size: ndimage.uniform_filter(scaled.residual, size) for size in (_MIDDLE, _SURROUNDINGS)
    }
    mask_middle, mask_around = mask_means[_MIDDLE], mask_means[_SURROUNDINGS]
    usable = (mask_middle > 0.9) & (mask_around > 0.5)
    level = ndimage.uniform_filter(np.maximum(scaled.product, 0), _SURROUNDINGS) + 0.003
    nodes, others = (each[usable[tuple(each.T)]] for each in (nodes, others))
    if len(nodes) < _FEWEST_NODES or len(others) < _FEWEST_OTHERS:
        return {"bragg_plane": 0.0, "bragg_residual": 0.0, "bragg_excess": 0.0, "bragg_outstanding": 0.0}
    numbers = {"bragg_outstanding": _share_outstanding(scaled, nodes, plane_means, mask_means)}
    for name, means in (("bragg_plane", plane_means), ("bragg_residual", residual_means)):
        middle = means[_MIDDLE] / np.maximum(mask_middle, 0.1)
        around = means[_SURROUNDINGS] / np.maximum(mask_around, 0.1)
        contrast = (middle - around) / level
        at_nodes, elsewhere = (contrast[tuple(each.T)] for each in (nodes, others))
        # Many Bragg peaks are weak, so only the brighter half counts.
        brighter, usual = (float(np.mean(np.sort(each)[len(each) // 2 :])) for each in (at_nodes, elsewhere))
        numbers[name] = (brighter - usual) / (float(np.sqrt(np.mean(elsewhere**2))) + 1e-3)
    return {**numbers, "bragg_excess": brighter}


def _share_outstanding(
    scaled: ScaledPlane,
    nodes: npt.NDArray[np.intp],
    plane_means: Mapping[int, Array],
    mask_means: Mapping[int, Array],
) -> float:
    """Return the share of Bragg positions with an unusually bright ratio to their surroundings.

    Short-range order is the same about all of them, so the ratio is as well; Bragg peaks follow structure factors.

    Args:
        scaled: the plane.
        nodes: pixels of the Bragg positions, (k, 2).
        plane_means: means of the plane over squares, by side [pixels].
        mask_means: means of its mask, likewise.
    """
    place = tuple(nodes.T)
    core, inside, around = (means[place] * size**2 for size, means in plane_means.items())
    inner, within, outer = (means[place] * size**2 for size, means in mask_means.items())
    # Only the outermost pixels: nearer ones belong to the peak.
    rim_pixels = outer - within
    known = rim_pixels > _FEWEST_RIM
    if known.sum() < _FEWEST_NODES:
        return 0.0
    core, inner, rim_pixels = core[known] / inner[known], inner[known], rim_pixels[known]
    rim = np.maximum((around - inside)[known] / rim_pixels, 0)
    bright = (rim >= np.median(rim)) & (rim > 0)
    ratio = float(np.median(core[bright] / rim[bright])) if bright.any() else 1.0
    variance = scaled.variance[place][known] * (1 / inner + ratio**2 / rim_pixels)
    level = float(np.quantile(scaled.plane[scaled.mask], 0.95))
    enough = _ALIKE_BRIGHT * level + _SIGNIFICANT * np.sqrt(variance)
    return float(np.mean(core - _ALIKE * ratio * rim > enough))


def _measure_displacements(scaled: ScaledPlane, lattice: LatticePlane) -> dict[str, float]:
    """Measure what odd harmonics times Q and even ones times Q squared explain of the residual beyond periodic terms.

    The fit is weighted by one over the product, so that the few brightest cells do not decide alone.
    """
    some = np.zeros_like(scaled.mask)
    some[::_SPARSE, ::_SPARSE] = scaled.mask[::_SPARSE, ::_SPARSE]
    rows, columns = np.nonzero(some)
    if len(rows) < _FEWEST_PIXELS:
        return {}
    h, k = (index[some] for index in lattice.fractional_indices())
    u, v = (2 * each / count - 1 for each, count in zip((rows, columns), scaled.mask.shape, strict=True))
    phases = 2 * np.pi * np.stack([m * h + n * k for m, n in _HARMONICS], axis=1)
    cosines, sines = np.cos(phases), np.sin(phases)
    root = np.sqrt(np.maximum(scaled.product[some], 1e-3))
    constant = np.ones((len(root), 1))
    radial = np.square(scaled.radius[some])[:, None]
    periodic = np.hstack([constant, cosines, sines])
    odd = np.hstack([sines * u[:, None], sines * v[:, None]])
    even = np.hstack([constant, cosines]) * radial
    columns_of = np.hstack([periodic, odd, even]) * root[:, None]
    target = scaled.residual[some] / root
    gram, right = columns_of.T @ columns_of, columns_of.T @ target
    first, second = periodic.shape[1], periodic.shape[1] + odd.shape[1]
    about = float(target @ target) + 1e-300

    def sum_of_squares_left(chosen: npt.NDArray[np.intp]) -> float:
        part = gram[np.ix_(chosen, chosen)]
        part[np.diag_indices_from(part)] += 1e-9 * np.trace(part) / len(part) + 1e-30
        return about - float(right[chosen] @ np.linalg.solve(part, right[chosen]))

    every = np.arange(len(gram))
    before = max(sum_of_squares_left(every[:first]), 1e-9 * about)
    gains = {
        "odd": before - sum_of_squares_left(every[:second]),
        "even": before - sum_of_squares_left(np.concatenate([every[:first], every[second:]])),
    }
    total = float(np.sum(np.square(scaled.plane[some] / root))) + 1e-300
    return {
        **{f"{name}_share": gain / before for name, gain in gains.items()},
        **{f"{name}_power": gain / total for name, gain in gains.items()},
    }
