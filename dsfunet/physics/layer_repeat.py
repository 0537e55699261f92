"""The two-dimensional lattice on which I_SRO repeats within one layer, for primitive and centred lattices.

A layer of constant h, k or l repeats after the vectors of the reciprocal lattice that lie in it: hk0 of an F lattice
after (2, 0) and (0, 2), hk0 of an I lattice after (1, 1) and (1, -1).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.physics.centring import Centring, are_reciprocal_vectors, denominator_of
from dsfunet.physics.symmetry import plane_operations

# Reduced vectors have indices up to the denominator of the lattice; skewed cells may need a few more.
_MOST = 4


@dataclass(frozen=True, eq=False)
class LayerRepeat:
    """The repeat cell of I_SRO in a layer.

    Attributes:
        axes: the two axes of the layer, in increasing order (0, 1, 2 for h, k, l).
        basis: indices of two repeat vectors along these axes, as rows, shape (2, 2).
    """

    axes: tuple[int, int]
    basis: Integers

    @cached_property
    def _inverse(self) -> Array:
        return np.asarray(np.linalg.inv(self.basis))

    @property
    def vectors(self) -> Integers:
        """The two repeat vectors with all three indices, as rows, shape (2, 3) [r.l.u.]."""
        return _in_layer(self.basis, self.axes)

    @property
    def is_cell(self) -> bool:
        """Whether the layer repeats after one unit along either axis, as in a primitive lattice."""
        return bool((self.basis == np.eye(2)).all())

    def coordinates(self, hkl: Array) -> Array:
        """Return the coordinates of points along the repeat vectors, shape (..., 2), for indices hkl (..., 3)."""
        return np.asarray(hkl[..., list(self.axes)] @ self._inverse)

    def indices(self, coordinates: Array | Integers) -> Array:
        """Return h, k or l along the two axes, shape (..., 2), for coordinates along the repeat vectors."""
        return np.asarray(coordinates @ self.basis)

    def steps(self, steps: tuple[float, float]) -> float:
        """Return the number of pixels along the shorter repeat vector, for the steps of the pixels [r.l.u.]."""
        along = np.abs(self.basis) / np.abs(np.array(steps))
        return float(along.max(axis=1).min())


def find_layer_repeat(centring: Centring, fixed_axis: int, reciprocal: Array) -> LayerRepeat:
    """Return the repeat cell of a layer with its shortest vectors, a unit of either axis for a primitive lattice.

    Args:
        centring: lattice type.
        fixed_axis: number of the axis whose index is constant on the layer.
        reciprocal: vectors a*, b*, c* as rows [1/Angstrom], shape (3, 3).

    Raises:
        InputError: the lattice type is unknown.

    Examples:
        >>> from dsfunet import Cell
        >>> from dsfunet.physics.layer_repeat import find_layer_repeat
        >>> find_layer_repeat("I", 2, Cell(4, 4, 4).reciprocal).basis.tolist()
        [[1, 1], [1, -1]]
    """
    first, second = (axis for axis in range(3) if axis != fixed_axis)
    axes = (first, second)
    whole = np.eye(2, dtype=np.int64)
    if are_reciprocal_vectors(_in_layer(whole, axes), centring).all():
        return LayerRepeat(axes, whole)
    pairs = np.array(list(product(range(_MOST, -_MOST - 1, -1), repeat=2)), dtype=np.int64)
    pairs = pairs[pairs.any(axis=1)]
    candidates = pairs[are_reciprocal_vectors(_in_layer(pairs, axes), centring)]
    return LayerRepeat(axes, _shortest(candidates, reciprocal[list(axes)]))


def layer_operations(
    rotations: Integers, fixed_axis: int, offset: float, centring: Centring
) -> tuple[Integers, Integers]:
    """Return the operations Q' = Q R + G under which I_SRO of a layer is unchanged, G in the reciprocal lattice.

    Args:
        rotations: operations of the Laue class, shape (order, 3, 3).
        fixed_axis: number of the axis whose index is constant on the layer.
        offset: that index [r.l.u.].
        centring: lattice type.

    Returns:
        The matrices R, shape (n, 3, 3), and the vectors G, shape (n, 3).
    """
    kept = plane_operations(rotations, fixed_axis, offset, periodic=True)
    shifts = np.zeros((len(kept), 3), dtype=np.int64)
    shifts[:, fixed_axis] = np.round(offset * (1 - kept[:, fixed_axis, fixed_axis]))
    others = [axis for axis in range(3) if axis != fixed_axis]
    # Every lattice type has reciprocal vectors in each layer: none has a translation within the third axis alone.
    for in_plane in product(range(denominator_of(centring)), repeat=2):
        missing = ~are_reciprocal_vectors(shifts, centring)
        for axis, index in zip(others, in_plane, strict=True):
            shifts[missing, axis] = index
    return kept, shifts


def _in_layer(pairs: Integers, axes: tuple[int, int]) -> Integers:
    """Return indices along two axes with a third index of 0, shape (n, 3)."""
    whole = np.zeros((len(pairs), 3), dtype=np.int64)
    whole[:, list(axes)] = pairs
    return whole


def _shortest(pairs: Integers, reciprocal: Array) -> Integers:
    """Return the two shortest independent vectors, which form a basis, the one along the first axis first."""
    lengths = np.round(np.linalg.norm(pairs @ reciprocal, axis=1), 9)
    ordered = pairs[np.argsort(lengths, kind="stable")]
    first = ordered[0]
    second = next(each for each in ordered if first[0] * each[1] != first[1] * each[0])
    # Both have a sense that makes the earlier index positive, as the candidates begin with the largest.
    basis: Integers = np.array(sorted([first.tolist(), second.tolist()], reverse=True), dtype=np.int64)
    return basis
