"""Maps of crystallography used for reciprocal space: CCP4 and MRC through gemmi, XPLOR and CNS as text.

dials.rs_mapper writes Q in Cartesian axes of the laboratory, without a cell: its "cell" is the box of width 2 / d_min
in units of 1/(100 Angstrom), and voxel N/2 is the origin. Other maps hold an array without axes, which the user gives.
"""

import re
from pathlib import Path

import gemmi
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.damage import MOST_VALUES, convert_errors

_PLACE_OF_MAP = 208
_RS_MAPPER = "cctbx.miller.fft_map"
"""The label of maps of cctbx, among them those of dials.rs_mapper."""

_UNIT = 0.01
"""Unit of the box of dials.rs_mapper [1/Angstrom]."""

_TITLES = re.compile(rb"\s*\d+\s+!\s*NTITLE")


def recognises(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a map in one of these formats."""
    return start[_PLACE_OF_MAP : _PLACE_OF_MAP + 4] == b"MAP " or _TITLES.match(start) is not None


def read_array(path: Path) -> ArrayFile:
    """Read a map.

    Raises:
        InputError: the file is damaged or too large.
    """
    with path.open("rb") as stream:
        text = _TITLES.match(stream.read(400)) is not None
    if text:
        with convert_errors(None, "an XPLOR map that cannot be read; it is truncated or damaged"):
            return _read_xplor(path)
    with convert_errors(None, "a CCP4 map that cannot be read; it is truncated or damaged"):
        return _read_ccp4(path)


def _read_ccp4(path: Path) -> ArrayFile:
    with path.open("rb") as stream:
        head = np.frombuffer(stream.read(40), "<i4")
    for counts in (head[:3], head[:3].byteswap()):
        values = float(np.prod(counts.astype(np.float64)))
        if counts.min(initial=1) > 0 and values <= MOST_VALUES and path.stat().st_size >= 1024 + values:
            break
    else:
        raise InputError(
            f"a CCP4 map of {head[:3].tolist()} voxels; the file is truncated, damaged or too large"
        )
    found = gemmi.read_ccp4_map(str(path), setup=False)
    start = [found.header_i32(word) for word in (5, 6, 7)]
    labels = " ".join(found.header_str(57 + 20 * n, 80) for n in range(max(min(found.header_i32(56), 10), 0)))
    order = [found.header_i32(word) for word in (17, 18, 19)]
    if sorted(order) != [1, 2, 3]:
        raise InputError(f"a CCP4 map whose axes are {order}; expected 1, 2, 3 in any order")
    # Columns, rows and sections run along the axes `order`.
    array = np.array(found.grid.array, dtype=np.float32).transpose([order.index(axis) for axis in (1, 2, 3)])
    cell = found.grid.unit_cell
    cubic = len({round(edge, 3) for edge in (cell.a, cell.b, cell.c)}) == 1
    if _RS_MAPPER in labels and cubic and len(set(array.shape)) == 1 and not any(start):
        count = array.shape[0]
        q = 2 * np.pi * _UNIT * cell.a / count * (np.arange(count) - count // 2)
        note = "a map of dials.rs_mapper: voxels without reflections are 0, as are those not measured"
        axes: dict[int, tuple[str, Array]] = {n: (name, q) for n, name in enumerate(("Qx", "Qy", "Qz"))}
        return ArrayFile("CCP4 map of dials.rs_mapper", array, axes, notes=(note,))
    return ArrayFile("CCP4 map", array, notes=("the cell in the file is that of the map and is not used",))


def _read_xplor(path: Path) -> ArrayFile:
    lines = path.read_text(encoding="latin-1").splitlines()
    first = next(n for n, line in enumerate(lines) if "NTITLE" in line)
    here = first + 1 + int(lines[first].split("!")[0])
    numbers = [int(lines[here][n : n + 8]) for n in range(0, 72, 8)]
    counts = [numbers[n + 2] - numbers[n + 1] + 1 for n in (0, 3, 6)]
    if lines[here + 2].strip().upper() != "ZYX":
        raise InputError(f"an XPLOR map in the order {lines[here + 2].strip()!r}; expected ZYX")
    if min(counts) < 1 or np.prod([float(count) for count in counts]) > MOST_VALUES:
        raise InputError(
            f"an XPLOR map of {' x '.join(map(str, counts))} voxels; expected at most {MOST_VALUES:,}"
        )
    here += 3
    size = counts[0] * counts[1]
    height = -(-size // 6)
    array = np.empty((counts[2], counts[1], counts[0]))
    for section in range(counts[2]):
        text = lines[here + 1 : here + 1 + height]
        # Numbers of twelve characters may touch.
        values = [float(line[n : n + 12]) for line in text for n in range(0, len(line.rstrip()), 12)]
        if len(values) != size:
            raise InputError(f"section {section} of the XPLOR map has {len(values)} values; expected {size}")
        array[section] = np.reshape(values, (counts[1], counts[0]))
        here += 1 + height
    return ArrayFile("XPLOR map", np.ascontiguousarray(array.T), notes=("the cell in the file is not used",))
