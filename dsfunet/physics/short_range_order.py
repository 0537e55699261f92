"""The short-range-order intensity I_SRO from Warren-Cowley parameters, equations (3) and (6)."""

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics.lattice import Cell, Plane

MAX_INDEX = 5
"""Lattice vectors have |i|, |j|, |k| <= 5, as in equation (6) of Fuller & Rudden (2024)."""

ALPHA_SHAPE = (2 * MAX_INDEX + 1,) * 3
"""Shape of a full set of alphas, indexed [i + 5, j + 5, k + 5]; the central entry is alpha_0 = 1."""


def check_alphas(alphas: Array) -> None:
    """Check that an array is a full set of alphas: shape (11, 11, 11), alpha_0 = 1, alpha_v = alpha_-v.

    Raises:
        InputError: one of these conditions is violated, or an entry is not finite.
    """
    if alphas.shape != ALPHA_SHAPE:
        raise InputError(f"alphas: found shape {alphas.shape}; expected {ALPHA_SHAPE}")
    if not np.isfinite(alphas).all():
        raise InputError("alphas: found NaN or infinity; expected finite numbers")
    origin = float(alphas[MAX_INDEX, MAX_INDEX, MAX_INDEX])
    if abs(origin - 1) > 1e-6:
        raise InputError(f"alphas: alpha_0 is {origin}; expected 1")
    if not np.allclose(alphas, alphas[::-1, ::-1, ::-1], atol=1e-6):
        raise InputError("alphas: found alpha_v different from alpha_-v; expected equal values")


def short_range_order_intensity(alphas: Array, cell: Cell, plane: Plane, clip: bool = True) -> Array:
    """Return I_SRO(Q) = sum_v alpha_v cos(Q . v), equation (3), on a plane.

    Lattice vectors with equal phase steps across the plane are summed first (in a plane spanned by two reciprocal axes,
    all vectors along the layer axis). What remains is one product of thin matrices, with 61 columns for such a plane
    and 666 for a general one.

    Args:
        alphas: full set of Warren-Cowley parameters, shape (11, 11, 11), indexed [i + 5, j + 5, k + 5].
        cell: of the average structure.
        plane: of shape (n, m), in the Cartesian setting of the cell.
        clip: whether negative values, which a truncated series can have, are set to 0.

    Returns:
        I_SRO, dimensionless, mean 1 over a Brillouin zone before clipping, shape (n, m).

    Raises:
        InputError: `alphas` is not a full inversion-symmetric set.
    """
    check_alphas(alphas)
    index = np.indices(ALPHA_SHAPE).reshape(3, -1).T - MAX_INDEX
    weight = alphas.reshape(-1)
    # Inversion: keep one vector of each pair with twice its weight; the origin is last in C order.
    half = len(index) // 2 + 1
    index, weight = index[:half], np.where(np.arange(half) < half - 1, 2.0, 1.0) * weight[:half]
    index, weight = index[weight != 0], weight[weight != 0]

    vectors = index @ cell.direct
    in_plane = np.stack([vectors @ plane.step_u, vectors @ plane.step_v], axis=1)
    rounded = np.round(in_plane, 10) + 0.0  # + 0.0 turns -0 into 0, so that equal phases compare equal
    # v and -v contribute equally, so a phase pair and its negative share a column: make the leading phase positive.
    negative = (rounded[:, 0] < 0) | ((rounded[:, 0] == 0) & (rounded[:, 1] < 0))
    sign = np.where(negative, -1.0, 1.0)
    phases, column = np.unique(rounded * sign[:, None] + 0.0, axis=0, return_inverse=True)
    origin_phase = sign * (vectors @ plane.origin)
    count = len(phases)
    column = column.reshape(-1)
    cosine = np.bincount(column, weight * np.cos(origin_phase), count)
    sine = np.bincount(column, weight * np.sin(origin_phase), count)

    # Re[(cosine + i sine) exp(i u) exp(i v)] as two real products.
    rows = np.exp(1j * np.outer(plane.index_u, phases[:, 0])) * (cosine + 1j * sine)
    columns = np.exp(1j * np.outer(plane.index_v, phases[:, 1]))
    intensity: Array = np.hstack([rows.real, -rows.imag]) @ np.hstack([columns.real, columns.imag]).T
    return np.maximum(intensity, 0.0) if clip else intensity
