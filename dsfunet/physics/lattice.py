"""Unit cells, reciprocal vectors, and the affine plane of Q on which everything is computed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError


@dataclass(frozen=True)
class Cell:
    """A unit cell: edges [Angstrom] and angles [degrees].

    Cartesian setting: a along x, b in the xy plane, c completing a right-handed set.

    Raises:
        InputError: an edge is not positive, or the three angles do not close a cell.
    """

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0

    def __post_init__(self) -> None:
        values = (self.a, self.b, self.c, self.alpha, self.beta, self.gamma)
        if not all(np.isfinite(v) and v > 0 for v in values):
            raise InputError(f"cell {values}: expected six finite positive numbers (Angstrom, degrees)")
        if max(values[3:]) >= 180 or self._volume_factor_squared() <= 1e-8:
            raise InputError(f"cell angles {values[3:]} degrees do not close a cell")

    @property
    def parameters(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, alpha, beta, gamma) [Angstrom, degrees]."""
        return (self.a, self.b, self.c, self.alpha, self.beta, self.gamma)

    def _volume_factor_squared(self) -> float:
        ca, cb, cg = np.cos(np.radians([self.alpha, self.beta, self.gamma]))
        return float(1 - ca**2 - cb**2 - cg**2 + 2 * ca * cb * cg)

    @cached_property
    def direct(self) -> Array:
        """Rows a, b, c [Angstrom], Cartesian, shape (3, 3)."""
        ca, cb, cg = np.cos(np.radians([self.alpha, self.beta, self.gamma]))
        sg = np.sin(np.radians(self.gamma))
        volume_factor = np.sqrt(self._volume_factor_squared())
        basis = np.array(
            [
                [self.a, 0.0, 0.0],
                [self.b * cg, self.b * sg, 0.0],
                [self.c * cb, self.c * (ca - cb * cg) / sg, self.c * volume_factor / sg],
            ]
        )
        basis[np.abs(basis) < 1e-12 * np.abs(basis).max()] = 0.0  # cos(90 degrees) is not quite 0
        basis.flags.writeable = False
        return basis

    @cached_property
    def reciprocal(self) -> Array:
        """Rows a*, b*, c* *including* 2 pi [1/Angstrom]: direct @ reciprocal.T = 2 pi identity."""
        basis = np.asarray(2 * np.pi * np.linalg.inv(self.direct).T)
        basis.flags.writeable = False
        return basis


@dataclass(frozen=True, eq=False)  # an array has no single truth value
class Plane:
    """A plane of Q, affine in its pixel indices: Q(i, j) = origin + (i - n/2) step_u + (j - m/2) step_v.

    `origin`, `step_u`, `step_v` are Cartesian [1/Angstrom], shape (3,); `shape` is (n, m), and pixel
    (n//2, m//2) lies exactly on the origin (SPEC section 2).
    """

    origin: Array
    step_u: Array
    step_v: Array
    shape: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        for name in ("origin", "step_u", "step_v"):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise InputError(
                    f"plane {name}: expected three finite numbers [1/Angstrom], got {value.tolist()}"
                )
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        area = np.linalg.norm(np.cross(self.step_u, self.step_v))
        if area <= 1e-9 * np.linalg.norm(self.step_u) * np.linalg.norm(self.step_v):
            raise InputError("plane steps are parallel or zero: expected two independent vectors")

    @cached_property
    def index_u(self) -> Array:
        """i - n/2 for every row, shape (n,)."""
        return np.arange(self.shape[0], dtype=np.float64) - self.shape[0] // 2

    @cached_property
    def index_v(self) -> Array:
        """j - m/2 for every column, shape (m,)."""
        return np.arange(self.shape[1], dtype=np.float64) - self.shape[1] // 2

    def q_points(self) -> Array:
        """Q of every pixel [1/Angstrom], shape (n, m, 3)."""
        along_u = self.index_u[:, None, None] * self.step_u
        along_v = self.index_v[None, :, None] * self.step_v
        return self.origin + along_u + along_v

    def q_squared(self) -> Array:
        """|Q|^2 of every pixel [1/Angstrom^2], shape (n, m), without building the vectors."""
        i, j = self.index_u, self.index_v
        o, u, v = self.origin, self.step_u, self.step_v
        rows = o @ o + 2 * (o @ u) * i + (u @ u) * i**2
        columns = 2 * (o @ v) * j + (v @ v) * j**2
        squared = rows[:, None] + columns[None, :] + (2 * (u @ v)) * np.outer(i, j)
        return np.maximum(squared, 0.0)

    def phase_factors(self, positions_angstrom: Array) -> tuple[npt.NDArray[np.complex128], ...]:
        """exp(i Q . r) of points r as three factors that multiply: Q being affine, the phase separates.

        `positions_angstrom` has shape (k, 3). Returns (origin (k,), rows (n, k), columns (m, k)) with
        exp(i Q(i, j) . r_k) = origin[k] rows[i, k] columns[j, k].
        """
        origin = np.exp(1j * (positions_angstrom @ self.origin))
        rows = np.exp(1j * np.outer(self.index_u, positions_angstrom @ self.step_u))
        columns = np.exp(1j * np.outer(self.index_v, positions_angstrom @ self.step_v))
        return origin, rows, columns


def plane_through(
    cell: Cell,
    axes: tuple[int, int],
    offset: float,
    q_max_inv_angstrom: float,
    pixels: int = 256,
) -> Plane:
    """The square Cartesian plane spanned by two reciprocal axes of a cell, at an offset along the third.

    `axes` are two different axis numbers (0, 1, 2 for a*, b*, c*); rows run along the first of them, columns
    perpendicular to it inside the plane. `offset` is the third index (1.0 for hk1) [r.l.u.], and the plane's centre
    is offset times the third reciprocal vector, the point 0 0 l of hkl. Pixels are 2 q_max / pixels apart
    [1/Angstrom].

    Raises:
        InputError: the axes are not two different numbers out of 0, 1, 2, or q_max or pixels is not positive.
    """
    if len({*axes}) != 2 or not {*axes} <= {0, 1, 2}:
        raise InputError(f"axes {axes}: expected two different numbers out of 0, 1, 2")
    if not 0 < q_max_inv_angstrom < np.inf:
        raise InputError(f"q_max {q_max_inv_angstrom} 1/Angstrom: expected a positive number")
    if pixels < 1:
        raise InputError(f"{pixels} pixels: expected at least 1")
    third = 3 - axes[0] - axes[1]
    first, second = cell.reciprocal[list(axes)]
    return square_plane(offset * cell.reciprocal[third], first, second, q_max_inv_angstrom, pixels)


def square_plane(
    centre: Array, first: Array, second: Array, q_max_inv_angstrom: float, pixels: int = 256
) -> Plane:
    """The square Cartesian plane about a point that two vectors span, everything Cartesian [1/Angstrom].

    Rows run along `first`, columns perpendicular to it, towards `second`; pixels are 2 q_max / pixels apart.

    Raises:
        InputError: the vectors are zero or parallel, or not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        along = first / np.linalg.norm(first)
        across = second - (second @ along) * along
        across = across / np.linalg.norm(across)
    step = 2 * q_max_inv_angstrom / pixels
    return Plane(centre, step * along, step * across, (pixels, pixels))
