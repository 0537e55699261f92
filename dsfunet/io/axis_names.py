"""Names of axes in files: which of h, k, l, which direction of reciprocal space, or which Cartesian component of Q.

The spellings come from the sources of Mantid ([H,0,0], H, Q_sample_x), Horace ([h,0,0] (r.l.u.)), NXRefine and CHESS
(Qh, Ql, H), mdx2 (h), rmc-discord (Q1, [H,0,0]), xrayutilities and silx (Qx, qx) and of scripts around them ($h$,
(h00), H (rlu), [H 0 0], h_rlu).
"""

import re

import numpy as np

from dsfunet._typing import Array
from dsfunet.planes.names import AXIS_LABELS

_UNITS = re.compile(
    r"[\s,/_]*[(\[{]?\s*(?:in\s+)?(?:r\.?\s?l\.?\s?u\.?|rel\.?\s?latt\.?\s?units?|reciprocal[ _-]?lattice[ _-]?units?"
    r"|2\s?\\?(?:pi|π)\s?/\s?[abcd]|miller(?:[ _]ind(?:ex|ices))?|dimensionless)\s*[)\]}]?$"
)
_INVERSE_LENGTH = re.compile(
    r"[\s,/_]*[(\[{]?\s*(?:in\s+)?(?:1\s?/\s?(?:a|å|angstroms?|ang)|(?:a|å|angstroms?|ang)\s?\^?\s?\{?(?:-1|⁻¹|\*\*-1)\}?"
    r"|inv(?:erse)?[ _]?(?:a|å|angstroms?)|per[ _](?:a|å|angstroms?))\s*[)\]}]?$"
)
_LETTER = re.compile(
    r"(?:(?:q|miller|index|axis|ax|hkl|coords?|bins?|along|ref|scan|grid|rlu)[ _-]?)?([hkl])"
    r"(?:[ _-]?(?:axis|ax|centers?|centres?|edges?|bins?|index|indices|ind|values?|vals?|grid|coords?|vec|arr|array"
    r"|range|rlu))?(?:\s*[(\[].*)?"
)
_RECIPROCAL = re.compile(r"(?:along[ _]?)?([abc])(?:\*|_?star)")
_NUMBERED = re.compile(r"q_?([123])")
_CARTESIAN = re.compile(
    r"(?:q|k)[ _-]?(?:sample|lab|crystal|cart)?[ _-]?([xyz])(?:[ _-]?(?:axis|bins?|edges?|centers?|centres?))?"
)
_COMPONENT = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)?)\s*\*?\s*([a-zζξη]?\d?)")
# Without separators a digit could belong to either neighbour, so that factors have one digit and no letter is a zero.
_PACKED = re.compile(
    r"([+-]?[1-9]?[hklxζξη]|[+-]?0)([+-]?[1-9]?[hklxζξη]|[+-]?0)([+-]?[1-9]?[hklxζξη]|[+-]?0)"
)


def find_index_axis(name: str) -> int | None:
    """Find which of h, k, l (0, 1, 2) a name such as h, Qh, H (r.l.u.), [0,K,0] or h_rlu means; None for others."""
    plain = _clean(name)
    match = _LETTER.fullmatch(plain)
    if match:
        return AXIS_LABELS.index(match.group(1))
    reciprocal = _RECIPROCAL.fullmatch(plain)
    if reciprocal:
        return "abc".index(reciprocal.group(1))
    numbered = _NUMBERED.fullmatch(plain)
    if numbered:
        return int(numbered.group(1)) - 1
    direction = parse_direction(name)
    if direction is not None and np.count_nonzero(direction) == 1 and direction.max() == 1:
        return int(direction.argmax())
    return None


def find_cartesian_axis(name: str) -> int | None:
    """Find which component of Q, x, y or z (0, 1, 2), a name such as Qx, Q_sample_x or qx (1/A) means."""
    plain = _INVERSE_LENGTH.sub("", _strip(name))
    match = _CARTESIAN.fullmatch(plain)
    return "xyz".index(match.group(1)) if match else None


def find_direction(name: str) -> Array | None:
    """Find the direction h, k, l, shape (3,), along which a coordinate of this name counts; None for other names."""
    number = find_index_axis(name)
    return np.eye(3)[number] if number is not None else parse_direction(name)


def parse_direction(name: str) -> Array | None:
    """Parse a name such as [H,0,0], [0,-2K,0], [H 0 0] or (hh0) as a direction h, k, l, shape (3,); None for others."""
    plain = re.sub(r"^q[ _-]?(?=[\[(])", "", _clean(name))  # Q_[H,0,0]
    inner = re.match(r"[\[(]([^\[\]()]{1,100})[\])]", plain)
    text = (inner.group(1) if inner else plain).strip()
    words = [word.strip() for word in re.split(r"[,;]", text)] if re.search("[,;]", text) else text.split()
    if len(words) == 1:
        packed = _PACKED.fullmatch(words[0])
        words = list(packed.groups()) if packed else []
    if len(words) != 3 or (inner is None and "," not in text and len(text.replace(" ", "")) < 3):
        return None
    direction, letters = [], set()
    for word in words:
        match = _COMPONENT.fullmatch(word)
        if not match or not (match.group(2) or match.group(3)):
            return None
        number = float(match.group(2) or 1) * (-1 if match.group(1) == "-" else 1)
        if not match.group(3) and number != 0:  # a number without a letter is constant along the axis
            return None
        if match.group(3):
            letters.add(match.group(3))
        direction.append(number)
    # Two letters, as in [H,K,0], are a plane.
    return (
        np.array(direction)
        if len(letters) == 1 and max(map(abs, direction)) < 1e3 and any(direction)
        else None
    )


def _strip(name: str) -> str:
    text = name.replace("$", "").replace("\N{MINUS SIGN}", "-").replace("\\", "")
    return text.strip().lower()


def _clean(name: str) -> str:
    """Return a name in small letters without the signs of LaTeX and without its unit."""
    text = _strip(name)
    return _UNITS.sub("", text).strip() or text
