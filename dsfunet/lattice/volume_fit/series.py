"""Short-range order of a crystal as a cosine series over lattice vectors, on the grid of a volume."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Integers, Mask
from dsfunet.lattice.joint_fit.harmonics import list_lattice_vectors
from dsfunet.lattice.volume_fit.voxels import Axes, Float32, Rows
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, centring_translations, denominator_of

SHORTEST_PERIOD = 2.0
"""Shortest period of a harmonic, in voxels: shorter ones are the same as longer ones on a grid."""


Complex64 = npt.NDArray[np.complex64]


@dataclass(frozen=True, eq=False)
class LatticeVectors:
    """Half of the lattice vectors up to a length, one of each pair r and -r, without 0, in order of length.

    Attributes:
        numerators: components in units of 1 / denominator, shape (k, 3).
        denominator: common denominator of all components: 1, 2 or 3.
        lengths: shape (k,) [Angstrom].
    """

    numerators: Integers
    denominator: int
    lengths: Array

    @property
    def count(self) -> int:
        """Number of vectors, k."""
        return len(self.numerators)

    @property
    def vectors(self) -> Array:
        """Components in the conventional cell, shape (k, 3)."""
        return self.numerators / self.denominator

    def select(self, keep: Mask) -> "LatticeVectors":
        """Return the vectors that a mask of shape (k,) keeps."""
        return LatticeVectors(self.numerators[keep], self.denominator, self.lengths[keep])


def list_half_vectors(cell: Cell, centring: Centring, radius: float) -> LatticeVectors:
    """List the lattice vectors up to a length, one of each pair r and -r: the last component that is not 0 is positive.

    Args:
        cell: the conventional cell.
        centring: P, A, B, C, I, F, R (obverse, hexagonal axes) or H.
        radius: largest length [Angstrom].

    Raises:
        InputError: the centring has another letter, or the radius asks for millions of vectors.
    """
    denominator = denominator_of(centring)
    found = np.rint(list_lattice_vectors(cell, centring, radius) * denominator).astype(np.int64)
    found = keep_half(found)
    lengths = np.linalg.norm(found / denominator @ cell.direct, axis=1)
    order = np.lexsort((found[:, 0], found[:, 1], found[:, 2], np.round(lengths, 5)))
    return LatticeVectors(found[order], denominator, lengths[order])


def keep_half(numerators: Integers) -> Integers:
    """Return one of each pair r and -r: the vector whose last component that is not 0 is positive; not 0 0 0.

    Args:
        numerators: vectors as whole numbers, shape (k, 3).
    """
    h, k, l = numerators.T  # noqa: E741
    kept: Integers = numerators[(l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))]
    return kept


def radius_of_count(cell: Cell, centring: Centring, count: int) -> float:
    """Return the radius [Angstrom] of a sphere that holds about `count` pairs of lattice vectors."""
    volume = float(np.linalg.det(cell.direct)) / len(centring_translations(centring))
    return float((2 * count * volume * 3 / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class CosineSeries:
    """I_SRO = c + 2 sum over half of the lattice vectors r of alpha_r cos 2 pi (r . q), on a grid.

    The sum is separable: exp(2 pi i r . q) is a product of one factor an axis, so that it costs three products with
    small matrices, on any grid, whether it repeats after whole voxels or not.

    Attributes:
        vectors: the lattice vectors.
        axes: coordinates of the voxels along h, k, l [r.l.u.].
    """

    vectors: LatticeVectors
    axes: Axes

    @property
    def count(self) -> int:
        """Number of correlations."""
        return self.vectors.count

    def take(self, rows: Rows) -> "CosineSeries":
        """Return the same series at some of the voxels along each axis."""
        h, k, l = (axis[chosen] for axis, chosen in zip(self.axes, rows, strict=True))  # noqa: E741
        return CosineSeries(self.vectors, (h, k, l))

    @cached_property
    def _most(self) -> tuple[int, int, int]:
        most = np.abs(self.vectors.numerators).max(axis=0, initial=0)
        return int(most[0]), int(most[1]), int(most[2])

    @cached_property
    def _phases(self) -> tuple[Complex64, Complex64, Float32]:
        """exp(2 pi i r h) along h and k, and cos, -sin in turn along l."""
        factors = []
        for axis in (0, 1):
            steps = np.arange(-self._most[axis], self._most[axis] + 1) / self.vectors.denominator
            factors.append(np.exp(2j * np.pi * np.outer(self.axes[axis], steps)).astype(np.complex64))
        angles = 2 * np.pi * np.outer(np.arange(self._most[2] + 1) / self.vectors.denominator, self.axes[2])
        last = np.stack([np.cos(angles), -np.sin(angles)], axis=1).reshape(-1, len(self.axes[2]))
        return factors[0], factors[1], np.ascontiguousarray(last.astype(np.float32))

    @cached_property
    def _places(self) -> tuple[Integers, Integers, Integers]:
        first, second, third = self.vectors.numerators.T
        return first + self._most[0], second + self._most[1], third

    def evaluate(self, alphas: Array, block: slice, constant: float = 1.0) -> Float32:
        """Return the sum at the voxels of a block of layers, shape (layers, m, o).

        Args:
            alphas: correlations, shape (k,).
            block: layers of constant h.
            constant: c, alpha of the vector 0 0 0.
        """
        along_h, along_k, along_l = self._phases
        size = tuple(2 * most + 1 for most in self._most[:2])
        table = np.zeros((*size, self._most[2] + 1), np.complex64)
        table[self._places] = 2 * alphas
        table[self._most[0], self._most[1], 0] = constant
        layers = (along_h[block] @ table.reshape(size[0], -1)).reshape(-1, size[1], table.shape[2])
        spread = np.ascontiguousarray(np.matmul(along_k, layers))
        flat = spread.view(np.float32).reshape(-1, 2 * table.shape[2])
        values: Float32 = (flat @ along_l).reshape(len(spread), spread.shape[1], -1)
        return values

    def project(self, values: Float32, block: slice, total: Array) -> None:
        """Add the sums over a block's voxels of 2 cos 2 pi (r . q) times a field to `total`.

        Args:
            values: the field, shape (layers, m, o).
            block: the layers.
            total: sums so far, shape (k,); changed in place.
        """
        along_h, along_k, along_l = self._phases
        count = len(values)
        narrow = np.ascontiguousarray(values.reshape(-1, values.shape[2]) @ along_l.T).view(np.complex64)
        layers = np.matmul(along_k.conj().T, narrow.reshape(count, values.shape[1], -1))
        table = along_h[block].conj().T @ layers.reshape(count, -1)
        table = table.reshape(2 * self._most[0] + 1, 2 * self._most[1] + 1, self._most[2] + 1)
        total += 2 * table[self._places].real


def keep_resolved(vectors: LatticeVectors, axes: Axes) -> LatticeVectors:
    """Return the vectors whose harmonics have a period of at least two voxels along each axis; others are aliases.

    With those of exactly two voxels, the series has any values on a grid that repeats after whole voxels.
    """
    steps = np.array([np.abs(np.diff(axis)).min() if len(axis) > 1 else 0.0 for axis in axes])
    return vectors.select((np.abs(vectors.vectors) * steps <= (1 + 1e-6) / SHORTEST_PERIOD).all(axis=1))
