"""What happens to a plane before a network sees it: missing pixels, normalisation, spread, and the way back.

Everything is per plane, never per batch, so that a sample does not depend on its neighbours.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

COMPONENTS = ("form_factor", "short_range_order")
"""The two components, in the order in which everything goes through them."""

PIXELS = 256
"""Planes are PIXELS x PIXELS everywhere."""

_SMALLEST_BRIGHTEST, _LARGEST_BRIGHTEST = 1e-30, 1e30

# numpy arrays and torch tensors alike: the two formulas need only operators.
AnyArray = TypeVar("AnyArray", npt.NDArray[np.float32], npt.NDArray[np.float64], "Tensor")


def spread(intensity: AnyArray) -> AnyArray:
    """s = 2 sqrt(x) - 1: intensity in [0, 1] to [-1, 1], which lifts the weak features networks must see."""
    return 2 * intensity**0.5 - 1


def spread_into(out: npt.NDArray[np.float32], intensity: npt.NDArray[np.float32]) -> None:
    """`spread`, written where it belongs: fresh memory costs the loader more than arithmetic."""
    np.sqrt(intensity, out=out)
    out *= 2
    out -= 1


def unspread(value: AnyArray) -> AnyArray:
    """x = ((s + 1) / 2)^2, the exact inverse of `spread` on [-1, 1]."""
    return (0.5 * (value + 1)) ** 2


def normalise(
    plane: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.float32], float, float]:
    """One plane brought to [0, 1] by its measured minimum and maximum; missing pixels become 0.

    `mask` is True where measured; None means everywhere. Returns (normalised, minimum, range), so that
    plane = minimum + range * normalised where measured.

    Raises:
        InputError: nothing was measured, a measured pixel is not finite, or all measured pixels are equal.
    """
    if mask is not None and (mask.dtype != bool or mask.shape != plane.shape):
        raise InputError(
            f"mask of shape {mask.shape} and type {mask.dtype}: expected bool of shape {plane.shape}"
        )
    measured = plane if mask is None else plane[mask]
    if measured.size == 0:
        raise InputError("plane has no measured pixel: expected finite, non-negative intensities")
    if not np.isfinite(measured).all():
        raise InputError(
            "plane holds NaN or infinity where it is said to be measured: expected finite intensities"
        )
    low, high = float(measured.min()), float(measured.max())
    if not high > low:
        raise InputError(f"plane is {low} in every measured pixel: expected intensities that vary")
    normalised = plane - low
    normalised /= high - low  # in place: fresh memory costs the loader more than arithmetic
    if mask is not None:
        normalised[~mask] = 0.0
    return normalised.astype(np.float32, copy=False), low, high - low


def measured_pixels(
    plane: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """True where a plane was measured: finite, not negative, and not excluded by a given mask."""
    with np.errstate(invalid="ignore"):
        measured: npt.NDArray[np.bool_] = np.isfinite(plane) & (plane >= 0)
    return measured if mask is None else measured & mask


def check_brightest(values: npt.NDArray[np.float64]) -> None:
    """Refuse measured values that 32-bit numbers, which results are kept in, cannot hold; zeros are none of those.

    Raises:
        InputError: the largest is beyond 1e30, or positive and below 1e-30.
    """
    brightest = float(values.max(initial=0.0))
    if brightest > 0 and not _SMALLEST_BRIGHTEST < brightest < _LARGEST_BRIGHTEST:
        raise InputError(
            f"the brightest pixel is {brightest:g}, expected between {_SMALLEST_BRIGHTEST:g} and"
            f" {_LARGEST_BRIGHTEST:g}, which 32-bit numbers can hold"
        )


def check_planes(
    planes: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_] | None,
    shape: tuple[int, int] = (PIXELS, PIXELS),
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Planes as (n, *shape) float64 with missing pixels at 0, and where they were measured, of the same shape.

    Raises:
        InputError: wrong shape or type of planes or mask.
    """
    hidden = np.ma.getmaskarray(planes) if isinstance(planes, np.ma.MaskedArray) else None
    planes = np.asarray(planes)
    if planes.ndim not in (2, 3) or planes.shape[-2:] != shape or planes.size == 0:
        raise InputError(f"planes of shape {planes.shape}: expected {shape} or (n, {shape[0]}, {shape[1]})")
    if planes.dtype.kind not in "fiub":
        raise InputError(f"planes of type {planes.dtype}: expected real numbers")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape not in (planes.shape, planes.shape[-2:]):
            raise InputError(
                f"mask of shape {mask.shape} and type {mask.dtype}:"
                f" expected bool (True = measured) of shape {planes.shape}"
            )
        mask = np.broadcast_to(mask, planes.shape)
    if hidden is not None:  # numpy's masked arrays say True where a value is *not* to be used
        mask = ~hidden if mask is None else mask & ~hidden
    stack = planes.astype(np.float64).reshape(-1, *shape)
    measured = measured_pixels(stack, None if mask is None else mask.reshape(stack.shape))
    return np.where(measured, stack, 0.0), measured


def network_input(
    scattering: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """The two channels a generator is shown, shape (2, n, m) float32.

    Channel 0 is the spread, normalised scattering in [-1, 1] with missing pixels at -1 (as zero intensity, the
    paper's convention); channel 1 is 1 where measured and 0 where missing. A generator with a single input
    channel, as the paper's, takes the first alone.

    Raises:
        InputError: as `normalise`.
    """
    normalised, _, _ = normalise(scattering, mask)
    shown = np.empty((2, *mask.shape), np.float32)
    shown[1] = mask
    spread_into(shown[0], normalised)
    return shown
