"""The position of a plane in reciprocal space, its lattice, and the lattice vectors on which I_SRO repeats in it.

A plane need not run along the axes of the cell: I_SRO repeats on any plane spanned by two reciprocal-lattice vectors.
Such a plane is described by another basis of the lattice: two reciprocal vectors lie in the plane and are as short as
possible, and the third leads to the next layer. `LatticePlane` takes that basis as its cell.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from math import gcd

import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.errors import InputError
from dsfunet.physics.lattice import Cell, Plane, cell_of_vectors, square_plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.short_range_order import MAX_INDEX
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName

LARGEST_INDEX = 8
"""Largest index of the lattice vectors that are tried as the normal of a plane."""

LAYER_TOLERANCE = 0.01
"""Largest change of the layer index across a plane [layers]; the phase of harmonic 5 then drifts by 0.3 radian."""

HIGHEST_HARMONIC = 10
"""Largest number of harmonics fitted along either axis of a plane; noisy planes do not determine more."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The lattice of a crystal and the position of a plane of pixels in its reciprocal space.

    Attributes:
        lattice: a `Cell`, in its own Cartesian setting; or the direct lattice vectors a, b, c as rows, shape (3, 3), in
            any Cartesian frame [Angstrom].
        origin: Q of pixel (n // 2, m // 2), including the factor 2 pi, in the same frame, shape (3,) [1/Angstrom].
        step_u: change of Q from one row to the next, shape (3,) [1/Angstrom].
        step_v: change of Q from one column to the next, shape (3,) [1/Angstrom].
        shape: numbers of rows and columns (n, m).

    Raises:
        InputError: the lattice vectors are not independent, the steps do not span a plane, or the plane has fewer than
            two rows or columns.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.geometry import Geometry
        >>> cell = Cell(5, 5, 8)
        >>> a, b, c = cell.reciprocal
        >>> hhl = Geometry(cell, origin=0 * a, step_u=0.05 * (a + b), step_v=0.05 * c, shape=(101, 101))
        >>> hhl.basis().tolist()
        [[0, 0, 1], [1, 1, 0], [0, -1, 0]]
    """

    lattice: Cell | Array
    origin: Array
    step_u: Array
    step_v: Array
    shape: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        direct = self.lattice.direct if isinstance(self.lattice, Cell) else self.lattice
        direct = np.array(direct, dtype=np.float64)
        if direct.shape != (3, 3) or not np.isfinite(direct).all():
            raise InputError(
                f"the lattice has shape {direct.shape} or is not finite; expected a Cell, or three rows a, b, c of"
                " finite numbers [Angstrom]"
            )
        # The same limit as in Cell, because a Cell is made of these vectors later.
        if abs(np.linalg.det(direct)) <= 1e-4 * np.prod(np.linalg.norm(direct, axis=1)):
            raise InputError(
                f"the lattice vectors {direct.tolist()} are not independent; expected three that span a cell [Angstrom]"
            )
        if len(self.shape) != 2 or min(self.shape) < 2:
            raise InputError(f"the plane has shape {self.shape}; expected two or more rows and columns")
        direct.flags.writeable = False
        if not isinstance(self.lattice, Cell):
            object.__setattr__(self, "lattice", direct)
        for name in ("origin", "step_u", "step_v"):
            object.__setattr__(self, name, getattr(self.plane, name))

    @cached_property
    def plane(self) -> Plane:
        """The pixels in the Cartesian frame of the lattice."""
        return Plane(self.origin, self.step_u, self.step_v, self.shape)

    @property
    def direct(self) -> Array:
        """The direct lattice vectors a, b, c as rows, in the frame of the plane, shape (3, 3) [Angstrom]."""
        return self.lattice.direct if isinstance(self.lattice, Cell) else self.lattice

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """Return the square Cartesian plane of 256 x 256 pixels with the same centre and the same direction of rows.

        Args:
            q_max_inv_angstrom: half the side of the square [1/Angstrom].
        """
        return square_plane(self.origin, self.step_u, self.step_v, q_max_inv_angstrom)

    def with_pixels(self, plane: Plane) -> "Geometry":
        """Return the same lattice with the pixels of another plane in the same frame."""
        return Geometry(self.lattice, plane.origin, plane.step_u, plane.step_v, plane.shape)

    def basis(self) -> Integers:
        """Return three reciprocal-lattice vectors, the rows h, k, l of a (3, 3) matrix of determinant 1 or -1.

        The first two are a basis of all reciprocal-lattice vectors parallel to the plane: two axes of the cell, in
        increasing order, if these span the plane, else the two shortest vectors. The third leads to the next layer.

        Raises:
            InputError: no two reciprocal-lattice vectors span the plane.
        """
        normal = self._normal()
        for axes in ((0, 1), (0, 2), (1, 2)):
            third = 3 - sum(axes)
            if normal[third] and not normal[list(axes)].any():
                return np.eye(3, dtype=np.int64)[[*axes, third]]
        return _find_basis(normal, self._reciprocal)

    def lattice_plane(self) -> LatticePlane:
        """Return the plane on its lattice for lattice mode, in the Cartesian setting of a cell made for it.

        The reciprocal axes of that cell are the vectors of `basis`; its third index counts layers. A plane that is
        tilted against its layer by less than LAYER_TOLERANCE is projected onto the layer.

        Raises:
            InputError: no two reciprocal-lattice vectors span the plane, or the cell would be too oblique.
        """
        basis = self.basis()
        direct = np.linalg.inv(basis).T @ self.direct
        cell = cell_of_vectors(direct)
        across = direct[2] / np.linalg.norm(direct[2])
        step_u, step_v = (step - (step @ across) * across for step in (self.step_u, self.step_v))
        # Indices with respect to the basis are the same in every frame, including a mirrored one.
        origin, step_u, step_v = np.array([self.origin, step_u, step_v]) @ direct.T / (2 * np.pi)
        origin, step_u, step_v = (each @ cell.reciprocal for each in (origin, step_u, step_v))
        # Correlations out to MAX_INDEX cells along a, b and c: (5, 5, 0) is harmonic 10 of [1 1 0].
        highest = MAX_INDEX * int(np.abs(basis[:2]).sum(axis=1).max())
        return LatticePlane(
            cell, Plane(origin, step_u, step_v, self.shape), (0, 1), min(highest, HIGHEST_HARMONIC)
        )

    @cached_property
    def _reciprocal(self) -> Array:
        return np.asarray(2 * np.pi * np.linalg.inv(self.direct).T)

    def _normal(self) -> Integers:
        """Indices u, v, w, without a common factor, of the shortest lattice vector perpendicular to the plane."""
        change = (
            np.array([self.step_u * self.shape[0], self.step_v * self.shape[1]]) @ self.direct.T / (2 * np.pi)
        )
        candidates = _list_directions()
        # Number of layers h u + k v + l w that the plane crosses, for each candidate as its normal.
        crossed = np.abs(candidates @ change.T).sum(axis=1)
        found = candidates[crossed <= LAYER_TOLERANCE]
        if not len(found):
            nearest = candidates[np.argmin(crossed)]
            raise InputError(
                "the plane is not spanned by two reciprocal-lattice vectors: the best normal, the lattice vector"
                f" {nearest.tolist()}, crosses {crossed.min():.2g} layers; expected {LAYER_TOLERANCE:g} or fewer"
            )
        return np.asarray(found[0])


def make_lattice_plane(grid: PlaneGrid, plane: Plane) -> LatticePlane:
    """Make the lattice plane of a plane of pixels in the Cartesian setting of the grid's cell.

    Args:
        grid: the user's grid, which gives the cell and the name of the plane.
        plane: pixels in the same plane of Q, such as the square that the networks see.

    Raises:
        InputError: no two reciprocal-lattice vectors span the plane.
    """
    if isinstance(grid.name, PlaneName):
        return LatticePlane(grid.cell, plane, grid.name.axes)
    return Geometry(grid.cell, plane.origin, plane.step_u, plane.step_v, plane.shape).lattice_plane()


@cache
def _list_directions() -> Integers:
    """List all u, v, w without a common factor, one of each pair +-, the shortest first; shape (k, 3)."""
    numbers = range(-LARGEST_INDEX, LARGEST_INDEX + 1)
    kept = [
        each
        for each in product(numbers, repeat=3)
        if gcd(*each) == 1 and next(value for value in each if value) > 0
    ]
    return np.array(sorted(kept, key=lambda each: (sum(value * value for value in each), each)), np.int64)


def _find_basis(normal: Integers, reciprocal: Array) -> Integers:
    """Find the shortest basis of all h, k, l with h u + k v + l w = 0, and one vector with h u + k v + l w = 1."""
    u, v, w = map(int, normal)
    divisor = gcd(u, v)
    assert divisor  # u = v = 0 would be a plane along two axes of the cell
    x, y = _solve_bezout(u, v)
    first = np.array([v // divisor, -u // divisor, 0])
    second = np.array([x * w, y * w, -divisor])
    s, t = _solve_bezout(divisor, w)
    third = np.array([x * s, y * s, t])
    metric = reciprocal @ reciprocal.T
    first, second = _reduce_basis(first, second, metric)
    # Of all vectors that lead to the next layer, take the least oblique.
    shifts = np.linalg.solve(
        np.array([[a @ metric @ b for b in (first, second)] for a in (first, second)]),
        np.array([a @ metric @ third for a in (first, second)]),
    )
    third = third - round(float(shifts[0])) * first - round(float(shifts[1])) * second
    return np.array([first, second, third], dtype=np.int64)


def _solve_bezout(a: int, b: int) -> tuple[int, int]:
    """Solve a x + b y = gcd(a, b) for x and y."""
    x, next_x, y, next_y = 1, 0, 0, 1
    while b:
        quotient = a // b
        a, b = b, a - quotient * b
        x, next_x = next_x, x - quotient * next_x
        y, next_y = next_y, y - quotient * next_y
    return (x, y) if a > 0 else (-x, -y)


def _reduce_basis(first: Integers, second: Integers, metric: Array) -> tuple[Integers, Integers]:
    """Reduce a basis of a plane lattice to the shortest one (Gauss), with positive first indices."""

    def product_of(one: Integers, other: Integers) -> float:
        return float(one @ metric @ other)

    while True:
        if product_of(second, second) < product_of(first, first) * (1 - 1e-9):
            first, second = second, first
        # A half step changes nothing: of two equally short vectors the present one is kept.
        turns = product_of(first, second) / product_of(first, first)
        steps = round(turns) if abs(turns) > 0.5 + 1e-9 else 0
        if steps == 0:
            return _make_first_index_positive(first), _make_first_index_positive(second)
        second = second - steps * first


def _make_first_index_positive(vector: Integers) -> Integers:
    return vector if next(value for value in vector if value) > 0 else -vector
