"""Laue classes as integer matrices, and orbits and shells of lattice vectors under them.

An operation R maps a lattice vector v = i a + j b + k c to R v. I_SRO of equation (3) is the same at Q and Q R, where Q
is a row of indices hkl. The matrices come from gemmi's space-group tables. Components of lattice vectors are integers,
or fractions in a centred lattice (`dsfunet.physics.centring`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np

from dsfunet._typing import Array, ComplexArray, Integers
from dsfunet.errors import InputError
from dsfunet.physics.centring import (
    Centring,
    Vector,
    denominator_of,
    format_vector,
    lattice_numerators,
    numerators_of,
    vector_of,
)
from dsfunet.physics.lattice import Cell, parameters_of_metric

# Name -> (symbol of the symmorphic space group in gemmi's tables, number of its unique axis).
_SPACE_GROUPS: dict[str, tuple[str, int | None]] = {
    "-1": ("P -1", None),
    "2/m": ("P 1 2/m 1", 1),
    "mmm": ("P m m m", None),
    "4/m": ("P 4/m", 2),
    "4/mmm": ("P 4/m m m", 2),
    "-3": ("P -3", 2),
    "-3m1": ("P -3 m 1", 2),
    "-31m": ("P -3 1 m", 2),
    "6/m": ("P 6/m", 2),
    "6/mmm": ("P 6/m m m", 2),
    "m-3": ("P m -3", None),
    "m-3m": ("P m -3 m", None),
    "-3:R": ("R -3:R", None),
    "-3m:R": ("R -3 m:R", None),
}
_ALIASES = {"-3m": "-3m1"}

LAUE_CLASSES = tuple(_SPACE_GROUPS)
"""The 11 Laue classes, with both settings of -3m on hexagonal axes, and -3 and -3m also on rhombohedral axes (:R)."""

AXES = ("a", "b", "c")
"""Names of the axes 0, 1, 2 of a cell."""

UniqueAxis = Literal["a", "b", "c"]
"""The axis that a Laue class singles out."""

MAX_SHELLS = 100
"""The largest number of shells of lattice vectors."""

# Limit of |G - averaged G| relative to the lengths of both vectors: half a per cent of a length, half a degree.
_METRIC_TOLERANCE = 0.01
SAME_LENGTH = 1e-6
"""Relative difference below which two vectors have one length."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """Lattice vectors that are equivalent under a Laue class, and so share one Warren-Cowley parameter.

    On a single layer the correlations of vectors that differ only along one axis add up
    (`dsfunet.physics.layer_orbits`). Such an orbit holds the projections of lattice vectors onto the other two axes.

    Attributes:
        vectors: components in units of 1 / denominator, both v and -v, shape (n, 3).
        length_angstrom: |v| [Angstrom], with the metric of the cell averaged over the Laue class; for projections, the
            length perpendicular to the axis of summation.
        denominator: common denominator of the components; 1 where they are integers.
        summed_axis: 0, 1 or 2 for projections along a, b or c, whose component along it is 0 and stands for any; None
            for lattice vectors.
        coefficients: of exp(2 pi i (h i + k j + l k)) for each vector, shape (n,); None for 1.
        is_sine: whether this is the second, antisymmetric parameter of its projections.
    """

    vectors: Integers
    length_angstrom: float
    denominator: int = 1
    summed_axis: int | None = None
    coefficients: ComplexArray | None = None
    is_sine: bool = False

    @property
    def components(self) -> Array | Integers:
        """Components of the vectors along a, b and c, shape (n, 3)."""
        return self.vectors if self.denominator == 1 else self.vectors / self.denominator

    @property
    def equivalents(self) -> tuple[Vector, ...]:
        """The vectors with exact components."""
        return tuple(vector_of(each, self.denominator) for each in self.vectors.tolist())

    @property
    def representative(self) -> Vector:
        """The vector that names the orbit: fewest negative indices, then smallest indices, then earliest axes."""
        return vector_of(min(self.vectors.tolist(), key=representative_order), self.denominator)

    @property
    def name(self) -> str:
        """The representative as text, such as "1 0 0", "1/2 1/2 0" or, for projections along c, "1/2 0 (all l)"."""
        if self.summed_axis is None:
            return format_vector(self.representative)
        in_plane = [each for axis, each in enumerate(self.representative) if axis != self.summed_axis]
        return f"{format_vector(in_plane)} (all {'hkl'[self.summed_axis]}{', sine' if self.is_sine else ''})"


def representative_order(vector: Sequence[int]) -> tuple[int, int, list[int]]:
    """Return the key by which vectors compete to name their orbit; the smallest wins."""
    return sum(x < 0 for x in vector), sum(map(abs, vector)), [-x for x in vector]


def laue_rotations(name: str, unique_axis: str | None = None) -> Integers:
    """Return all operations of a Laue class as matrices R on lattice vectors, v' = R v, shape (order, 3, 3).

    Args:
        name: one of `LAUE_CLASSES`, or -3m for -3m1.
        unique_axis: a, b or c; by default b for 2/m and c for tetragonal, trigonal and hexagonal classes.

    Raises:
        InputError: there is no such class or axis, or the class has no unique axis to choose.
    """
    if _ALIASES.get(name, name) not in _SPACE_GROUPS:
        raise InputError(f"Laue class {name!r}: expected one of {', '.join(LAUE_CLASSES)}")
    symbol, usual = _SPACE_GROUPS[_ALIASES.get(name, name)]
    operations = gemmi.SpaceGroup(symbol).operations().sym_ops
    matrices = np.array([operation.rot for operation in operations], dtype=np.int64) // gemmi.Op.DEN
    if unique_axis is None:
        return matrices
    if unique_axis not in AXES:
        raise InputError(f"unique axis {unique_axis!r}: expected a, b or c")
    if usual is None:
        raise InputError(
            f"unique axis {unique_axis}: Laue class {name} has no unique axis; remove the option"
        )
    # A cyclic permutation keeps the axes right-handed: in 6/m with unique axis b, c and a are at 120 degrees.
    return np.roll(matrices, AXES.index(unique_axis) - usual, axis=(1, 2))


def symmetric_metric(cell: Cell, name: str, unique_axis: str | None = None) -> Array:
    """Return the metric tensor of a cell [Angstrom^2], averaged over a Laue class that the cell obeys, shape (3, 3).

    Args:
        cell: to average.
        name: Laue class, as for `laue_rotations`.
        unique_axis: as for `laue_rotations`.

    Raises:
        InputError: the cell does not obey the class within half a per cent of a length or half a degree.
    """
    symmetric, fits = _compare_metrics(cell, laue_rotations(name, unique_axis))
    if not fits:
        found = " ".join(f"{value:g}" for value in cell.parameters)
        nearest = " ".join(f"{value:.4g}" for value in parameters_of_metric(symmetric))
        has_axis = _SPACE_GROUPS[_ALIASES.get(name, name)][1] is not None
        others = [axis for axis in AXES if has_axis and _compare_metrics(cell, laue_rotations(name, axis))[1]]
        hint = f", or --unique-axis {' or '.join(others)}, which fits" if others else ""
        axis = f" with unique axis {unique_axis}" if unique_axis else ""
        raise InputError(
            f"cell {found}: it does not obey Laue class {name}{axis}; expected a cell such as {nearest}{hint}"
        )
    return symmetric


def orbits_of(
    vectors: Sequence[Vector],
    rotations: Integers,
    metric: Array,
    fixed_axis: int | None = None,
    centring: Centring = "P",
) -> list[Orbit]:
    """Return the orbits of chosen lattice vectors, in the order given.

    Args:
        vectors: integer or fractional components, one vector of each orbit.
        rotations: operations of the Laue class, which maps the lattice onto itself, shape (order, 3, 3).
        metric: of the cell [Angstrom^2], shape (3, 3).
        fixed_axis: 0, 1 or 2 to keep only vectors without a component along this axis.
        centring: lattice type.

    Raises:
        InputError: a vector is zero or does not belong to the lattice, two vectors are equivalent, or no vector of an
            orbit is kept.
    """
    denominator = denominator_of(centring)
    orbits: list[Orbit] = []
    for vector in vectors:
        numerators = checked_numerators(vector, centring)
        members = np.unique(rotations @ numerators, axis=0)
        kept = members if fixed_axis is None else members[members[:, fixed_axis] == 0]
        name = format_vector(vector)
        if not len(kept):
            raise InputError(
                f"vector {name}: it and all its equivalents have a component along {AXES[fixed_axis or 0]}, out of the"
                " plane; choose vectors in the plane, or add --out-of-plane true"
            )
        for orbit in orbits:
            if (orbit.vectors == kept[0]).all(axis=1).any():
                raise InputError(f"vector {name}: it is equivalent to {orbit.name}; name each orbit once")
        length = float(np.sqrt(np.einsum("i,ij,j", kept[0], metric, kept[0]))) / denominator
        orbits.append(Orbit(kept, length, denominator))
    return orbits


def checked_numerators(vector: Vector, centring: Centring) -> Integers:
    """Return the components of a lattice vector in units of the common denominator of its lattice, shape (3,).

    Raises:
        InputError: the vector is zero or does not belong to the lattice.
    """
    name = format_vector(vector)
    if not any(vector):
        raise InputError(f"vector {name}: its alpha is 1 by definition; choose other lattice vectors")
    numerators = numerators_of(vector, centring)
    if numerators is None:
        found = "primitive lattice" if centring == "P" else f"lattice with centring {centring}"
        raise InputError(
            f"vector {name}: it does not connect two points of a {found}; choose lattice vectors, or another centring"
        )
    return numerators


def nearest_shells(
    number: int,
    rotations: Integers,
    metric: Array,
    fixed_axis: int | None = None,
    centring: Centring = "P",
) -> list[Orbit]:
    """Return the orbits of the nearest shells, ordered by length.

    A shell is the set of all vectors of one length; it holds several orbits if the Laue class does not relate all of
    them.

    Args:
        number: of shells, 1 to 100.
        rotations: operations of the Laue class, which maps the lattice onto itself, shape (order, 3, 3).
        metric: of the cell [Angstrom^2], shape (3, 3).
        fixed_axis: 0, 1 or 2 to use only vectors without a component along this axis.
        centring: lattice type.

    Raises:
        InputError: the number is not between 1 and 100.
    """
    if not 1 <= number <= MAX_SHELLS:
        raise InputError(f"--shells is {number}; expected 1 to {MAX_SHELLS}")
    denominator = denominator_of(centring)
    # In units of 1 / denominator of an edge.
    metric = metric / denominator**2
    inverse = np.linalg.inv(metric)
    reach = float(np.sqrt(np.diag(metric).min()))
    while True:
        # |i| <= |v| |a*|, so these ranges contain every vector up to `reach`.
        most = np.floor(reach * np.sqrt(np.diag(inverse)) * (1 + SAME_LENGTH)).astype(int)
        if fixed_axis is not None:
            most[fixed_axis] = 0
        vectors = lattice_numerators(most.tolist(), centring)
        lengths = np.sqrt(np.einsum("vi,ij,vj->v", vectors, metric, vectors))
        order = np.argsort(lengths, kind="stable")
        order = order[(lengths[order] > 0) & (lengths[order] <= reach * (1 + SAME_LENGTH))]
        steps = np.diff(lengths[order], prepend=0.0) > SAME_LENGTH * reach
        shell = np.cumsum(steps)
        if shell.size and shell[-1] >= number:
            break
        reach *= 1.3
    seen: set[tuple[int, ...]] = set()
    orbits: list[Orbit] = []
    for vector in vectors[order[shell <= number]].tolist():
        if tuple(vector) not in seen:
            chosen = [vector_of(vector, denominator)]
            orbits += orbits_of(chosen, rotations, metric * denominator**2, fixed_axis, centring)
            seen.update(map(tuple, orbits[-1].vectors.tolist()))
    return sorted(orbits, key=lambda o: (round(o.length_angstrom, 6), [-x for x in o.representative]))


def plane_operations(rotations: Integers, fixed_axis: int, offset: float, periodic: bool) -> Integers:
    """Return the operations Q' = Q R that map a layer onto itself, shape (n, 3, 3).

    Args:
        rotations: operations of the Laue class, shape (order, 3, 3).
        fixed_axis: number of the axis whose index is constant on the layer.
        offset: that index [r.l.u.].
        periodic: whether the layers at l and l + 1 are equal, as they are for I_SRO but not for the measured intensity.
    """
    others = [axis for axis in range(3) if axis != fixed_axis]
    change = offset * (rotations[:, fixed_axis, fixed_axis] - 1)
    if periodic:
        change = change - np.round(change)
    kept = (rotations[:, others, fixed_axis] == 0).all(axis=1) & (np.abs(change) < 1e-6)
    operations: Integers = rotations[kept]
    return operations


def _compare_metrics(cell: Cell, rotations: Integers) -> tuple[Array, bool]:
    """Return the metric tensor of a cell averaged over operations, and whether that of the cell agrees with it."""
    metric = cell.direct @ cell.direct.T
    symmetric = np.mean([r.T @ metric @ r for r in rotations], axis=0)
    lengths = np.sqrt(np.diag(symmetric))
    difference = np.abs(metric - symmetric) / np.outer(lengths, lengths)
    return symmetric, bool(difference.max() < _METRIC_TOLERANCE)


def rotate_voxels(rotation: Integers, steps: Array, odd: Integers, tolerance: float) -> Integers | None:
    """Return an operation on rows of voxel indices from the origin, or None if it does not map voxels onto voxels.

    Args:
        rotation: matrix R that takes a row of indices hkl to hkl R, shape (3, 3).
        steps: of the voxels along each axis, shape (3,) [r.l.u.].
        odd: 1 for axes whose origin lies between two voxels, 0 for those with a voxel there, shape (3,).
        tolerance: largest deviation of the elements from whole numbers.
    """
    exact = steps[:, None] * rotation / steps[None, :]
    whole: Integers = np.rint(exact).astype(np.int64)
    # Twice the index of a voxel from the origin is even along axes with a voxel there, and odd along others.
    if (
        np.abs(exact - whole).max() > tolerance
        or ((odd @ whole) % 2 != odd).any()
        or (whole[odd == 0] @ odd % 2).any()
    ):
        return None
    return whole
