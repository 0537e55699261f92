"""Small valid files of every layout that can be read, and ways to damage their bytes and structure, by seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from dsfunet.io import PlaneGrid, write_result
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane
from tests.dsfunet.crysalis_files import packed, unpacked, write_layer
from tests.dsfunet.io.formats.test_arrays import save
from tests.dsfunet.io.formats.test_maps import ccp4, xplor
from tests.dsfunet.io.formats.test_neighbours import OBLIQUE, RIGHT, rmcprofile, scatty_in_q
from tests.dsfunet.io.formats.test_nxdata import result, simple
from tests.dsfunet.io.formats.test_text_tables import nipl, write_list
from tests.dsfunet.io.formats.test_vtk import legacy
from tests.dsfunet.io.test_hdf5 import ATTRIBUTES, HOSTILE, WRITERS, everything
from tests.dsfunet.marked_volume import CELL, H, K, L, edges, volume

Random = np.random.Generator
Write = Callable[[Path], Path]


def _old_nexus(path: Path) -> Path:
    """An NXdata whose axes are edges, downwards too, with weights, errors and a mask."""
    with simple(path, volume()[::-1], {"h": edges(H)[::-1], "k": K, "l": L}) as file:
        group = file["e/d"]
        group["data_weights"] = np.full(volume().shape, 2.0)
        group["data_errors"] = np.ones(volume().shape)
        group["data_mask"] = np.zeros(volume().shape, bool)
    return path


def _result(name: str | None) -> Write:
    def write(path: Path) -> Path:
        grid = None
        if name is not None:
            grid = PlaneGrid(Cell(*CELL), parse_plane(name), np.linspace(-3, 3, 30), np.linspace(2, -2, 21))
        write_result(path, result((256, 256) if grid is None else grid.shape, grid), date="2026-01-02")
        return path

    return write


def _plane(dtype: str) -> np.ndarray:
    x = np.linspace(-4, 4, 256)
    return (100 * np.exp(-np.add.outer(x**2, x**2) / 9) * (1.5 + np.cos(2 * np.pi * x))).astype(dtype)


def _picture(dtype: str, **options: Any) -> Write:
    def write(path: Path) -> Path:
        Image.fromarray(_plane(dtype)).save(path, **options)
        return path

    return write


def _npy(path: Path) -> Path:
    with path.open("wb") as stream:  # np.save would add an ending
        np.save(stream, _plane("f2"))
    return path


def _npz(path: Path) -> Path:
    with path.open("wb") as stream:
        np.savez_compressed(stream, plane=_plane("u1"), h=np.arange(256))
    return path


def _layer(packing: Any) -> Write:
    counts = np.random.default_rng(3).integers(-1, 40000, (40, 60)) // 300
    return lambda path: write_layer(path, counts, Cell(6, 7, 8), packing=packing)


HDF5: dict[str, Write] = {
    **WRITERS,
    "nxdata": _old_nexus,
    "result": _result("h k 1.5"),
    "result of a spanned plane": _result("hhl"),
    "result without axes": _result(None),
}
PICTURES: dict[str, Write] = {
    "npy": _npy,
    "npz": _npz,
    "tiff": _picture("u2", format="TIFF"),
    "tiff, deflate": _picture("u1", format="TIFF", compression="tiff_adobe_deflate"),
    "png": _picture("u2", format="PNG"),
    "crysalis": _layer(packed),
    "crysalis, not packed": _layer(unpacked),
}
ARRAYS: dict[str, Write] = {
    "npz with axes": lambda path: save(
        path, {"data": volume(), "h": H, "k": K, "l": L, "cell": np.array(CELL)}, "npz"
    ),
    "matlab 5": lambda path: save(
        path, {"data": volume(), "h": H, "k": K, "l": L, "cell": np.array(CELL)}, "mat5"
    ),
    "list": lambda path: write_list(path, "h k l I\n"),
    "nipl": lambda path: nipl(path, volume()[:, :, 1] + 500),
    "vtk": lambda path: legacy(path, binary=True),
    "vtk, ascii": lambda path: legacy(path, binary=False),
    "ccp4": lambda path: ccp4(path, np.abs(volume())),
    "xplor": lambda path: xplor(path, volume() + 500),
}
IN_Q: dict[str, tuple[Write, Cell]] = {
    "scatty in Q": (scatty_in_q, RIGHT),
    "text of rmcprofile": (lambda path: rmcprofile(path, OBLIQUE, "{} 2"), OBLIQUE),
}
"""Layouts whose axes are components of Q, with the cell that the user must give."""
EVERY: dict[str, Write] = {**HDF5, **PICTURES, **ARRAYS, **{name: write for name, (write, _) in IN_Q.items()}}


def cell_for(layout: str) -> Cell | None:
    """The cell that a user gives for a layout; None where the file has it, or needs none."""
    return IN_Q[layout][1] if layout in IN_Q else None


def mangle_bytes(content: bytes, random: Random) -> bytes:
    """Damage bytes one to three times: flip bits, replace bytes, or lose, double, zero, insert or swap runs."""
    for _ in range(random.integers(1, 4)):
        content = _accident(bytearray(content), random)
    return content


def _accident(content: bytearray, random: Random) -> bytes:
    size = max(len(content), 2)
    # Half of the damage is in the headers, the other half anywhere, including the end of the file.
    end = min(size, 3000) if random.random() < 0.5 else size
    at = int(random.integers(0, end))
    length = int(random.integers(1, 64))
    other = int(random.integers(0, size))
    kind = random.integers(8)
    if kind == 0:
        for place in random.integers(0, end, random.integers(1, 20)):
            content[place % len(content)] ^= 1 << int(random.integers(8))
    elif kind == 1:
        for place in random.integers(0, end, random.integers(1, 20)):
            content[place % len(content)] = int(random.integers(256))
    elif kind == 2:
        del content[other:]
    elif kind == 3:
        del content[at : at + length]
    elif kind == 4:
        content[at:at] = random.bytes(length)
    elif kind == 5:
        content[at : at + length] = bytes([0, 255][int(random.integers(2))] for _ in range(length))
    elif kind == 6:
        content[at : at + length], content[other : other + length] = (
            content[other : other + length],
            content[at : at + length],
        )
    else:
        content[other:other] = content[at : at + length]
    return bytes(content)


def _numbers(values: np.ndarray, random: Random) -> np.ndarray:
    """Replace one or all of the numbers."""
    changed = np.array(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        odd = [
            np.nan,
            np.inf,
            -np.inf,
            0,
            -1,
            1e300,
            -1e300,
            1e-310,
            1e9,
            1e6 - 1,
            2**53,
            1e-9,
            -changed.mean(),
        ]
    value = odd[int(random.integers(len(odd)))]
    kind = random.integers(4)
    if changed.size and kind < 3:
        changed[tuple(int(random.integers(n)) for n in changed.shape)] = value
    elif kind == 3:
        changed[...] = value
    return changed


def _retyped(values: np.ndarray, random: Random) -> np.ndarray:
    types = ["i1", "u1", ">u2", "<i8", "u8", ">f2", "f2", ">f4", "g", "?", "c16", "S8"]
    with np.errstate(all="ignore"):
        return values.astype(types[int(random.integers(len(types)))])


def _reshaped(values: np.ndarray, random: Random) -> np.ndarray:
    kind = random.integers(7)
    if kind == 0:
        return values.ravel()
    if kind == 1:
        return values[..., None]
    if kind == 2:
        return values.T
    if kind == 3:
        return values[:-1] if values.ndim else values
    if kind == 4:
        return np.repeat(values, 2, axis=0) if values.ndim else np.array([values, values])
    if kind == 5:
        return values[:1] if values.ndim else values
    return values[::-1] if values.ndim else values


def mangle_structure(path: Path, random: Random) -> None:
    """Change, move or delete one to three members or attributes of an HDF5 file: type, shape or value."""
    for _ in range(random.integers(1, 4)):
        _mangle_once(path, random)


def _mangle_once(path: Path, random: Random) -> None:
    paths, attributes = everything(path)
    if not paths:
        return
    name = paths[int(random.integers(len(paths)))]
    kind = random.integers(10)
    with h5py.File(path, "a") as file:
        thing = file[name]
        if kind < 6 and isinstance(thing, h5py.Dataset) and thing.dtype.kind in "iufb":
            if thing.shape is None or thing.size > 10**6:
                return
            values = np.asarray(thing[()])
            kept = dict(thing.attrs)
            change = (_numbers, _numbers, _numbers, _retyped, _reshaped, _reshaped)[kind]
            changed = change(values, random)
            del file[name]
            file[name] = changed
            file[name].attrs.update(kept)
        elif kind < 8 and attributes:
            where, label = attributes[int(random.integers(len(attributes)))]
            value = ATTRIBUTES[int(random.integers(len(ATTRIBUTES)))]
            file[where].attrs[label] = value
        elif kind == 8:
            del file[name]
            list(HOSTILE.values())[int(random.integers(len(HOSTILE)))](file, name)
        else:
            other = paths[int(random.integers(len(paths)))]
            if not other.startswith(name) and not name.startswith(other):
                del file[other]
                file[other] = thing if random.random() < 0.5 else h5py.SoftLink(f"/{name}")


def mangled(content: bytes, hdf5: bool, path: Path, random: Random) -> None:
    """Write a damaged copy of a file: of HDF5 files the structure in three cases of five, else the bytes."""
    if hdf5 and random.random() < 0.6:
        path.write_bytes(content)
        mangle_structure(path, random)
    else:
        path.write_bytes(mangle_bytes(content, random))


def in_memory(write: Write, folder: Path) -> bytes:
    """Return the bytes of the file that a writer writes."""
    path = folder / "original"
    write(path)
    content = path.read_bytes()
    path.unlink()
    return content
