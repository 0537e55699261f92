"""Planes of reciprocal space as users name them: hk1, h0l, -1kl, "h k 1.5"."""

import re
from dataclasses import dataclass

import numpy as np

from dsfunet.errors import InputError

AXIS_LABELS = ("h", "k", "l")

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:/\d+)?"
_NAME = re.compile(r"\s*".join(rf"({label}|{_NUMBER})" for label in AXIS_LABELS))


@dataclass(frozen=True)
class PlaneName:
    """A plane in which two of h, k, l vary and the third is fixed.

    `axes` are the numbers of the two that vary, in increasing order (0, 1, 2 for h, k, l); `offset` is the
    value of the third [r.l.u.]. str() gives the shortest name, which `parse_plane_name` reads back.

    Raises:
        InputError: the axes are not (0, 1), (0, 2) or (1, 2), or the offset is not a finite number.
    """

    axes: tuple[int, int]
    offset: float

    def __post_init__(self) -> None:
        if tuple(self.axes) not in {(0, 1), (0, 2), (1, 2)}:
            raise InputError(f"plane axes {self.axes}: expected (0, 1), (0, 2) or (1, 2), numbers of h, k, l")
        if not np.isfinite(self.offset):
            raise InputError(f"plane offset {self.offset}: expected a finite number [r.l.u.]")
        object.__setattr__(self, "offset", float(self.offset) + 0.0)  # + 0.0 turns -0 into 0

    @property
    def fixed_axis(self) -> int:
        """Number of the axis that does not vary: 0, 1 or 2 for h, k, l."""
        return 3 - self.axes[0] - self.axes[1]

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of the two axes that vary, ('h', 'k') for hk1."""
        return AXIS_LABELS[self.axes[0]], AXIS_LABELS[self.axes[1]]

    @property
    def fixed_label(self) -> str:
        """Label of the axis that does not vary, 'l' for hk1."""
        return AXIS_LABELS[self.fixed_axis]

    def __str__(self) -> str:
        words = list(AXIS_LABELS)
        words[self.fixed_axis] = np.format_float_positional(self.offset, trim="-")
        return ("" if self.offset.is_integer() else " ").join(words)


def parse_plane_name(text: str) -> PlaneName:
    """The plane a name means: h, k, l in their own places, and a number in the place of one of them.

    Blanks, commas, brackets and capitals do not matter; the number may be negative, decimal or a fraction
    (hk1/2).

    Raises:
        InputError: the text is anything else.
    """
    cleaned = re.sub(r"[\s,;_()\[\]]+", " ", text.lower().replace("\N{MINUS SIGN}", "-")).strip()
    match = _NAME.fullmatch(cleaned)
    fixed = [i for i, word in enumerate(match.groups()) if word != AXIS_LABELS[i]] if match else []
    if match is None or len(fixed) != 1:
        raise InputError(
            f"plane {text!r}: expected two of h, k, l and a number, such as hk1, h0l, -1kl or 'h k 1.5'"
        )
    numerator, _, denominator = match.group(fixed[0] + 1).partition("/")
    divisor = float(denominator or 1)
    offset = float(numerator) / divisor if divisor else np.inf
    if not np.isfinite(offset):
        raise InputError(f"plane {text!r}: {match.group(fixed[0] + 1)} is not a finite number")
    first, second = (i for i in range(3) if i != fixed[0])
    return PlaneName((first, second), offset)
