"""XML files of VTK: image data (.vti), rectilinear grids (.vtr) and structured grids (.vts), of one piece.

Arrays are ASCII, base64 or appended at the end of the file, raw or in base64, plain or compressed with zlib.
"""

import base64
import re
import zlib
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.damage import MOST_COMPRESSED, convert_errors
from dsfunet.io.formats.vtk_grids import VtkGrid, make_array_file

_TYPES = {
    **{f"Int{bits}": f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": f"u{bits // 8}" for bits in (8, 16, 32, 64)},
    "Float32": "f4",
    "Float64": "f8",
}
_KINDS = {
    "ImageData": "image data (.vti)",
    "RectilinearGrid": "rectilinear grid (.vtr)",
    "StructuredGrid": "grid (.vts)",
}
_APPENDED = re.compile(rb"<AppendedData[^>]*>\s*_")


def recognises(start: bytes) -> bool:
    """Whether a file that begins with these bytes is an XML file of VTK."""
    return b"<VTKFile" in start


def read_array(path: Path) -> ArrayFile:
    """Read the first array of single numbers, or the one that the file marks as its scalars.

    Raises:
        InputError: the file is damaged, has several pieces, or holds no such grid.
    """
    with convert_errors(None, "a VTK file that cannot be read; it is truncated or damaged"):
        return make_array_file(_Reader(path.read_bytes()).read())


class _Reader:
    """Reads the arrays of one XML file."""

    def __init__(self, content: bytes) -> None:
        appended = _APPENDED.search(content)
        self._appended, self._base64 = b"", False
        if appended is not None:
            end = content.rfind(b"</AppendedData>")
            self._appended = content[appended.end() : end if end > 0 else len(content)]
            self._base64 = b"base64" in appended.group()
            content = content[: appended.start()] + b"</VTKFile>"
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise InputError("a VTK file with definitions of XML entities; expected none")
        self._root = ElementTree.fromstring(content)
        self._order: Literal[">", "<"] = ">" if self._root.get("byte_order") == "BigEndian" else "<"
        self._header = np.dtype("u8" if self._root.get("header_type") == "UInt64" else "u4").newbyteorder(
            self._order
        )
        compressor = self._root.get("compressor", "")
        if compressor not in ("", "vtkZLibDataCompressor"):
            raise InputError(f"a VTK file compressed with {compressor}; expected zlib or none")
        self._compressed = bool(compressor)

    def read(self) -> VtkGrid:
        """Read the grid and its array."""
        kind = self._root.get("type", "")
        grid = self._root.find(kind) if kind in _KINDS else None
        if grid is None:
            raise InputError(
                f"a VTK file of {kind or 'no type'}; expected ImageData, RectilinearGrid or StructuredGrid"
            )
        pieces = grid.findall("Piece")
        if len(pieces) != 1:
            raise InputError(f"a VTK file of {len(pieces)} pieces; expected one")
        extent = [int(word) for word in pieces[0].get("Extent", grid.get("WholeExtent", "")).split()]
        counts = (extent[1] - extent[0] + 1, extent[3] - extent[2] + 1, extent[5] - extent[4] + 1)
        values = self._read_scalars(pieces[0])
        origin, spacing = (
            np.array(grid.get(name, default).split(), dtype=np.float64)
            for name, default in (("Origin", "0 0 0"), ("Spacing", "1 1 1"))
        )
        lines = [
            np.asarray(self._read(each), dtype=np.float64)
            for each in pieces[0].findall("Coordinates/DataArray")
        ]
        points = pieces[0].find("Points/DataArray")
        return VtkGrid(
            f"VTK {_KINDS[kind]}",
            counts,
            values,
            origin + spacing * np.array(extent[::2]),
            spacing,
            (lines[0], lines[1], lines[2]) if len(lines) == 3 else None,
            None if points is None else np.asarray(self._read(points), dtype=np.float64).reshape(-1, 3),
        )

    def _read_scalars(self, piece: ElementTree.Element) -> npt.NDArray[np.generic]:
        for place in ("PointData", "CellData"):
            data = piece.find(place)
            if data is None:
                continue
            arrays = [
                each for each in data.findall("DataArray") if each.get("NumberOfComponents", "1") == "1"
            ]
            arrays.sort(key=lambda each: each.get("Name") != data.get("Scalars"))
            if arrays:
                return self._read(arrays[0])
        raise InputError("a VTK file without an array of single numbers; expected the intensities")

    def _read(self, array: ElementTree.Element) -> npt.NDArray[np.generic]:
        dtype = np.dtype(_TYPES[array.get("type", "")]).newbyteorder(self._order)
        form = array.get("format", "ascii")
        if form == "ascii":
            return np.array((array.text or "").split(), dtype=np.float64)
        if form == "appended":
            content = self._appended[int(array.get("offset", "0")) :]
            return np.frombuffer(self._unpack(content, self._base64), dtype)
        return np.frombuffer(self._unpack((array.text or "").strip().encode(), True), dtype)

    def _unpack(self, content: bytes, encoded: bool) -> bytes:
        """Unpack one array from the beginning of some content."""
        size = self._header.itemsize
        if not self._compressed:
            head = _decode(content, size) if encoded else content[:size]
            length = int(np.frombuffer(head, self._header)[0])
            whole = _decode(content, size + length) if encoded else content[: size + length]
            if len(whole) < size + length:
                raise InputError(f"a VTK file that is truncated; an array needs {length} bytes")
            return whole[size:]
        blocks, width, _ = np.frombuffer(
            _decode(content, 3 * size) if encoded else content[: 3 * size], self._header
        )
        if int(blocks) * int(width) > MOST_COMPRESSED * max(len(content), 1):
            raise InputError(f"a VTK file that packs {int(blocks) * int(width)} bytes into {len(content)}")
        head_size = size * (3 + int(blocks))
        head = _decode(content, head_size) if encoded else content[:head_size]
        lengths = np.frombuffer(head, self._header)[3:].astype(int)
        total = int(lengths.sum())
        # The header is a stretch of base64 of its own.
        packed = (
            _decode(content[-(-head_size // 3) * 4 :], total)
            if encoded
            else content[head_size : head_size + total]
        )
        parts, here = [], 0
        for length in lengths:
            parts.append(zlib.decompressobj().decompress(packed[here : here + length], int(width)))
            here += length
        return b"".join(parts)


def _decode(content: bytes, size: int) -> bytes:
    return base64.b64decode(content[: -(-size // 3) * 4])[:size]
