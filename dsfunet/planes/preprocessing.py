"""Preprocessing of planes for the networks: missing pixels, normalisation, spread, and the inverse of each.

Everything is done per plane, never per batch, so that a sample does not depend on the others in its batch.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

COMPONENTS = ("form_factor", "short_range_order")
"""The two components, in the order used everywhere."""

PIXELS = 256
"""Number of rows and of columns of the planes that the networks see."""

_SMALLEST_BRIGHTEST, _LARGEST_BRIGHTEST = 1e-30, 1e30

# Numpy arrays and torch tensors: the two formulas need only operators.
AnyArray = TypeVar("AnyArray", npt.NDArray[np.float32], npt.NDArray[np.float64], "Tensor")


def spread(intensity: AnyArray) -> AnyArray:
    """Spread intensities x in [0, 1] to s = 2 sqrt(x) - 1 in [-1, 1], which enhances weak features.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.planes.preprocessing import spread
        >>> spread(np.array([0.0, 0.25, 1.0])).tolist()
        [-1.0, 0.0, 1.0]
    """
    return 2 * intensity**0.5 - 1


def spread_into(out: npt.NDArray[np.float32], intensity: npt.NDArray[np.float32]) -> None:
    """Write `spread` of an intensity into an array, because allocating one would take longer than the arithmetic."""
    np.sqrt(intensity, out=out)
    out *= 2
    out -= 1


def unspread(value: AnyArray) -> AnyArray:
    """Return x = ((s + 1) / 2)^2, the exact inverse of `spread` on [-1, 1]."""
    return (0.5 * (value + 1)) ** 2


def normalise(
    plane: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.float32], float, float]:
    """Normalise one plane to [0, 1] by its measured minimum and maximum; missing pixels become 0.

    Args:
        plane: intensities in any unit, shape (n, m).
        mask: True where measured, shape (n, m); None if everything was.

    Returns:
        (normalised, minimum, range), so that plane = minimum + range * normalised where measured.

    Raises:
        InputError: nothing was measured, a measured pixel is not finite, or all measured pixels are equal.
    """
    if mask is not None and (mask.dtype != bool or mask.shape != plane.shape):
        raise InputError(
            f"the mask has shape {mask.shape} and type {mask.dtype}; expected bool of shape {plane.shape}"
        )
    measured = plane if mask is None else plane[mask]
    if measured.size == 0:
        raise InputError("the plane has no measured pixel; expected finite, non-negative intensities")
    if not np.isfinite(measured).all():
        raise InputError(
            "the plane has NaN or infinite pixels where its mask says measured; expected finite ones"
        )
    low, high = float(measured.min()), float(measured.max())
    if not high > low:
        raise InputError(f"the plane is {low} in every measured pixel; expected intensities that vary")
    normalised = plane - low
    normalised /= high - low  # in place: allocating memory would cost the loader more than the arithmetic
    if mask is not None:
        normalised[~mask] = 0.0
    return normalised.astype(np.float32, copy=False), low, high - low


def measured_pixels(
    plane: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Return where a plane was measured: True where it is finite, not negative, and not excluded by a mask."""
    with np.errstate(invalid="ignore"):
        measured: npt.NDArray[np.bool_] = np.isfinite(plane) & (plane >= 0)
    return measured if mask is None else measured & mask


def check_brightest(values: npt.NDArray[np.float64]) -> None:
    """Check that measured values fit in the 32-bit numbers of a result; a plane of zeros passes.

    Raises:
        InputError: the largest value is above 1e30, or positive and below 1e-30.
    """
    brightest = float(values.max(initial=0.0))
    if brightest > 0 and not _SMALLEST_BRIGHTEST < brightest < _LARGEST_BRIGHTEST:
        raise InputError(
            f"the brightest pixel is {brightest:g}; expected {_SMALLEST_BRIGHTEST:g} to {_LARGEST_BRIGHTEST:g}, so"
            " that results fit in 32-bit numbers"
        )


def check_planes(
    planes: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_] | None,
    shape: tuple[int, int] = (PIXELS, PIXELS),
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Check planes and return them as float64 (k, *shape), missing pixels set to 0, and where they were measured.

    Args:
        planes: one plane of the given shape, or k of them, (k, *shape); may be a numpy masked array.
        mask: True where measured, of the shape of the planes or of one plane; None if everything was.
        shape: numbers of rows and columns of a plane.

    Raises:
        InputError: the planes or the mask have another shape or type.
    """
    hidden = np.ma.getmaskarray(planes) if isinstance(planes, np.ma.MaskedArray) else None
    planes = np.asarray(planes)
    if planes.ndim not in (2, 3) or planes.shape[-2:] != shape or planes.size == 0:
        raise InputError(
            f"the planes have shape {planes.shape}; expected {shape} or (n, {shape[0]}, {shape[1]})"
        )
    if planes.dtype.kind not in "fiub":
        raise InputError(f"the planes have type {planes.dtype}; expected real numbers")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape not in (planes.shape, planes.shape[-2:]):
            raise InputError(
                f"the mask has shape {mask.shape} and type {mask.dtype}; expected bool (True = measured) of shape"
                f" {planes.shape}"
            )
        mask = np.broadcast_to(mask, planes.shape)
    if hidden is not None:  # in numpy's masked arrays True means that a value must *not* be used
        mask = ~hidden if mask is None else mask & ~hidden
    stack = planes.astype(np.float64).reshape(-1, *shape)
    measured = measured_pixels(stack, None if mask is None else mask.reshape(stack.shape))
    return np.where(measured, stack, 0.0), measured


def network_input(
    scattering: npt.NDArray[np.floating[Any]], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Make the two input channels of a generator, float32, shape (2, n, m).

    Channel 0 is the normalised, spread scattering in [-1, 1], with missing pixels at -1 (zero intensity, the
    convention of the paper). Channel 1 is 1 where measured and 0 where missing. A generator with one input channel,
    like that of the paper, uses channel 0 alone.

    Args:
        scattering: intensities in any unit, shape (n, m).
        mask: True where measured, shape (n, m).

    Raises:
        InputError: as `normalise`.
    """
    normalised, _, _ = normalise(scattering, mask)
    shown = np.empty((2, *mask.shape), np.float32)
    shown[1] = mask
    spread_into(shown[0], normalised)
    return shown


def scale_by_power_of_two(stack: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return planes (n, 256, 256), each scaled by a power of two so that its brightest pixel is between 1/2 and 1.

    A power of two changes no digit, and keeps the squares of very small or very large units from becoming zero or
    infinite.
    """
    _, exponents = np.frexp(stack.max(axis=(1, 2), keepdims=True))
    return np.asarray(np.ldexp(stack, -exponents))
