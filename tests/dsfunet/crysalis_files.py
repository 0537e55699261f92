"""Writes layers in the format of CrysAlisPro, from the fields of its header that are known."""

import struct
from pathlib import Path

import numpy as np

from dsfunet.physics import Cell

# A rotation unrelated to any crystal axis, because UB is never aligned with anything.
TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])


def unpacked(counts: np.ndarray) -> tuple[str, bytes, int, int]:
    return "NO", counts.astype("<i4").tobytes(), 0, 0


def packed(counts: np.ndarray) -> tuple[str, bytes, int, int]:
    """Pack pixels as TY1: one byte for each difference; 254 and 255 mark differences stored in two or four bytes."""
    codes, shorts, longs, last = bytearray(), bytearray(), bytearray(), 0
    for value in counts.ravel().tolist():
        step, last = value - last, value
        if -127 <= step < 127:
            codes.append(step + 127)
        elif -32768 <= step < 32768:
            codes.append(254)
            shorts += struct.pack("<h", step)
        else:
            codes.append(255)
            longs += struct.pack("<i", step)
    return "TY1", bytes(codes + shorts + longs), len(shorts) // 2, len(longs) // 4


def write_layer(
    path: Path,
    counts: np.ndarray,
    cell: Cell,
    centre: tuple[float, float, float] = (0.0, 0.0, 1.0),
    x_axis: tuple[float, float, float] = (1.0, 0.0, 0.0),
    y_axis: tuple[float, float, float] = (0.0, 1.0, 0.0),
    d_min: float = 0.8,
    wavelength: float = 0.71073,
    packing=packed,
) -> Path:
    """Write a layer of counts (NY, NX), with a detector type that fabio does not know."""
    method, pixels, shorts, longs = packing(counts)
    height, width = counts.shape
    lines = [
        "OD SAPPHIRE  4.0",
        f"COMPRESSION={method:>3} ({25.0:5.1f})",
        f"NX={width:4d} NY={height:4d} OI={shorts:7d} OL={longs:7d} ",
        f"NHEADER={5120:7d} NG={512:7d} NS={768:7d} NK={1024:7d} NS={512:7d} NH={2048:7d}",
        f"NSUPPLEMENT={0:7d}",
        "TIME=Tue Mar 12 11:12:13 2024",
    ]
    header = bytearray("\r\n".join(lines).encode().ljust(256).ljust(5120, b"\0"))
    struct.pack_into("<HH", header, 278, width, height)
    struct.pack_into("<hh", header, 772, width, height)
    struct.pack_into("<3d", header, 864, *centre)
    struct.pack_into("<3d", header, 896, *x_axis)
    struct.pack_into("<3d", header, 928, *y_axis)
    struct.pack_into("<d", header, 1024, d_min)
    struct.pack_into("<i", header, 768 + 548, 12)
    struct.pack_into("<d", header, 2104, wavelength)
    orientation = TURN @ cell.reciprocal.T / (2 * np.pi) * wavelength
    struct.pack_into("<9d", header, 2256, *orientation.ravel())
    path.write_bytes(bytes(header) + pixels)
    return path
