"""Where the pixels of a plane lie in reciprocal space and on which lattice, and what of it I_SRO repeats on.

A plane need not run along the axes of the cell: any two reciprocal-lattice vectors span one on which I_SRO repeats.
The lattice is then described by another basis, of which two reciprocal vectors lie in the plane, as short as can
be, and the third steps from one layer to the next; `LatticePlane` takes that basis as its cell.
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
"""Planes are looked for whose normal is a lattice vector of indices up to this."""

LAYER_TOLERANCE = 0.01
"""How much the index of the layer may change across a whole plane [layers]: harmonic 5 then drifts by 0.3 radian."""


HIGHEST_HARMONIC = 10
"""The most harmonics of either axis of a plane that are fitted: more are more than noisy planes settle."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The lattice of a crystal, and where the pixels of one of its planes of Q lie.

    Attributes:
        lattice: a `Cell`, in its own Cartesian setting, or a direct lattice [Angstrom], shape (3, 3), rows a, b, c in
            any Cartesian frame.
        origin: Q of pixel (n//2, m//2) [1/Angstrom], 2 pi included, in the same frame, shape (3,).
        step_u: from one row to the next, likewise.
        step_v: from one column to the next, likewise.
        shape: numbers of rows and columns (n, m).

    Raises:
        InputError: the lattice is not three independent vectors, or the plane is none.
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
                f"lattice of shape {direct.shape}: expected a Cell, or rows a, b, c of three finite numbers [Angstrom]"
            )
        # As Cell does, which a basis of these vectors has to become.
        if abs(np.linalg.det(direct)) <= 1e-4 * np.prod(np.linalg.norm(direct, axis=1)):
            raise InputError(
                f"lattice {direct.tolist()}: expected three independent vectors a, b, c [Angstrom]"
            )
        if len(self.shape) != 2 or min(self.shape) < 2:
            raise InputError(f"plane of shape {self.shape}: expected two or more rows and columns")
        direct.flags.writeable = False
        if not isinstance(self.lattice, Cell):
            object.__setattr__(self, "lattice", direct)
        for name in ("origin", "step_u", "step_v"):
            object.__setattr__(self, name, getattr(self.plane, name))

    @cached_property
    def plane(self) -> Plane:
        """The pixels, in the frame of the lattice."""
        return Plane(self.origin, self.step_u, self.step_v, self.shape)

    @property
    def direct(self) -> Array:
        """Rows a, b, c [Angstrom], shape (3, 3), in the frame of the plane."""
        return self.lattice.direct if isinstance(self.lattice, Cell) else self.lattice

    def square(self, q_max_inv_angstrom: float) -> Plane:
        """The square Cartesian plane of 256 x 256 pixels about the origin, its rows along the plane's own."""
        return square_plane(self.origin, self.step_u, self.step_v, q_max_inv_angstrom)

    def on(self, plane: Plane) -> "Geometry":
        """The same lattice with other pixels, in the same frame."""
        return Geometry(self.lattice, plane.origin, plane.step_u, plane.step_v, plane.shape)

    def basis(self) -> Integers:
        """Three reciprocal-lattice vectors h, k, l, rows of a (3, 3) matrix of determinant 1 or -1.

        The first two are a basis of all that lie in the plane's direction: two axes of the cell where these span it, in
        increasing order, else the shortest. The third leads to the next layer.

        Raises:
            InputError: no two reciprocal-lattice vectors span the plane.
        """
        normal = self._normal()
        for axes in ((0, 1), (0, 2), (1, 2)):
            third = 3 - sum(axes)
            if normal[third] and not normal[list(axes)].any():
                return np.eye(3, dtype=np.int64)[[*axes, third]]
        return _with_lengths(normal, self._reciprocal)

    def lattice_plane(self) -> LatticePlane:
        """The plane on its lattice, as lattice mode takes it, in the Cartesian setting of another cell.

        That cell's reciprocal axes are those of `basis`; its third index counts layers. A plane that leaves its layer
        by less than LAYER_TOLERANCE is laid into it.

        Raises:
            InputError: no two reciprocal-lattice vectors span the plane, or the cell would be too oblique.
        """
        basis = self.basis()
        direct = np.linalg.inv(basis).T @ self.direct
        cell = cell_of_vectors(direct)
        across = direct[2] / np.linalg.norm(direct[2])
        step_u, step_v = (step - (step @ across) * across for step in (self.step_u, self.step_v))
        # Indices on the basis are the same in every frame, and in a mirrored one.
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
        """u, v, w of the shortest lattice vector that is perpendicular to the plane, without a common factor."""
        change = (
            np.array([self.step_u * self.shape[0], self.step_v * self.shape[1]]) @ self.direct.T / (2 * np.pi)
        )
        candidates = _directions()
        # How many layers h u + k v + l w the plane crosses, were each of them its normal.
        crossed = np.abs(candidates @ change.T).sum(axis=1)
        found = candidates[crossed <= LAYER_TOLERANCE]
        if not len(found):
            nearest = candidates[np.argmin(crossed)]
            raise InputError(
                "plane: found no two reciprocal-lattice vectors that span it; nearest to it is the plane"
                f" perpendicular to the lattice vector {nearest.tolist()}, of whose layers it crosses"
                f" {crossed.min():.2g}, expected {LAYER_TOLERANCE:g} or fewer"
            )
        return np.asarray(found[0])


def lattice_plane_of(grid: PlaneGrid, plane: Plane) -> LatticePlane:
    """A plane in the Cartesian setting of a grid's cell, such as the networks' square, on the lattice of that cell.

    Raises:
        InputError: no two reciprocal-lattice vectors span the plane.
    """
    if isinstance(grid.name, PlaneName):
        return LatticePlane(grid.cell, plane, grid.name.axes)
    return Geometry(grid.cell, plane.origin, plane.step_u, plane.step_v, plane.shape).lattice_plane()


@cache
def _directions() -> Integers:
    """All u, v, w without a common factor, one of each pair +-, the smallest first; shape (k, 3)."""
    numbers = range(-LARGEST_INDEX, LARGEST_INDEX + 1)
    kept = [
        each
        for each in product(numbers, repeat=3)
        if gcd(*each) == 1 and next(value for value in each if value) > 0
    ]
    return np.array(sorted(kept, key=lambda each: (sum(value * value for value in each), each)), np.int64)


def _with_lengths(normal: Integers, reciprocal: Array) -> Integers:
    """A basis of the integers with h u + k v + l w = 0, the shortest vectors, and one with h u + k v + l w = 1."""
    u, v, w = map(int, normal)
    divisor = gcd(u, v)
    assert divisor  # u = v = 0 is a plane along two axes of the cell
    x, y = _bezout(u, v)
    first = np.array([v // divisor, -u // divisor, 0])
    second = np.array([x * w, y * w, -divisor])
    s, t = _bezout(divisor, w)
    third = np.array([x * s, y * s, t])
    metric = reciprocal @ reciprocal.T
    first, second = _reduced(first, second, metric)
    # The least oblique of the vectors that lead to the next layer.
    shifts = np.linalg.solve(
        np.array([[a @ metric @ b for b in (first, second)] for a in (first, second)]),
        np.array([a @ metric @ third for a in (first, second)]),
    )
    third = third - round(float(shifts[0])) * first - round(float(shifts[1])) * second
    return np.array([first, second, third], dtype=np.int64)


def _bezout(a: int, b: int) -> tuple[int, int]:
    """x, y with a x + b y = gcd(a, b)."""
    x, next_x, y, next_y = 1, 0, 0, 1
    while b:
        quotient = a // b
        a, b = b, a - quotient * b
        x, next_x = next_x, x - quotient * next_x
        y, next_y = next_y, y - quotient * next_y
    return (x, y) if a > 0 else (-x, -y)


def _reduced(first: Integers, second: Integers, metric: Array) -> tuple[Integers, Integers]:
    """The shortest basis of the same plane lattice (Gauss), its first positive index first."""

    def product_of(one: Integers, other: Integers) -> float:
        return float(one @ metric @ other)

    while True:
        if product_of(second, second) < product_of(first, first) * (1 - 1e-9):
            first, second = second, first
        # Half a step is none: of two equally short vectors the one at hand stays.
        turns = product_of(first, second) / product_of(first, first)
        steps = round(turns) if abs(turns) > 0.5 + 1e-9 else 0
        if steps == 0:
            return _upright(first), _upright(second)
        second = second - steps * first


def _upright(vector: Integers) -> Integers:
    return vector if next(value for value in vector if value) > 0 else -vector
