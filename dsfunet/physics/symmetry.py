"""Laue classes as integer matrices, and the orbits and shells of lattice vectors under them.

A vector v = i a + j b + k c with integer components goes to R v, and I_SRO of equation (3) is the same at Q and Q R
(Q a row of hkl). Matrices come from gemmi's space-group tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.errors import InputError
from dsfunet.physics import Cell

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
"""The 11 Laue classes; -3m in its two settings on hexagonal axes, -3 and -3m on rhombohedral axes (:R) as well."""

AXES = ("a", "b", "c")

UniqueAxis = Literal["a", "b", "c"]
"""The axis that a Laue class singles out."""

Vector = tuple[int, int, int]
"""Components i, j, k of a lattice vector i a + j b + k c."""

MAX_SHELLS = 100

# |G - symmetrised G| relative to the lengths of the two vectors: half a per cent of a length, half a degree.
_METRIC_TOLERANCE = 0.01
_SAME_LENGTH = 1e-6


@dataclass(frozen=True, eq=False)
class Orbit:
    """Lattice vectors that the Laue class makes equivalent: one Warren-Cowley parameter.

    `vectors` has shape (n, 3), integers, v and -v both; `length_angstrom` is |v|, with the cell's metric averaged
    over the Laue class.
    """

    vectors: Integers
    length_angstrom: float

    @property
    def representative(self) -> tuple[int, int, int]:
        """The vector that names the orbit: fewest negative indices, then smallest ones, then the first axis first."""

        def order(vector: list[int]) -> tuple[int, int, list[int]]:
            return sum(x < 0 for x in vector), sum(map(abs, vector)), [-x for x in vector]

        i, j, k = min(self.vectors.tolist(), key=order)
        return i, j, k

    @property
    def name(self) -> str:
        """The representative as text, "1 0 0"."""
        return " ".join(map(str, self.representative))


def laue_rotations(name: str, unique_axis: str | None = None) -> Integers:
    """All operations of a Laue class as matrices R on lattice vectors, v' = R v, shape (order, 3, 3).

    Args:
        name: one of `LAUE_CLASSES`, or -3m for -3m1.
        unique_axis: a, b or c; by default b for 2/m and c for tetragonal, trigonal and hexagonal classes.

    Raises:
        InputError: no such class, or it has no unique axis to choose.
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
        raise InputError(f"unique axis {unique_axis}: Laue class {name} has none, expected no such option")
    # A cyclic change of names, which keeps the axes right-handed: 6/m with unique b has c, a at 120 degrees.
    return np.roll(matrices, AXES.index(unique_axis) - usual, axis=(1, 2))


def symmetric_metric(cell: Cell, name: str, unique_axis: str | None = None) -> Array:
    """Metric tensor of a cell [Angstrom^2], averaged over a Laue class that it obeys, shape (3, 3).

    Raises:
        InputError: the cell does not obey the class within half a per cent of a length or half a degree.
    """
    symmetric, fits = _compare_metrics(cell, laue_rotations(name, unique_axis))
    if not fits:
        found = " ".join(f"{value:g}" for value in cell.parameters)
        nearest = " ".join(f"{value:.4g}" for value in _cell_of(symmetric))
        has_axis = _SPACE_GROUPS[_ALIASES.get(name, name)][1] is not None
        others = [axis for axis in AXES if has_axis and _compare_metrics(cell, laue_rotations(name, axis))[1]]
        hint = f", or unique axis {' or '.join(others)}, which fits" if others else ""
        axis = f" with unique axis {unique_axis}" if unique_axis else ""
        raise InputError(
            f"cell {found} does not obey Laue class {name}{axis}: expected one such as {nearest}{hint}"
        )
    return symmetric


def orbits_of(
    vectors: Sequence[tuple[int, int, int]], rotations: Integers, metric: Array, fixed_axis: int | None = None
) -> list[Orbit]:
    """The orbits of chosen lattice vectors, in the order given.

    With a `fixed_axis` (0, 1, 2) orbits keep only their vectors without a component along it.

    Raises:
        InputError: a vector is zero, two are equivalent, or none equivalent to one lies in the plane.
    """
    orbits: list[Orbit] = []
    for vector in vectors:
        if not any(vector):
            raise InputError("vector 0 0 0: its alpha is 1 by definition, expected other lattice vectors")
        members = np.unique(rotations @ np.array(vector, dtype=np.int64), axis=0)
        kept = members if fixed_axis is None else members[members[:, fixed_axis] == 0]
        name = " ".join(map(str, vector))
        if not len(kept):
            raise InputError(
                f"vector {name} and all its equivalents have a component along {AXES[fixed_axis or 0]}, out of the"
                " plane: expected vectors in the plane, or --out-of-plane true"
            )
        for orbit in orbits:
            if (orbit.vectors == kept[0]).all(axis=1).any():
                raise InputError(
                    f"vector {name} is equivalent to {orbit.name}: expected each orbit to be named once"
                )
        length = float(np.sqrt(np.einsum("i,ij,j", kept[0], metric, kept[0])))
        orbits.append(Orbit(kept, length))
    return orbits


def nearest_shells(
    number: int, rotations: Integers, metric: Array, fixed_axis: int | None = None
) -> list[Orbit]:
    """The orbits of the `number` nearest shells, ordered by length.

    A shell is all vectors of one length; orbits of equal length that the class does not relate are different
    parameters of one shell. With a `fixed_axis` only vectors without a component along it count.

    Raises:
        InputError: the number is not between 1 and 100.
    """
    if not 1 <= number <= MAX_SHELLS:
        raise InputError(f"{number} shells: expected 1 to {MAX_SHELLS}")
    inverse = np.linalg.inv(metric)
    reach = float(np.sqrt(np.diag(metric).min()))
    while True:
        # |i| <= |v| |a*|, so these ranges hold every vector up to `reach`.
        most = np.floor(reach * np.sqrt(np.diag(inverse)) * (1 + _SAME_LENGTH)).astype(int)
        if fixed_axis is not None:
            most[fixed_axis] = 0
        vectors = np.stack(
            np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1
        ).reshape(-1, 3)
        lengths = np.sqrt(np.einsum("vi,ij,vj->v", vectors, metric, vectors))
        order = np.argsort(lengths, kind="stable")
        order = order[(lengths[order] > 0) & (lengths[order] <= reach * (1 + _SAME_LENGTH))]
        steps = np.diff(lengths[order], prepend=0.0) > _SAME_LENGTH * reach
        shell = np.cumsum(steps)
        if shell.size and shell[-1] >= number:
            break
        reach *= 1.3
    seen: set[tuple[int, ...]] = set()
    orbits: list[Orbit] = []
    for vector in vectors[order[shell <= number]]:
        if tuple(vector.tolist()) not in seen:
            i, j, k = vector.tolist()
            orbits += orbits_of([(i, j, k)], rotations, metric, fixed_axis)
            seen.update(map(tuple, orbits[-1].vectors.tolist()))
    return sorted(orbits, key=lambda o: (round(o.length_angstrom, 6), [-x for x in o.representative]))


def plane_operations(rotations: Integers, fixed_axis: int, offset: float, periodic: bool) -> Integers:
    """Operations Q' = Q R that map a layer onto itself, shape (n, 3, 3).

    `fixed_axis` is the number of the third index and `offset` its value [r.l.u.]. With `periodic` the layers at
    l and l + 1 are one, as they are for I_SRO; without, they are not, as for the measured intensity.
    """
    others = [axis for axis in range(3) if axis != fixed_axis]
    change = offset * (rotations[:, fixed_axis, fixed_axis] - 1)
    if periodic:
        change = change - np.round(change)
    kept = (rotations[:, others, fixed_axis] == 0).all(axis=1) & (np.abs(change) < 1e-6)
    operations: Integers = rotations[kept]
    return operations


def _compare_metrics(cell: Cell, rotations: Integers) -> tuple[Array, bool]:
    """Metric tensor of a cell averaged over the operations, and whether the cell's own agrees with it."""
    metric = cell.direct @ cell.direct.T
    symmetric = np.mean([r.T @ metric @ r for r in rotations], axis=0)
    lengths = np.sqrt(np.diag(symmetric))
    difference = np.abs(metric - symmetric) / np.outer(lengths, lengths)
    return symmetric, bool(difference.max() < _METRIC_TOLERANCE)


def _cell_of(metric: Array) -> tuple[float, ...]:
    """(a, b, c, alpha, beta, gamma) [Angstrom, degrees] of a metric tensor."""
    lengths = np.sqrt(np.diag(metric))
    cosines = metric / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))
    return (*map(float, lengths), *map(float, angles))
