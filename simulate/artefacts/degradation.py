"""Degrade a plane of scattering as a measurement does: residual background, Bragg residue and counting noise.

All of them are off by default. The two components stay exact; the degraded plane is stored as the array `scattering`.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane
from dsfunet.planes.preprocessing import normalise
from simulate.ranges import check_ranges, check_shares

# At four widths a Gaussian has fallen to 3e-4 of its height, which is below the resolution of half floats near 1.
_SPOT_REACH_WIDTHS = 4.0


@dataclass(frozen=True)
class SignalRecipe:
    """Settings of the degradation. Each pair is a (lowest, highest) range with a uniform distribution.

    Attributes:
        share_background: probability of a smooth background, a constant plus a bump that depends on |Q| alone.
        background_constant: range of the constant, as a share of the plane's maximum.
        background_height: range of the bump's height, as a share of the plane's maximum.
        background_q_inv_angstrom: range of |Q| at the bump's top [1/Angstrom]; 0 is like air scattering.
        background_width_inv_angstrom: range of the Gaussian bump's standard deviation [1/Angstrom].
        share_bragg: probability of a Bragg residue, on layers with Bragg peaks.
        bragg_spot_share: range of the share of Bragg positions that keep a residue.
        bragg_hole_share: range of the share of these residues that are holes, where too much was subtracted.
        bragg_height: range of the highest residual spot, as a share of the plane's maximum; the spots of a plane are
            uniform from 0 to it.
        bragg_depth: range of the deepest hole, as the share of intensity removed; the holes of a plane are uniform
            from 0 to it.
        bragg_width_pixels: range of the standard deviation of the Gaussian spots and holes of a plane [pixels].
        layer_tolerance: largest distance of a layer's index from an integer at which Bragg peaks appear [r.l.u.].
        share_counts: probability of counting noise.
        brightest_counts: range of the counts expected in the brightest pixel, with a log-uniform distribution.

    Raises:
        InputError: a share is not in [0, 1], or a range is reversed or out of bounds.
    """

    share_background: float = 0.0
    background_constant: tuple[float, float] = (0.0, 0.2)
    background_height: tuple[float, float] = (0.0, 0.3)
    background_q_inv_angstrom: tuple[float, float] = (0.0, 3.0)
    background_width_inv_angstrom: tuple[float, float] = (0.5, 2.0)
    share_bragg: float = 0.0
    bragg_spot_share: tuple[float, float] = (0.05, 0.5)
    bragg_hole_share: tuple[float, float] = (0.0, 1.0)
    bragg_height: tuple[float, float] = (0.05, 1.0)
    bragg_depth: tuple[float, float] = (0.3, 1.0)
    bragg_width_pixels: tuple[float, float] = (0.6, 2.0)
    layer_tolerance: float = 0.02
    share_counts: float = 0.0
    brightest_counts: tuple[float, float] = (30.0, 3000.0)

    def __post_init__(self) -> None:
        bounds = {
            "background_constant": (0.0, 100.0),
            "background_height": (0.0, 100.0),
            "background_q_inv_angstrom": (0.0, 1000.0),
            "background_width_inv_angstrom": (0.01, 1000.0),
            "bragg_spot_share": (0.0, 1.0),
            "bragg_hole_share": (0.0, 1.0),
            "bragg_height": (0.0, 100.0),
            "bragg_depth": (0.0, 1.0),
            "bragg_width_pixels": (0.1, 20.0),
            # With fewer counts a plane may have none at all; numpy cannot draw more.
            "brightest_counts": (10.0, 1e15),
        }
        check_ranges(self, "signal recipe", bounds)
        check_shares(self, "signal recipe", ("share_background", "share_bragg", "share_counts"))
        if not 0 <= self.layer_tolerance < 0.5:
            raise InputError(
                f"signal recipe layer_tolerance is {self.layer_tolerance}; expected 0 to below 0.5"
            )

    @property
    def is_on(self) -> bool:
        """Whether any plane may be degraded; the store then also holds the scattering."""
        return max(self.share_background, self.share_bragg, self.share_counts) > 0


def degrade(
    scattering: npt.NDArray[np.floating[Any]],
    plane: Plane,
    cell: Cell,
    rng: np.random.Generator,
    recipe: SignalRecipe,
) -> npt.NDArray[np.float32]:
    """Add background, then Bragg residue, then counting noise to a plane, each with its probability.

    If all probabilities are 0, nothing is drawn from `rng` and the plane is returned unchanged.

    Args:
        scattering: intensity in [0, 1], shape of the plane.
        plane: pixel positions; with Bragg residue on, two reciprocal vectors of the cell must span the plane.
        cell: unit cell, which gives the Bragg positions.
        rng: source of all random draws.
        recipe: probabilities and ranges.

    Returns:
        Intensity normalised to [0, 1] again. This removes a constant background without noise.

    Raises:
        InputError: the shapes of intensity and plane differ, or the degraded plane is constant.
    """
    if scattering.shape != plane.shape:
        raise InputError(
            f"scattering has shape {scattering.shape}; expected that of its plane, {plane.shape}"
        )
    measured = scattering.astype(np.float64)
    untouched = True
    if recipe.share_background > 0 and rng.random() < recipe.share_background:
        constant, height = rng.uniform(*recipe.background_constant), rng.uniform(*recipe.background_height)
        centre = rng.uniform(*recipe.background_q_inv_angstrom)
        width = rng.uniform(*recipe.background_width_inv_angstrom)
        measured += smooth_background(plane, constant, height, centre, width)
        untouched = False
    if recipe.share_bragg > 0 and rng.random() < recipe.share_bragg:
        _add_bragg_residue(measured, plane, cell, rng, recipe)
        untouched = False
    if recipe.share_counts > 0 and rng.random() < recipe.share_counts:
        low, high = np.log(recipe.brightest_counts)
        measured = add_counting_noise(measured, float(np.exp(rng.uniform(low, high))), rng)
        untouched = False
    return scattering.astype(np.float32) if untouched else normalise(measured)[0]


def smooth_background(
    plane: Plane, constant: float, height: float, centre_inv_angstrom: float, width_inv_angstrom: float
) -> Array:
    """Return constant + height exp(-(|Q| - centre)^2 / (2 width^2)) on a plane, shape of the plane."""
    deviation = np.sqrt(plane.q_squared()) - centre_inv_angstrom
    bump: Array = constant + height * np.exp(-0.5 * (deviation / width_inv_angstrom) ** 2)
    return bump


def add_counting_noise(intensity: Array, brightest_counts: float, rng: np.random.Generator) -> Array:
    """Draw Poisson counts, with `brightest_counts` expected where the non-negative intensity is highest.

    Raises:
        InputError: the intensity is zero everywhere.
    """
    brightest = float(intensity.max())
    if not brightest > 0:
        raise InputError(f"the brightest pixel is {brightest}; expected a positive intensity")
    return rng.poisson(intensity * (brightest_counts / brightest)).astype(np.float64)


def bragg_pixels(plane: Plane, cell: Cell, layer_tolerance: float) -> Array:
    """Return the Bragg positions in a plane: fractional pixel indices (n, 2), sorted by reciprocal indices.

    The array is empty if the plane's layer index, the one that is constant on it, is not an integer within the
    tolerance.

    Raises:
        InputError: no layer index is constant on the plane.
    """
    # Reciprocal indices of the origin and of the two steps, from Q . a = 2 pi h.
    origin, *steps = np.stack([plane.origin, plane.step_u, plane.step_v]) @ cell.direct.T / (2 * np.pi)
    constant = np.abs(steps).max(axis=0) < 1e-9
    if not constant.any():
        raise InputError(
            "the plane cuts all three axes of the cell; expected one spanned by two reciprocal vectors"
        )
    layer = float(origin[constant][0])
    if abs(layer - round(layer)) > layer_tolerance + 1e-9:  # rounding
        return np.empty((0, 2))
    step = np.array(steps)[:, ~constant]
    limits = np.array([[index[0], index[-1]] for index in (plane.index_u, plane.index_v)])
    corners = origin[~constant] + np.stack(np.meshgrid(*limits), axis=-1).reshape(-1, 2) @ step
    first, last = np.ceil(corners.min(axis=0)), np.floor(corners.max(axis=0))
    indices = np.stack(
        np.meshgrid(*(np.arange(*ends) for ends in zip(first, last + 1, strict=True)), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    pixels = (indices - origin[~constant]) @ np.linalg.inv(step) - limits[:, 0]
    inside: Array = pixels[np.all((pixels >= 0) & (pixels <= np.array(plane.shape) - 1), axis=1)]
    return inside


def _add_bragg_residue(
    measured: Array, plane: Plane, cell: Cell, rng: np.random.Generator, recipe: SignalRecipe
) -> None:
    """Add holes and residual spots in place; the number of draws depends on the Bragg positions alone."""
    pixels = bragg_pixels(plane, cell, recipe.layer_tolerance)
    spot_share, hole_share, height, depth, width = (
        float(rng.uniform(*limits))
        for limits in (
            recipe.bragg_spot_share,
            recipe.bragg_hole_share,
            recipe.bragg_height,
            recipe.bragg_depth,
            recipe.bragg_width_pixels,
        )
    )
    shown, hole, strength = rng.random((3, len(pixels)))
    is_hole = hole < hole_share
    strength = strength * np.where(is_hole, -depth, height * measured.max())
    # Holes come first: they must not remove intensity of the residual spots.
    for which in (is_hole, ~is_hole):
        chosen = which & (shown < spot_share)
        add_spots(measured, pixels[chosen], strength[chosen], width)


@numba.njit(cache=True, nogil=True)
def add_spots(intensity: Array, pixels: Array, strengths: Array, width_pixels: float) -> None:
    """Add Gaussian spots to an intensity (n, m) in place, or cut Gaussian holes where a strength is negative.

    A spot adds strength g; a hole multiplies by 1 + strength g. g is a Gaussian centred on a row of `pixels` (k, 2)
    with standard deviation `width_pixels` along both axes, cut off at four standard deviations. A value of -1 in
    `strengths` (k,) removes all intensity at the centre.
    """
    reach = _SPOT_REACH_WIDTHS * width_pixels
    for spot in range(len(pixels)):
        row, column = pixels[spot, 0], pixels[spot, 1]
        first_column = max(int(np.ceil(column - reach)), 0)
        last_column = min(int(np.floor(column + reach)), intensity.shape[1] - 1)
        along_row = np.exp(-0.5 * ((np.arange(first_column, last_column + 1) - column) / width_pixels) ** 2)
        for i in range(max(int(np.ceil(row - reach)), 0), min(int(row + reach), intensity.shape[0] - 1) + 1):
            factor = strengths[spot] * np.exp(-0.5 * ((i - row) / width_pixels) ** 2)
            for j in range(first_column, last_column + 1):
                value = factor * along_row[j - first_column]
                if strengths[spot] < 0.0:
                    intensity[i, j] *= 1.0 + value
                else:
                    intensity[i, j] += value
