"""Legacy files of VTK (.vtk), ASCII or binary: structured points, rectilinear grids and structured grids."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.damage import MOST_VALUES, convert_errors
from dsfunet.io.formats.vtk_grids import VtkGrid, make_array_file

_SIGNATURE = b"# vtk DataFile"
_TYPES = {
    "float": "f4",
    "double": "f8",
    "int": "i4",
    "unsigned_int": "u4",
    "short": "i2",
    "unsigned_short": "u2",
    "char": "i1",
    "unsigned_char": "u1",
    "long": "i8",
    "unsigned_long": "u8",
    "vtktypeint64": "i8",
}
_KINDS = {"STRUCTURED_POINTS", "RECTILINEAR_GRID", "STRUCTURED_GRID"}


def recognises(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a legacy file of VTK."""
    return start.startswith(_SIGNATURE)


def read_array(path: Path) -> ArrayFile:
    """Read the first array of numbers on a grid.

    Raises:
        InputError: the file is damaged, or holds no grid or no array of single numbers.
    """
    with convert_errors(None, "a VTK file that cannot be read; it is truncated or damaged"):
        return make_array_file(_Reader(path.read_bytes()).read())


class _Reader:
    """Reads a legacy file from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0
        self._line()
        self._title = self._line()
        form = self._line().strip().upper()
        if form not in ("ASCII", "BINARY"):
            raise InputError(f"a VTK file whose third line is {form[:40]!r}; expected ASCII or BINARY")
        self._binary = form == "BINARY"

    def _line(self) -> str:
        """Return the next line that is not empty."""
        while self._place < len(self._content):
            end = self._content.find(b"\n", self._place)
            end = len(self._content) if end < 0 else end
            line = self._content[self._place : end].decode("ascii", "replace").strip()
            self._place = end + 1
            if line:
                return line
        raise InputError("a VTK file that is truncated; expected POINT_DATA with SCALARS or FIELD")

    def _values(self, count: int, kind: str) -> npt.NDArray[np.generic]:
        dtype = np.dtype(_TYPES[kind.lower()]).newbyteorder(">")
        if count < 0 or count > 3 * MOST_VALUES:
            raise InputError(f"a VTK file with {count} values; expected at most {MOST_VALUES:,}")
        if self._binary:
            size = count * dtype.itemsize
            part = self._content[self._place : self._place + size]
            self._place += size
            if len(part) < size:
                raise InputError(f"a VTK file that is truncated; {count} values need {size} bytes")
            return np.frombuffer(part, dtype)
        words: list[bytes] = []
        while len(words) < count:
            end = self._content.find(b"\n", self._place)
            end = len(self._content) if end < 0 else end
            words += self._content[self._place : end].split()
            if end + 1 > len(self._content) and len(words) < count:
                raise InputError(f"a VTK file that is truncated; it has {len(words)} of {count} values")
            self._place = end + 1
        return np.array(words[:count], dtype=np.float64)

    def read(self) -> VtkGrid:
        """Read the grid and its first array."""
        words = self._line().split()
        kind = words[1].upper()
        if words[0].upper() != "DATASET" or kind not in _KINDS:
            raise InputError(
                f"a VTK file with {' '.join(words)[:60]}; expected a structured or rectilinear grid of voxels"
            )
        counts = (0, 0, 0)
        found: dict[str, npt.NDArray[np.float64]] = {}
        while True:
            words = self._line().split()
            name = words[0].upper()
            if name == "DIMENSIONS":
                counts = (int(words[1]), int(words[2]), int(words[3]))
            elif name in ("ORIGIN", "SPACING", "ASPECT_RATIO"):
                found["SPACING" if name == "ASPECT_RATIO" else name] = np.array(words[1:4], dtype=np.float64)
            elif name.endswith("_COORDINATES") or name == "POINTS":
                values = self._values(int(words[1]) * (3 if name == "POINTS" else 1), words[2])
                found[name] = np.asarray(values, dtype=np.float64)
            elif name in ("POINT_DATA", "CELL_DATA"):
                values = self._read_data(int(words[1]))
                break
        lines = tuple(found.get(f"{axis}_COORDINATES") for axis in "XYZ")
        x, y, z = lines
        return VtkGrid(
            f"VTK {kind.lower().replace('_', ' ')}",
            counts,
            values,
            found.get("ORIGIN", np.zeros(3)),
            found.get("SPACING", np.ones(3)),
            None if x is None or y is None or z is None else (x, y, z),
            found.get("POINTS"),
            self._title,
        )

    def _read_data(self, count: int) -> npt.NDArray[np.generic]:
        while True:
            words = self._line().split()
            name = words[0].upper()
            if name == "SCALARS":
                components = int(words[3]) if len(words) > 3 else 1
                if components == 1:
                    here = self._place
                    if not self._line().upper().startswith("LOOKUP_TABLE"):
                        self._place = here
                    return self._values(count, words[2])
                raise InputError(f"a VTK file with {components} numbers for each voxel; expected one")
            if name == "FIELD":
                words = self._line().split()
                if int(words[1]) != 1:
                    raise InputError(f"a VTK file with {words[1]} numbers for each voxel; expected one")
                return self._values(count, words[3])
