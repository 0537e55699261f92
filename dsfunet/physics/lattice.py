"""Unit cells, reciprocal lattices, and the affine planes of Q on which intensities are computed."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError

Centring = Literal["P", "A", "B", "C", "I", "F", "R", "H"]
"""Lattice types; R is the obverse setting on hexagonal axes, H the triple hexagonal cell with points 2/3 1/3 0 and 1/3
2/3 0 (International Tables A). Some programs call R on hexagonal axes H: that is R here."""

CENTRINGS: tuple[Centring, ...] = get_args(Centring)
"""All lattice types."""


def check_centring(centring: str) -> None:
    """Check the name of a lattice type.

    Raises:
        InputError: it is not one of `CENTRINGS`.
    """
    if centring not in CENTRINGS:
        raise InputError(f"centring is {centring!r}; expected one of {', '.join(CENTRINGS)}")


@dataclass(frozen=True)
class Cell:
    """A unit cell. Cartesian setting: a along x, b in the xy plane, c completing a right-handed set.

    Attributes:
        a: edge [Angstrom].
        b: edge [Angstrom].
        c: edge [Angstrom].
        alpha: angle between b and c [degrees].
        beta: angle between a and c [degrees].
        gamma: angle between a and b [degrees].
        centring: lattice type of the sites in this cell; P also stands for one that is not known.

    Raises:
        InputError: an edge or angle is not a finite positive number, the angles do not form a cell, or the centring is
            not one of CENTRINGS.

    Examples:
        >>> from dsfunet import Cell
        >>> cell = Cell(14.12, 14.12, 6.934, 90, 90, 120)
        >>> cell.parameters
        (14.12, 14.12, 6.934, 90, 90, 120)
    """

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0
    centring: Centring = field(default="P", kw_only=True)

    def __post_init__(self) -> None:
        check_centring(self.centring)
        values = (self.a, self.b, self.c, self.alpha, self.beta, self.gamma)
        if not all(np.isfinite(v) and v > 0 for v in values):
            raise InputError(f"cell {values}: expected six finite positive numbers [Angstrom, degrees]")
        if max(values[3:]) >= 180 or self._volume_factor_squared() <= 1e-8:
            raise InputError(f"cell {values}: its angles do not form a cell; expected a positive volume")

    @property
    def parameters(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, alpha, beta, gamma) [Angstrom, degrees]."""
        return (self.a, self.b, self.c, self.alpha, self.beta, self.gamma)

    def _volume_factor_squared(self) -> float:
        ca, cb, cg = np.cos(np.radians([self.alpha, self.beta, self.gamma]))
        return float(1 - ca**2 - cb**2 - cg**2 + 2 * ca * cb * cg)

    @cached_property
    def direct(self) -> Array:
        """Lattice vectors a, b, c as rows [Angstrom], Cartesian, shape (3, 3)."""
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
        """Reciprocal vectors a*, b*, c* as rows, including 2 pi [1/Angstrom]: direct @ reciprocal.T = 2 pi identity."""
        basis = np.asarray(2 * np.pi * np.linalg.inv(self.direct).T)
        basis.flags.writeable = False
        return basis


def parameters_of_metric(metric: Array) -> tuple[float, float, float, float, float, float]:
    """Return (a, b, c, alpha, beta, gamma) [Angstrom, degrees] of a metric tensor [Angstrom^2], shape (3, 3)."""
    lengths = np.sqrt(np.diag(metric))
    cosines = metric / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))
    a, b, c, alpha, beta, gamma = map(float, (*lengths, *angles))
    return a, b, c, alpha, beta, gamma


def cell_of_vectors(direct: Array) -> Cell:
    """Return the cell of lattice vectors a, b, c, rows of a matrix [Angstrom], shape (3, 3), in any Cartesian frame.

    Raises:
        InputError: the vectors do not form a cell.
    """
    lengths = np.linalg.norm(direct, axis=1)
    cosines = [direct[i] @ direct[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return Cell(*map(float, lengths), *map(float, angles))


@dataclass(frozen=True, eq=False)  # an array has no single truth value
class Plane:
    """A plane of Q, affine in its pixel indices: Q(i, j) = origin + (i - n//2) step_u + (j - m//2) step_v.

    Attributes:
        origin: Q of pixel (n//2, m//2), Cartesian [1/Angstrom], shape (3,).
        step_u: from one row to the next [1/Angstrom], shape (3,).
        step_v: from one column to the next [1/Angstrom], shape (3,).
        shape: numbers of rows and columns (n, m).

    Raises:
        InputError: a vector is not three finite numbers, or the steps are parallel or zero.
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
                    f"plane {name}: found {value.tolist()}; expected three finite numbers [1/Angstrom]"
                )
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        area = np.linalg.norm(np.cross(self.step_u, self.step_v))
        if area <= 1e-9 * np.linalg.norm(self.step_u) * np.linalg.norm(self.step_v):
            raise InputError("plane: its steps are parallel or zero; expected two independent vectors")

    @cached_property
    def index_u(self) -> Array:
        """i - n//2 of every row, shape (n,)."""
        return np.arange(self.shape[0], dtype=np.float64) - self.shape[0] // 2

    @cached_property
    def index_v(self) -> Array:
        """j - m//2 of every column, shape (m,)."""
        return np.arange(self.shape[1], dtype=np.float64) - self.shape[1] // 2

    def q_points(self) -> Array:
        """Return Q of every pixel [1/Angstrom], shape (n, m, 3)."""
        along_u = self.index_u[:, None, None] * self.step_u
        along_v = self.index_v[None, :, None] * self.step_v
        return self.origin + along_u + along_v

    def q_squared(self) -> Array:
        """Return |Q|^2 of every pixel [1/Angstrom^2], shape (n, m), without building the vectors."""
        i, j = self.index_u, self.index_v
        o, u, v = self.origin, self.step_u, self.step_v
        rows = o @ o + 2 * (o @ u) * i + (u @ u) * i**2
        columns = 2 * (o @ v) * j + (v @ v) * j**2
        squared = rows[:, None] + columns[None, :] + (2 * (u @ v)) * np.outer(i, j)
        return np.maximum(squared, 0.0)

    def phase_factors(self, positions_angstrom: Array) -> tuple[npt.NDArray[np.complex128], ...]:
        """Return exp(i Q . r) as three factors; the phase separates because Q is affine in the pixel indices.

        Args:
            positions_angstrom: points r [Angstrom], shape (k, 3).

        Returns:
            origin (k,), rows (n, k) and columns (m, k), with exp(i Q(i, j) . r_k) = origin[k] rows[i, k] columns[j, k].
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
    """Return the square plane spanned by two reciprocal axes of a cell, at an offset along the third axis.

    Args:
        cell: whose Cartesian setting the plane has.
        axes: two different axis numbers (0, 1, 2 for a*, b*, c*); rows are stepped along the first, columns
            perpendicular to it within the plane.
        offset: the third index [r.l.u.], 1.0 for hk1. The centre of the plane is offset times the third reciprocal
            vector, the point (0, 0, l).
        q_max_inv_angstrom: half of the width of the plane; pixels are 2 q_max / pixels apart [1/Angstrom].
        pixels: number of rows and of columns.

    Raises:
        InputError: the axes are not two different numbers from 0, 1, 2, or q_max or pixels is not positive.
    """
    if len({*axes}) != 2 or not {*axes} <= {0, 1, 2}:
        raise InputError(f"axes {axes}: expected two different numbers from 0, 1, 2")
    if not 0 < q_max_inv_angstrom < np.inf:
        raise InputError(f"q_max is {q_max_inv_angstrom}; expected a positive number [1/Angstrom]")
    if pixels < 1:
        raise InputError(f"pixels is {pixels}; expected 1 or more")
    third = 3 - axes[0] - axes[1]
    first, second = cell.reciprocal[list(axes)]
    return square_plane(offset * cell.reciprocal[third], first, second, q_max_inv_angstrom, pixels)


def square_plane(
    centre: Array, first: Array, second: Array, q_max_inv_angstrom: float, pixels: int = 256
) -> Plane:
    """Return the square plane through a point that two vectors span, all Cartesian [1/Angstrom].

    Args:
        centre: Q of the central pixel, shape (3,).
        first: direction from one row to the next, shape (3,).
        second: columns are stepped perpendicular to `first`, towards this vector, shape (3,).
        q_max_inv_angstrom: half of the width of the plane; pixels are 2 q_max / pixels apart [1/Angstrom].
        pixels: number of rows and of columns.

    Raises:
        InputError: the vectors are zero, parallel or not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        along = first / np.linalg.norm(first)
        across = second - (second @ along) * along
        across = across / np.linalg.norm(across)
    step = 2 * q_max_inv_angstrom / pixels
    return Plane(centre, step * along, step * across, (pixels, pixels))
