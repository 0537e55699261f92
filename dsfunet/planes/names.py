"""Names of planes in reciprocal space: hk1, h0l, -1kl, "h k 1.5", hhl, "[1 1 0] [0 0 1] + [0 0 0.5]"."""

import re
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.planes.index_text import (
    LONGEST_NAME,
    Indices,
    format_number,
    format_term,
    format_vector,
    parse_number,
    shorten,
)

AXIS_LABELS = ("h", "k", "l")

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:/\d+)?"
_NAME = re.compile(r"\s*".join(rf"({label}|{_NUMBER})" for label in AXIS_LABELS))
_TERM = re.compile(r"\s*([+-]?)\s*((?:\d+(?:\.\d*)?|\.\d+)?)([hkl])")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]\s*,?\s*\[([^\[\]]*)\](?:\s*\+\s*\[([^\[\]]*)\])?")
_SMALLEST = 1e-9


@dataclass(frozen=True)
class PlaneName:
    """Name of a plane in which two of h, k, l vary and the third is fixed.

    str() gives the shortest name, which `parse_plane_name` reads back.

    Attributes:
        axes: numbers of the two indices that vary, in increasing order (0, 1, 2 for h, k, l).
        offset: value of the third index [r.l.u.].

    Raises:
        InputError: the axes are not (0, 1), (0, 2) or (1, 2), or the offset is not finite.
    """

    axes: tuple[int, int]
    offset: float

    def __post_init__(self) -> None:
        if tuple(self.axes) not in {(0, 1), (0, 2), (1, 2)}:
            raise InputError(
                f"the axes of the plane are {self.axes}; expected (0, 1), (0, 2) or (1, 2), numbers of two of h, k, l"
            )
        if not np.isfinite(self.offset):
            raise InputError(f"the offset of the plane is {self.offset}; expected a finite number [r.l.u.]")
        object.__setattr__(self, "offset", float(self.offset) + 0.0)  # + 0.0 turns -0 into 0

    @property
    def fixed_axis(self) -> int:
        """Number of the index that is fixed: 0, 1 or 2 for h, k, l."""
        return 3 - self.axes[0] - self.axes[1]

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two indices that vary, ('h', 'k') for hk1."""
        return AXIS_LABELS[self.axes[0]], AXIS_LABELS[self.axes[1]]

    @property
    def fixed_label(self) -> str:
        """Label of the index that is fixed, 'l' for hk1."""
        return AXIS_LABELS[self.fixed_axis]

    @property
    def layer(self) -> "PlaneName":
        """This plane; see `SpannedPlaneName.layer`."""
        return self

    @property
    def title(self) -> str:
        """The name to show to a user."""
        return str(self)

    @property
    def vectors(self) -> npt.NDArray[np.float64]:
        """h, k, l of one unit along each of the two axes, shape (2, 3) [r.l.u.]."""
        return np.asarray(np.eye(3)[list(self.axes)])

    @property
    def origin(self) -> npt.NDArray[np.float64]:
        """h, k, l of the point where both coordinates are 0, shape (3,) [r.l.u.]."""
        return np.asarray(self.offset * np.eye(3)[self.fixed_axis])

    def __str__(self) -> str:
        words = list(AXIS_LABELS)
        words[self.fixed_axis] = format_number(self.offset)
        return ("" if self.offset.is_integer() else " ").join(words)


@dataclass(frozen=True)
class SpannedPlaneName:
    """Name of a plane spanned by two vectors of reciprocal space: hkl = through + u first + v second [r.l.u.].

    str() gives the shortest name, which `parse_plane` reads back. The attributes that only a `PlaneName` has (two axes
    of the cell, an index that is fixed) raise an InputError here.

    Attributes:
        first: h, k, l of the first vector.
        second: h, k, l of the second vector.
        through: h, k, l of the point at u = v = 0; it is set to 0 if the plane contains the origin.

    Raises:
        InputError: a vector is not three finite numbers, or the two vectors are zero or parallel.
    """

    first: Indices
    second: Indices
    through: Indices = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("first", "second", "through"):
            values = tuple(float(value) + 0.0 for value in getattr(self, name))
            if len(values) != 3 or not np.isfinite(values).all():
                raise InputError(f"the plane vector is {list(values)}; expected three finite numbers h, k, l")
            object.__setattr__(self, name, values)
        across = np.cross(self.first, self.second)
        if np.linalg.norm(across) <= _SMALLEST * np.linalg.norm(self.first) * np.linalg.norm(self.second):
            raise InputError(
                f"the plane vectors {list(self.first)} and {list(self.second)} are zero or parallel; expected two"
                " vectors that span a plane"
            )
        if abs(across @ np.array(self.through)) <= _SMALLEST * np.linalg.norm(across):
            object.__setattr__(self, "through", (0.0, 0.0, 0.0))

    @property
    def vectors(self) -> npt.NDArray[np.float64]:
        """h, k, l of one unit along each of the two axes, shape (2, 3) [r.l.u.]."""
        return np.array([self.first, self.second])

    @property
    def origin(self) -> npt.NDArray[np.float64]:
        """h, k, l of the point where both coordinates are 0, shape (3,) [r.l.u.]."""
        return np.array(self.through)

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two axes: ('[h h 0]', '[0 0 l]') for hhl, ('[h h 0]', '[k -k 0]') for hk0 along diagonals."""
        used = [next(i for i, value in enumerate(self.first) if value)]
        free = [i for i, value in enumerate(self.second) if value and i not in used]
        used.append(free[0] if free else (used[0] + 1) % 3)
        first, second = (
            f"[{' '.join(format_term(float(f'{value:.4g}'), AXIS_LABELS[letter]) for value in vector)}]"
            for vector, letter in zip((self.first, self.second), used, strict=True)
        )
        return first, second

    @property
    def layer(self) -> PlaneName:
        """The plane along two axes of the cell with the same points, such as hk1 with Cartesian pixels.

        Raises:
            InputError: the plane does not run along two axes of the cell, such as hhl.
        """
        for fixed in (2, 1, 0):
            if self.first[fixed] == self.second[fixed] == 0:
                first, second = (axis for axis in range(3) if axis != fixed)
                return PlaneName((first, second), self.through[fixed])
        raise self._make_axes_error()

    @property
    def title(self) -> str:
        """The name to show to a user: hk1 for that plane, whatever its vectors are, else the shortest name."""
        try:
            return str(self.layer)
        except InputError:
            return str(self)

    @property
    def axes(self) -> tuple[int, int]:
        """Not defined for this kind of plane: always raises InputError."""
        raise self._make_axes_error()

    @property
    def offset(self) -> float:
        """Not defined for this kind of plane: always raises InputError."""
        raise self._make_axes_error()

    @property
    def fixed_axis(self) -> int:
        """Not defined for this kind of plane: always raises InputError."""
        raise self._make_axes_error()

    @property
    def fixed_label(self) -> str:
        """Not defined for this kind of plane: always raises InputError."""
        raise self._make_axes_error()

    def _make_axes_error(self) -> InputError:
        return InputError(
            f"plane {self}: this plane is spanned by {' and '.join(self.labels)}; expected a plane along two axes of"
            " the cell, such as hk0"
        )

    def __str__(self) -> str:
        return self._format_letters() or " ".join(map(format_vector, (self.first, self.second))) + (
            f" + {format_vector(self.through)}" if any(self.through) else ""
        )

    def _format_letters(self) -> str:
        """The name as letters, such as hhl or 'h -h l'; empty if it cannot be written so."""
        words = []
        for place, values in enumerate(zip(self.first, self.second, strict=True)):
            if any(self.through) or sum(value != 0 for value in values) != 1:
                return ""
            vector = self.first if values[0] else self.second
            letter = next(i for i, value in enumerate(vector) if value)
            words.append(format_term(vector[place], AXIS_LABELS[letter]))
        text = ("" if all(len(word) == 1 for word in words) else " ").join(words)
        return text if _parse_letters(text) == self else ""


AnyPlaneName: TypeAlias = PlaneName | SpannedPlaneName


def parse_plane_name(text: str) -> PlaneName:
    """Parse the name of a plane along two axes of the cell: h, k, l in this order, one of them replaced by a number.

    Blanks, commas, brackets and capitals are ignored. The number may be negative, a decimal or a fraction (hk1/2).

    Raises:
        InputError: the text is anything else.
    """
    name = _parse_axes_and_offset(text)
    if name is None:
        raise InputError(
            f"plane {shorten(text)!r}: this is not the name of a plane along two axes; expected two of h, k, l and a"
            " number, such as hk1, h0l, -1kl or 'h k 1.5'"
        )
    return name


def parse_plane(text: str) -> AnyPlaneName:
    """Parse the name of a plane: one that `parse_plane_name` takes, or a plane spanned by two vectors.

    A plane spanned by two vectors is written either in letters, where one letter stands in its own place and, with an
    optional factor, in a second place: hhl, hkk, "h -h l", "h 2h l"; or as two vectors in brackets, with an optional
    point that the plane contains: "[1 1 0] [0 0 1]", "[1 1 0] [0 0 1] + [0.5 0 0]". Vectors along two axes of the
    cell, in increasing order, give the same `PlaneName` as `parse_plane_name`.

    Raises:
        InputError: the text is anything else, or the two vectors do not span a plane.

    Examples:
        >>> from dsfunet.planes.names import parse_plane
        >>> parse_plane("[1 1 0] [0 0 1]").labels
        ('[h h 0]', '[0 0 l]')
    """
    cleaned = text.lower().replace("\N{MINUS SIGN}", "-").strip()
    brackets = _BRACKETS.fullmatch(cleaned) if len(text) <= LONGEST_NAME else None
    if brackets:
        return _parse_brackets(text, *brackets.groups())
    name = _parse_axes_and_offset(text) or _parse_letters(cleaned)
    if name is None:
        raise InputError(
            f"plane {shorten(text)!r}: this is not the name of a plane; expected two of h, k, l and a number, such as"
            " hk1 or 'h k 1.5', or two vectors, such as hhl or '[1 1 0] [0 0 1] + [0 0 0.5]'"
        )
    return name


def _parse_axes_and_offset(text: str) -> PlaneName | None:
    if len(text) > LONGEST_NAME:
        return None
    cleaned = re.sub(r"[\s,;_()\[\]]+", " ", text.lower().replace("\N{MINUS SIGN}", "-")).strip()
    match = _NAME.fullmatch(cleaned)
    fixed = [i for i, word in enumerate(match.groups()) if word != AXIS_LABELS[i]] if match else []
    if match is None or len(fixed) != 1:
        return None
    offset = parse_number(text, match.group(fixed[0] + 1))
    first, second = (i for i in range(3) if i != fixed[0])
    return PlaneName((first, second), offset)


def _parse_letters(text: str) -> SpannedPlaneName | None:
    if len(text) > LONGEST_NAME:
        return None
    cleaned = re.sub(r"[\s,_()]+", " ", text).strip()
    terms = [match for match in _TERM.finditer(cleaned)]
    if len(terms) != 3 or "".join(match.group() for match in terms) != cleaned:
        return None
    vectors: dict[str, list[float]] = {}
    for place, match in enumerate(terms):
        sign, factor, letter = match.groups()
        vectors.setdefault(letter, [0.0, 0.0, 0.0])[place] = float(factor or 1) * (-1 if sign == "-" else 1)
    at_home = all(vector[AXIS_LABELS.index(letter)] == 1 for letter, vector in vectors.items())
    if len(vectors) != 2 or not at_home or 0.0 in [float(match.group(2) or 1) for match in terms]:
        return None
    first, second = ((vector[0], vector[1], vector[2]) for vector in vectors.values())
    return SpannedPlaneName(first, second)


def _parse_brackets(text: str, first: str, second: str, origin: str | None) -> AnyPlaneName:
    vectors = [_parse_vector(text, inner) for inner in (first, second, origin or "0 0 0")]
    name = SpannedPlaneName(*vectors)
    for axes in ((0, 1), (0, 2), (1, 2)):
        third = 3 - sum(axes)
        fixed = [value for place, value in enumerate(name.through) if place != third]
        if np.array_equal(name.vectors, np.eye(3)[list(axes)]) and not any(fixed):
            return PlaneName(axes, name.through[third])
    return name


def _parse_vector(text: str, inner: str) -> Indices:
    """Parse h, k, l between brackets, separated by blanks or commas, or written as digits: [110], [1-10]."""
    words = inner.replace(",", " ").split()
    if len(words) == 1:
        digits = re.fullmatch(r"([+-]?\d)([+-]?\d)([+-]?\d)", words[0])
        words = list(digits.groups()) if digits else words
    if len(words) != 3 or not all(re.fullmatch(_NUMBER, word) for word in words):
        raise InputError(
            f"plane {text!r}: [{inner}] is not a vector; expected three numbers, such as [1 -1 0]"
        )
    h, k, l = (parse_number(text, word) for word in words)  # noqa: E741
    return h, k, l
