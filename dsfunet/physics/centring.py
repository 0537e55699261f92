"""Centred lattices: their translations, lattice vectors and reciprocal lattices, exactly, in the conventional cell.

Components of lattice vectors are whole numbers or fractions of the cell's edges, as crystallographers write them:
1/2 1/2 0 in an F lattice. Inside, a vector is three integers in units of 1/2 or 1/3, so that nothing is rounded.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Integers
from dsfunet.errors import InputError
from dsfunet.physics.lattice import CENTRINGS as CENTRINGS
from dsfunet.physics.lattice import Cell
from dsfunet.physics.lattice import Centring as Centring
from dsfunet.physics.lattice import check_centring as check_centring

Component: TypeAlias = int | Fraction
"""A component of a lattice vector along one edge of the cell."""

Vector: TypeAlias = tuple[Component, Component, Component]
"""Components i, j, k of a lattice vector i a + j b + k c."""

# The translations other than those of the cell's edges, in units of 1 / denominator.
_DENOMINATORS: dict[Centring, int] = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 2, "R": 3, "H": 3}
_NUMERATORS: dict[Centring, tuple[tuple[int, int, int], ...]] = {
    "P": (),
    "A": ((0, 1, 1),),
    "B": ((1, 0, 1),),
    "C": ((1, 1, 0),),
    "I": ((1, 1, 1),),
    "F": ((0, 1, 1), (1, 0, 1), (1, 1, 0)),
    "R": ((2, 1, 1), (1, 2, 2)),
    "H": ((2, 1, 0), (1, 2, 0)),
}
_ROUNDING = 1e-9
_SAME_LENGTH = 1e-6


def denominator_of(centring: Centring) -> int:
    """Return the common denominator of all lattice vectors: 1 for P, 3 for R and H, otherwise 2.

    Raises:
        InputError: the lattice type is unknown.
    """
    check_centring(centring)
    return _DENOMINATORS[centring]


def centring_translations(centring: Centring) -> tuple[Vector, ...]:
    """Return the lattice points of one conventional cell, with 0 0 0 first.

    Raises:
        InputError: the lattice type is unknown.

    Examples:
        >>> from dsfunet.physics.centring import centring_translations, format_vector
        >>> [format_vector(each) for each in centring_translations("F")]
        ['0 0 0', '0 1/2 1/2', '1/2 0 1/2', '1/2 1/2 0']
    """
    denominator = denominator_of(centring)
    return ((0, 0, 0), *(vector_of(each, denominator) for each in _NUMERATORS[centring]))


def are_lattice_numerators(numerators: Integers, centring: Centring) -> npt.NDArray[np.bool_]:
    """Return which vectors belong to a lattice, shape (...).

    Args:
        numerators: components in units of 1 / `denominator_of(centring)`, shape (..., 3).
        centring: lattice type.

    Raises:
        InputError: the lattice type is unknown.
    """
    denominator = denominator_of(centring)
    points = np.array([(0, 0, 0), *_NUMERATORS[centring]], dtype=np.int64)
    found: npt.NDArray[np.bool_] = (
        ((numerators[..., None, :] - points) % denominator == 0).all(axis=-1).any(axis=-1)
    )
    return found


def numerators_of(vector: Sequence[Component], centring: Centring) -> Integers | None:
    """Return the components of a vector in units of 1 / `denominator_of(centring)`; None if it is no lattice vector.

    Raises:
        InputError: the lattice type is unknown.
    """
    scaled = [Fraction(each) * denominator_of(centring) for each in vector]
    if any(each.denominator != 1 for each in scaled):
        return None
    numerators = np.array([int(each) for each in scaled], dtype=np.int64)
    return numerators if are_lattice_numerators(numerators, centring) else None


def is_lattice_vector(vector: Sequence[Component], centring: Centring) -> bool:
    """Return whether a vector belongs to a lattice, exactly.

    Raises:
        InputError: the lattice type is unknown.

    Examples:
        >>> from dsfunet.physics.centring import is_lattice_vector, parse_vector
        >>> is_lattice_vector(parse_vector("1/2 1/2 0"), "F"), is_lattice_vector(parse_vector("1/2 0 0"), "F")
        (True, False)
    """
    return numerators_of(vector, centring) is not None


def smallest_component(numerators: Sequence[int], axis: int, centring: Centring) -> int:
    """Return the smallest component along an axis among the lattice vectors with the same other two components.

    Args:
        numerators: three components in units of 1 / `denominator_of(centring)`; the one along the axis is ignored.
        axis: 0, 1 or 2.
        centring: lattice type.

    Returns:
        The component in the same unit, the positive one of two that are equally small.

    Raises:
        InputError: the lattice type is unknown, or no lattice vector has these two components.

    Examples:
        >>> from dsfunet.physics.centring import smallest_component
        >>> smallest_component((1, 0, 0), 2, "F"), smallest_component((2, 1, 0), 2, "R")
        (1, 1)
    """
    denominator = denominator_of(centring)
    whole = np.array(numerators, dtype=np.int64)
    for component in sorted(range(1 - denominator, denominator), key=lambda each: (abs(each), -each)):
        whole[axis] = component
        if are_lattice_numerators(whole, centring):
            return component
    whole[axis] = 0
    name = format_vector(vector_of(whole.tolist(), denominator))
    raise InputError(f"vector {name}: no vector of centring {centring} projects on it; choose another vector")


def vector_of(numerators: Sequence[int], denominator: int) -> Vector:
    """Return the components numerators / denominator: integers where they are whole, else fractions."""
    i, j, k = (as_component(Fraction(int(each), denominator)) for each in numerators)
    return i, j, k


def as_component(value: float | Fraction) -> Component:
    """Return a number as an integer or an exact fraction; 0.5 and numbers within 1e-9 of a third are fractions too.

    Raises:
        InputError: the number is not finite, or is no multiple of 1/2 or 1/3.
    """
    if not np.isfinite(float(value)):
        raise InputError(f"component {value}: expected a whole number or a fraction such as 1/2 or 1/3")
    nearest = Fraction(value).limit_denominator(6)
    if abs(float(nearest - Fraction(value))) > _ROUNDING:
        raise InputError(f"component {value}: expected a whole number or a fraction such as 1/2 or 1/3")
    return int(nearest) if nearest.denominator == 1 else nearest


def parse_vector(text: str) -> Vector:
    """Parse a lattice vector as crystallographers write it: "1 0 0", "1/2 1/2 0", "2/3 1/3 1/3", "0.5 0.5 0".

    Raises:
        InputError: the text is not three whole numbers or fractions.

    Examples:
        >>> from dsfunet.physics.centring import parse_vector
        >>> parse_vector("1/2 -1/2 0")
        (Fraction(1, 2), Fraction(-1, 2), 0)
    """
    components = parse_components(text)
    if len(components) != 3:
        raise InputError(f"found {text.strip()!r}; expected three integers or fractions, such as 1/2 1/2 0")
    i, j, k = components
    return i, j, k


def parse_components(text: str) -> tuple[Component, ...]:
    """Parse whole numbers and fractions between blanks; an empty tuple if the text holds anything else."""
    try:
        return tuple(as_component(Fraction(word)) for word in text.split())
    except (ValueError, ZeroDivisionError, OverflowError, InputError):
        return ()


def format_vector(vector: Sequence[Component]) -> str:
    """Return a vector as crystallographers write it, such as "1/2 1/2 0"."""
    return " ".join(map(str, vector))


def lattice_numerators(most: Sequence[int], centring: Centring) -> Integers:
    """Return all lattice vectors within a range of numerators, shape (n, 3), in lexicographic order.

    Args:
        most: largest numerator along each axis, in units of 1 / `denominator_of(centring)`, three numbers of 0 or more.
        centring: lattice type.

    Raises:
        InputError: the lattice type is unknown.
    """
    ranges = (np.arange(-each, each + 1) for each in most)
    vectors: Integers = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    return vectors if centring == "P" else vectors[are_lattice_numerators(vectors, centring)]


def lattice_vectors(cell: Cell, centring: Centring, radius_angstrom: float) -> list[tuple[Vector, float]]:
    """Return the lattice vectors up to a length, without 0 0 0, each with its length [Angstrom], shortest first.

    Args:
        cell: the conventional cell.
        centring: lattice type.
        radius_angstrom: greatest length, which counts [Angstrom].

    Raises:
        InputError: the lattice type is unknown.

    Examples:
        >>> from dsfunet import Cell
        >>> from dsfunet.physics.centring import lattice_vectors
        >>> len(lattice_vectors(Cell(4, 4, 4), "F", 2.9)), len(lattice_vectors(Cell(4, 4, 4), "I", 3.5))
        (12, 8)
    """
    denominator = denominator_of(centring)
    # |i| <= |v| |a*| / 2 pi
    reach = radius_angstrom * (1 + _SAME_LENGTH) * denominator
    most = np.floor(reach * np.linalg.norm(cell.reciprocal, axis=1) / (2 * np.pi)).astype(int)
    numerators = lattice_numerators(most.tolist(), centring)
    lengths = np.linalg.norm(numerators @ cell.direct, axis=1) / denominator
    order = np.argsort(lengths, kind="stable")
    order = order[(lengths[order] > 0) & (lengths[order] <= radius_angstrom * (1 + _SAME_LENGTH))]
    return [(vector_of(numerators[each].tolist(), denominator), float(lengths[each])) for each in order]


def are_reciprocal_vectors(hkl: Integers, centring: Centring) -> npt.NDArray[np.bool_]:
    """Return which indices (..., 3) belong to the reciprocal lattice, shape (...): the reflections that are not absent.

    Raises:
        InputError: the lattice type is unknown.
    """
    denominator = denominator_of(centring)
    allowed = np.ones(hkl.shape[:-1], bool)
    for translation in _NUMERATORS[centring]:
        allowed &= (hkl @ np.array(translation, dtype=np.int64)) % denominator == 0
    return allowed


def check_closure(rotations: Integers, centring: Centring, laue: str) -> None:
    """Check that a Laue class maps a centred lattice onto itself.

    Args:
        rotations: operations on lattice vectors, shape (order, 3, 3).
        centring: lattice type.
        laue: name of the class, for the error message.

    Raises:
        InputError: an operation turns a lattice vector into a vector that does not belong to the lattice.
    """
    check_centring(centring)
    for translation in _NUMERATORS[centring]:
        images = rotations @ np.array(translation, dtype=np.int64)
        if not are_lattice_numerators(images, centring).all():
            name = format_vector(vector_of(translation, _DENOMINATORS[centring]))
            raise InputError(
                f"Laue class {laue}: its operations do not keep lattice vector {name} of centring {centring}; choose"
                " another Laue class, unique axis or centring"
            )
