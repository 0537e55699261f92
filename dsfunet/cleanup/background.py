"""Smooth background under a plane: a constant, a function of |Q| found from the plane's own floor, or another plane."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from dsfunet._typing import Array
from dsfunet.cleanup.masks import read_like
from dsfunet.cleanup.record import Number, StepRecord, counted
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid
from dsfunet.physics import Plane
from dsfunet.planes.noise import estimate_noise, smooth_measured

_PIXELS_A_SHELL = 160
# A shorter wave in |Q| than this is scattering of the crystal, not of air or glass [1/Angstrom].
_SHORTEST_WAVE_INV_ANGSTROM = 1.4
_ASYMMETRY = 0.05
_ROUNDS = 30
# Noise of single pixels must not pass for a floor; features of scattering are wider than this.
_SMOOTHING_PIXELS = 1.0
# Below zero by no more than this is noise, or a background estimated a little too high.
_NOISE_DEVIATIONS = 4.0
_HARMLESS_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class RadialBackground:
    """A background that depends on |Q| alone: `level` (k,) at `q_inv_angstrom` (k,), increasing; linear between."""

    q_inv_angstrom: Array
    level: Array

    def on(self, plane: Plane) -> Array:
        """The background at every pixel of a plane."""
        return np.interp(np.sqrt(plane.q_squared()), self.q_inv_angstrom, self.level)


def radial_background(intensity: Array, plane: Plane, quantile: float) -> RadialBackground:
    """The smooth lower envelope of a plane (n, m; NaN where missing) over |Q|, nowhere negative.

    The low quantile of each shell of |Q|, of the plane smoothed over a pixel so that noise is no floor, and through
    these an asymmetric Whittaker smoother (Eilers & Boelens, 2005), which keeps under shells that scatter all round.
    What a crystal scatters evenly over whole shells cannot be told from background, and goes with it.

    Raises:
        InputError: fewer than three shells were measured.
    """
    known = np.isfinite(intensity)
    q = np.sqrt(plane.q_squared())[known]
    values = smooth_measured(intensity, _SMOOTHING_PIXELS)[known]
    order = np.argsort(q, kind="stable")
    shells = len(order) // _PIXELS_A_SHELL
    if shells < 3:
        raise InputError(
            f"background: found {known.sum()} measured pixels, expected {3 * _PIXELS_A_SHELL} or more"
        )
    parts = np.array_split(order, shells)
    found_q = np.array([q[part].mean() for part in parts])
    floor = np.array([np.quantile(values[part], quantile) for part in parts])
    # Shells of equal numbers of pixels are ever closer in |Q|; the smoother wants even ones.
    step = max(float(np.diff(found_q).max()) / 2, float(found_q[-1] - found_q[0]) / 400)
    even = np.arange(found_q[0], found_q[-1] + step, step)
    level = _lower_envelope(np.interp(even, found_q, floor), step)
    return RadialBackground(even, np.maximum(level, 0.0))


def file_background(
    intensity: Array,
    path: Path | str,
    grid: PlaneGrid | None,
    scale: float | None,
    quantile: float,
    picture: bool = False,
) -> tuple[Array, float]:
    """Another plane on the same grid, scaled, and its scale, 0 or more; NaN where it was not measured.

    A scale that is not given is the largest that the plane bears: the low quantile of the ratio of the two, both
    smoothed over a pixel.

    Raises:
        InputError: the file cannot be read, is of another shape or place, or is nowhere positive.
    """
    other = read_like(Path(path), grid, picture)
    if other.shape != intensity.shape:
        raise InputError(
            f"background file {path}: found shape {other.shape}, expected that of the plane, {intensity.shape}"
        )
    with np.errstate(invalid="ignore"):
        other = np.where(np.isfinite(other) & (other >= 0), other, np.nan)
    if scale is None:
        smooth = smooth_measured(other, _SMOOTHING_PIXELS)
        both = np.isfinite(smooth) & np.isfinite(intensity)
        # Where the background is weak the ratio is noise.
        strong = both & (smooth > 0.2 * np.max(smooth[both], initial=0.0))
        if not strong.any():
            raise InputError(f"background file {path}: nowhere positive where the plane was measured")
        ratio = smooth_measured(intensity, _SMOOTHING_PIXELS)[strong] / smooth[strong]
        scale = max(float(np.quantile(ratio, quantile)), 0.0)
    return scale * other, scale


def subtract_background(
    intensity: Array,
    kind: str | float,
    plane: Plane | None,
    grid: PlaneGrid | None,
    quantile: float,
    scale: float | None,
    picture: bool = False,
) -> tuple[Array, StepRecord]:
    """A plane less its background, with values below zero where noise takes them there, and the record.

    Args:
        intensity: (n, m), NaN where missing.
        kind: a constant, "radial" for the floor over |Q|, or a file.
        plane: where the pixels lie; needed for radial alone.
        grid: the same as its owner has it, to check a file against.
        quantile: which low quantile is taken for the floor.
        scale: of a file; None has it found.
        picture: whether plane and file are pictures with the second axis up, of which the plane was turned already.

    Raises:
        InputError: as `radial_background` and `file_background`, or radial without axes.
    """
    numbers: dict[str, Number] = {"kind": "constant"}
    background: Array
    if isinstance(kind, int | float):
        background = np.full(intensity.shape, float(kind))
        words = f"a constant {kind:g}"
    elif kind == "radial":
        if plane is None:
            raise InputError(
                "background radial: the plane has no axes, expected a file or options that give |Q|"
            )
        radial = radial_background(intensity, plane, quantile)
        background = radial.on(plane)
        numbers |= {"kind": "radial", "quantile": quantile}
        words = f"the floor over |Q| (quantile {quantile:g} of each shell, smoothed)"
    else:
        background, found = file_background(intensity, kind, grid, scale, quantile, picture)
        numbers |= {"kind": "file", "file": Path(kind).name, "scale": found}
        numbers["scale_fitted"] = int(scale is None)
        words = f"{found:.4g} times {Path(kind).name}"
    result = intensity - background
    known = np.isfinite(result)
    if not known.any():
        raise InputError(f"background {kind}: no pixel is left that both planes hold")
    low, high = float(background[known].min()), float(background[known].max())
    share = float(background[known].sum() / max(intensity[known].sum(), 1e-300))
    numbers |= {"lowest": low, "highest": high, "share_of_intensity": share}
    numbers["pixels_lost"] = int(np.count_nonzero(np.isfinite(intensity) & ~known))
    sentence = (
        f"background: {words}, {low:.4g} to {high:.4g}, {100 * share:.0f} % of the intensity, subtracted"
    )
    return result, StepRecord("background", sentence, numbers)


def settle_below_zero(intensity: Array) -> tuple[Array, StepRecord | None]:
    """What a subtraction took below zero: to zero within noise, missing (NaN) beyond; no record where nothing was.

    Networks take negative pixels for missing. Of a dark region that would leave the positive half of the noise, 0.8
    standard deviations too bright, and holes just where short-range order is weakest; zero is 0.4 too bright
    and has no holes. Within noise is within four standard deviations, or 2 % of the plane's bright pixels, by which a
    floor may be estimated too high. What lies deeper is not noise, and nothing is known there.
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
        f"below the background: {counted(int(clipped.sum()), below.size)} within {limit:.3g}, noise, taken as zero"
        f" intensity, {counted(int(deep.sum()), below.size)} deeper as missing"
    )
    notes: tuple[str, ...] = ()
    if deep.mean() > 0.05:
        notes = (f"background: {100 * deep.mean():.0f} % of the plane lies below it; expected a lower one",)
    return result, StepRecord("below the background", sentence, numbers, notes)


def _lower_envelope(values: Array, step_inv_angstrom: float) -> Array:
    """Asymmetric least squares with a penalty on second differences, (k,)."""
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
