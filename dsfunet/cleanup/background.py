"""Smooth background under a plane: a constant, the lower envelope of the plane over |Q|, or another plane."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from dsfunet._typing import Array
from dsfunet.cleanup.masks import read_on_grid
from dsfunet.cleanup.record import Number, StepRecord, format_pixels
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid
from dsfunet.physics import Plane
from dsfunet.planes.noise import estimate_noise, smooth_measured

_PIXELS_PER_SHELL = 160
# Waves in |Q| shorter than this are scattering of the crystal, not of air or glass [1/Angstrom].
_SHORTEST_WAVE_INV_ANGSTROM = 1.4
_ASYMMETRY = 0.05
_ROUNDS = 30
# Low values of single noisy pixels are not background; features of scattering are wider than this.
_SMOOTHING_PIXELS = 1.0
# Values no further below zero than this are noise, or a background estimated slightly too high.
_NOISE_DEVIATIONS = 4.0
_HARMLESS_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class RadialBackground:
    """Background that depends on |Q| alone.

    Attributes:
        q_inv_angstrom: increasing values of |Q|, (k,).
        level: background at these, (k,); linear between them.
    """

    q_inv_angstrom: Array
    level: Array

    def evaluate(self, plane: Plane) -> Array:
        """Return the background at every pixel of a plane, shape (n, m)."""
        return np.interp(np.sqrt(plane.q_squared()), self.q_inv_angstrom, self.level)


def estimate_radial_background(intensity: Array, plane: Plane, quantile: float) -> RadialBackground:
    """Estimate the smooth lower envelope over |Q| of a plane (n, m), NaN where missing; it is nowhere negative.

    The plane is smoothed over one pixel against noise, and a low quantile is taken of each shell of |Q|. An asymmetric
    Whittaker smoother (Eilers & Boelens, 2005) of these quantiles stays below shells with scattering all round.
    Scattering of the crystal that is even over whole shells cannot be told from background, and is subtracted too.

    Raises:
        InputError: the plane has measured pixels for fewer than three shells.
    """
    known = np.isfinite(intensity)
    q = np.sqrt(plane.q_squared())[known]
    values = smooth_measured(intensity, _SMOOTHING_PIXELS)[known]
    order = np.argsort(q, kind="stable")
    shells = len(order) // _PIXELS_PER_SHELL
    if shells < 3:
        raise InputError(
            f"background radial: the plane has {known.sum()} measured pixels; expected {3 * _PIXELS_PER_SHELL} or more"
        )
    parts = np.array_split(order, shells)
    found_q = np.array([q[part].mean() for part in parts])
    floor = np.array([np.quantile(values[part], quantile) for part in parts])
    # Shells with equal numbers of pixels get closer with |Q|; the smoother needs an even spacing.
    step = max(float(np.diff(found_q).max()) / 2, float(found_q[-1] - found_q[0]) / 400)
    even = np.arange(found_q[0], found_q[-1] + step, step)
    level = _fit_lower_envelope(np.interp(even, found_q, floor), step)
    return RadialBackground(even, np.maximum(level, 0.0))


def scale_file_background(
    intensity: Array,
    path: Path,
    grid: PlaneGrid | None,
    scale: float | None,
    quantile: float,
    picture: bool = False,
) -> tuple[Array, float]:
    """Read another plane on the same grid and scale it; returns it, NaN where missing, and the scale, 0 or more.

    Without a given `scale` it is the largest that the plane allows: a low `quantile` of the ratio between plane and
    file, both smoothed over one pixel.

    Raises:
        InputError: the file cannot be read, differs from the plane in shape or position, or is nowhere positive.
    """
    other = read_on_grid(path, grid, picture)
    if other.shape != intensity.shape:
        raise InputError(
            f"{path}: the background has shape {other.shape}; expected that of the plane, {intensity.shape}"
        )
    with np.errstate(invalid="ignore"):
        other = np.where(np.isfinite(other) & (other >= 0), other, np.nan)
    if scale is None:
        smooth = smooth_measured(other, _SMOOTHING_PIXELS)
        both = np.isfinite(smooth) & np.isfinite(intensity)
        # Where the background is weak the ratio is noise.
        strong = both & (smooth > 0.2 * np.max(smooth[both], initial=0.0))
        if not strong.any():
            raise InputError(f"{path}: the background is nowhere positive on this plane; give another file")
        ratio = smooth_measured(intensity, _SMOOTHING_PIXELS)[strong] / smooth[strong]
        scale = max(float(np.quantile(ratio, quantile)), 0.0)
    return scale * other, scale


def subtract_background(
    intensity: Array,
    kind: Literal["radial"] | float | Path,
    plane: Plane | None,
    grid: PlaneGrid | None,
    quantile: float,
    scale: float | None,
    picture: bool = False,
) -> tuple[Array, StepRecord]:
    """Subtract a background from a plane; noise may take values below zero. Returns the plane and the record.

    Args:
        intensity: (n, m), NaN where missing.
        kind: a constant, "radial" for the lower envelope over |Q|, or a file.
        plane: positions of the pixels in Q; needed for "radial" only.
        grid: grid of the plane, which the grid of a file must match.
        quantile: low quantile that counts as background.
        scale: factor on a file; None fits it.
        picture: whether the file, like that of the plane, is a picture with the second axis up.

    Raises:
        InputError: as `estimate_radial_background` and `scale_file_background`, or "radial" for a plane without axes.
    """
    numbers: dict[str, Number] = {"kind": "constant"}
    background: Array
    if kind == "radial":
        if plane is None:
            raise InputError(
                "background radial: the plane has no axes; give them with options or in the file"
            )
        background = estimate_radial_background(intensity, plane, quantile).evaluate(plane)
        numbers |= {"kind": "radial", "quantile": quantile}
        words = f"the lower envelope over |Q| (quantile {quantile:g} of each shell, smoothed)"
    elif isinstance(kind, Path):
        background, found = scale_file_background(intensity, kind, grid, scale, quantile, picture)
        numbers |= {"kind": "file", "file": kind.name, "scale": found}
        numbers["scale_fitted"] = int(scale is None)
        words = f"{found:.4g} times {kind.name}"
    else:
        background = np.full(intensity.shape, float(kind))
        words = f"a constant {kind:g}"
    result = intensity - background
    known = np.isfinite(result)
    if not known.any():
        raise InputError(
            f"background {kind}: it leaves no measured pixel; expected a background that covers the plane"
        )
    low, high = float(background[known].min()), float(background[known].max())
    share = float(background[known].sum() / max(intensity[known].sum(), 1e-300))
    numbers |= {"lowest": low, "highest": high, "share_of_intensity": share}
    numbers["pixels_lost"] = int(np.count_nonzero(np.isfinite(intensity) & ~known))
    sentence = (
        f"background: subtracted {words}: {low:.4g} to {high:.4g}, {100 * share:.0f} % of the intensity"
    )
    return result, StepRecord("background", sentence, numbers)


def replace_below_background(intensity: Array) -> tuple[Array, StepRecord | None]:
    """Set pixels that a subtraction took below zero to zero within noise, and to missing (NaN) beyond.

    The networks treat negative pixels as missing. In a dark region that would keep only the positive half of the noise,
    0.8 standard deviations too bright, and leave holes where short-range order is weakest; zeros are 0.4 too bright and
    leave no holes. "Within noise" means four standard deviations, or 2 % of the bright pixels, since a background may
    be estimated that much too high. Values further below are not noise, and say nothing about the intensity.

    Returns:
        The plane and the record; no record where no pixel is below zero.
    """
    with np.errstate(invalid="ignore"):
        below = intensity < 0
    if not below.any():
        return intensity, None
    noise = estimate_noise(intensity)
    bright = float(np.nanquantile(intensity, 0.99))
    limit = np.maximum(_NOISE_DEVIATIONS * noise(np.zeros(1))[0], _HARMLESS_SHARE * bright)
    deep = below & (intensity < -limit)
    clipped = below & ~deep
    result = np.where(deep, np.nan, np.where(clipped, 0.0, intensity))
    numbers = {"pixels_zero": int(clipped.sum()), "pixels_missing": int(deep.sum()), "limit": float(limit)}
    sentence = (
        f"below the background: {format_pixels(int(clipped.sum()), below.size)} by at most {limit:.3g}, within noise,"
        f" set to zero; {format_pixels(int(deep.sum()), below.size)} further below set to missing"
    )
    notes: tuple[str, ...] = ()
    if deep.mean() > 0.05:
        notes = (f"background: {100 * deep.mean():.0f} % of the plane lies below it; subtract a lower one",)
    return result, StepRecord("below the background", sentence, numbers, notes)


def _fit_lower_envelope(values: Array, step_inv_angstrom: float) -> Array:
    """Fit a smooth lower envelope (k,): asymmetric least squares with a penalty on second differences."""
    count = len(values)
    # The penalty halves a wave of the shortest length: lambda = omega^-4.
    omega = 2 * np.sin(min(np.pi * step_inv_angstrom / _SHORTEST_WAVE_INV_ANGSTROM, np.pi / 2))
    second = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(count - 2, count))
    penalty = (second.T @ second) / omega**4
    weights = np.ones(count)
    smooth = values
    for _ in range(_ROUNDS):
        smooth = linalg.spsolve(sparse.csc_matrix(sparse.diags(weights) + penalty), weights * values)
        new = np.where(values > smooth, _ASYMMETRY, 1.0)
        if np.array_equal(new, weights):
            break
        weights = new
    return np.asarray(smooth, dtype=np.float64)
