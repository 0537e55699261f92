"""What a user's file is, in words and as a picture: layout, axes, cell, Q, what is missing and what is odd."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from matplotlib.figure import Figure

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import HDF5_SIGNATURE, leading_bytes
from dsfunet.inspection.oddities import oddities
from dsfunet.io import (
    MeasuredPlane,
    PlaneName,
    Result,
    Volume,
    check_writable,
    open_volume,
    parse_plane,
    read_result,
)
from dsfunet.io.formats import crysalis
from dsfunet.io.formats.images import EXPECTED, describe_layout, read_pixels
from dsfunet.io.oblique_planes import read_oblique_plane
from dsfunet.io.results import is_result
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS, AnyPlaneName, SpannedPlaneName
from dsfunet.planes.preprocessing import PIXELS, measured_pixels
from dsfunet.planes.result import TITLES
from dsfunet.plotting.plane import draw_plane
from dsfunet.plotting.result import draw_components, save_png

Lines = list[tuple[str, str]]
"""What is said, each line under a word of its own."""

_RECIPROCAL_AXES = ("a*", "b*", "c*")
_MOST_NAMES = 8
_LONGEST_RECORD = 100


@dataclass(frozen=True, eq=False)
class Inspection:
    """What there is to say about a file, and its picture, drawn when asked for."""

    lines: Lines
    draw: Callable[[], Figure]


def inspect_file(path: Path, plane: str | None = None, png: Path | None = None) -> None:
    """Print what a file is and what a plane of it looks like; with `png`, draw that plane.

    Args:
        path: any file that `read_plane` reads, or a result of dsfunet.
        plane: a plane of a volume, such as hk1 or hhl; by default one near the centre. Of a result: one of its planes,
            such as form_factor; by default all are drawn.
        png: picture to write.

    Raises:
        InputError: the file is missing, damaged or not understood, holds no such plane, or no picture can be written.
    """
    if png is not None:
        check_writable(png)
        if png.exists() and path.exists() and png.samefile(path):
            raise InputError(f"{png}: is the file that is looked at; expected another name for the picture")
    found = inspect(path, plane)
    for label, text in found.lines:
        print(f"{label:<11}{text}")
    if png is not None:
        save_png(found.draw(), png)
        print(f"{'wrote':<11}{png}")


def inspect(path: Path, plane: str | None = None) -> Inspection:
    """What `inspect_file` prints and draws. Of a volume one plane is read and nothing else.

    Raises:
        InputError: the file is missing, damaged or not understood, or holds no such plane.
    """
    with np.errstate(all="ignore"):  # of numbers that are told as they are, however large
        return _inspect(path, plane)


def _inspect(path: Path, plane: str | None) -> Inspection:
    start = leading_bytes(path)
    size = f"{path.stat().st_size / 1e6:.3g} MB"
    named = parse_plane(plane) if plane is not None and start.startswith(crysalis.SIGNATURE) else None
    picture = read_pixels(path, start, named)
    if picture is not None:
        if picture.grid is None and plane is not None:
            raise InputError(f"{path}: is a plane without axes, so plane {plane!r} means nothing in it")
        lines = [("file", f"{path}: {describe_layout(start)}, {size}")]
        return _inspect_plane(path, lines, picture)
    if not (start.startswith(HDF5_SIGNATURE) or h5py.is_hdf5(path)):
        raise InputError(
            f"{path}: begins with {start[:8]!r}, expected a .npy plane or an HDF5 volume, or {EXPECTED}"
        )
    if is_result(path):
        return _inspect_result(path, read_result(path), plane, size)
    with open_volume(path) as volume:
        lines = [("file", f"{path}: {volume.layout}, {size}"), *_of_volume(volume)]
        name = parse_plane(plane) if plane is not None else _central(volume)
        measured, axes = _read(volume, name)
    return _inspect_plane(path, lines, measured, axes)


def _inspect_plane(
    path: Path, lines: Lines, measured: MeasuredPlane, axes: tuple[PlaneName, Array, Array] | None = None
) -> Inspection:
    """Of one plane; `axes` are those of a volume without a cell."""
    grid = measured.grid
    name = f"plane {grid.name.title}" if grid else f"plane {axes[0]}" if axes else "plane"
    if grid is not None:
        lines = [*lines, ("plane", grid.describe()), ("Q", _q_range(grid.plane.q_squared(), measured))]
    elif axes is not None:
        labels, (rows, columns) = axes[0].labels, axes[1:]
        ranges = [
            f"{of} {label} {_range(values)}"
            for of, label, values in zip(("rows", "columns"), labels, (rows, columns), strict=True)
        ]
        lines = [*lines, ("plane", f"{name}: {', '.join(ranges)}; no cell, so no Q")]
    else:
        n, m = measured.intensity.shape
        needs = (
            ""
            if (n, m) == (PIXELS, PIXELS)
            else f"; other than {PIXELS} x {PIXELS} pixels need axes from options"
        )
        lines = [*lines, ("plane", f"{n} rows and {m} columns, without axes or cell{needs}")]
    lines = [*lines, *_of_intensity(measured, axes)]
    lines += [("note", note) for note in measured.notes]
    lines += [("odd", oddity) for oddity in oddities(measured)]
    return Inspection(lines, lambda: draw_plane(measured, f"{path.name}: {name}", axes))


def _of_volume(volume: Volume) -> Lines:
    axes = volume.axes
    kept = ", ".join(
        label for _, label in sorted(zip(axes.dimensions, AXIS_LABELS, strict=True), key=lambda pair: pair[0])
    )
    size = " x ".join(map(str, axes.counts))
    lines = [
        ("volume", f"{size} voxels along h, k, l, kept as [{kept}]; coordinates of voxel centres in r.l.u.")
    ]
    for axis, label in enumerate(AXIS_LABELS):
        text = _range(axes.coordinates(axis))
        if volume.cell is not None:
            length = float(np.linalg.norm(volume.cell.reciprocal[axis]))
            reach = length * float(np.abs(axes.coordinates(axis)).max())
            text += f"; |{_RECIPROCAL_AXES[axis]}| = {length:.4g}, so out to {reach:.3g} 1/Angstrom along it"
        lines.append((f"axis {label}", text))
    if volume.cell is None:
        lines.append(("cell", f"none: {volume.cell_trouble}"))
    else:
        lines += [("cell", _cell(volume.cell)), ("2 pi", "Q = 2 pi (h a* + k b* + l c*): the 2 pi is in Q")]
    lines += [("planes", text) for text in _layers(volume)]
    lines.append(
        ("sigma", "none in the file" if volume.read_sigma is None else "standard uncertainties beside them")
    )
    lines += [(name, text) for name, text in volume.details.items()]
    return lines


def _layers(volume: Volume) -> list[str]:
    """The planes of a volume along each axis, integer ones by name."""
    axes, texts = volume.axes, []
    for axis in (2, 1, 0):
        first, second = (other for other in range(3) if other != axis)
        if min(axes.counts[first], axes.counts[second]) < 2:
            continue
        values = axes.coordinates(axis)
        whole = np.round(values)
        integer = whole[np.abs(values - whole) <= 1e-3 * abs(axes.steps[axis]) + 1e-6]
        few = [*integer] if len(integer) <= _MOST_NAMES else [*integer[: _MOST_NAMES - 1], integer[-1]]
        names = [str(PlaneName((first, second), float(value))) for value in few]
        if len(names) < len(integer):
            names.insert(-1, "...")
        label, held = AXIS_LABELS[axis], f"{len(values)} layers" if len(values) > 1 else "a single layer"
        steps = _range(values).partition(" (")[0]
        texts.append(f"{held}, {label} {steps}: {', '.join(names) or 'none of a whole number'}")
    return texts


def _central(volume: Volume) -> PlaneName:
    """A plane through the middle of reciprocal space, or the only one there is."""
    axes = volume.axes
    for axis in (2, 1, 0):
        first, second = (other for other in range(3) if other != axis)
        if min(axes.counts[first], axes.counts[second]) > 1:
            values = axes.coordinates(axis)
            nearest = float(values[np.abs(values).argmin()])
            return PlaneName((first, second), round(nearest, 6))
    raise InputError("volume of a mere line of voxels: expected a plane or a volume")


def _read(
    volume: Volume, wanted: AnyPlaneName
) -> tuple[MeasuredPlane, tuple[PlaneName, Array, Array] | None]:
    """A plane; without a cell also its axes, which then are no grid."""
    if isinstance(wanted, SpannedPlaneName):
        return read_oblique_plane(volume, wanted), None
    if volume.cell is not None:
        return volume.read_plane(wanted), None
    axes = volume.axes
    index, offset = axes.find_layer(wanted)
    parts = [slice(0, count) for count in axes.counts]
    parts[wanted.fixed_axis] = slice(index, index + 1)
    first, second = wanted.axes
    intensity = volume.read((parts[0], parts[1], parts[2])).reshape(axes.counts[first], axes.counts[second])
    found = PlaneName(wanted.axes, offset)
    return MeasuredPlane(intensity, notes=volume.notes), (
        found,
        axes.coordinates(first),
        axes.coordinates(second),
    )


def _of_intensity(measured: MeasuredPlane, axes: tuple[PlaneName, Array, Array] | None) -> Lines:
    intensity = measured.intensity
    mask = measured_pixels(intensity)
    missing = f"{100 * (1 - mask.mean()):.1f} % of the pixels"
    parts = [
        f"{share} {what}"
        for share, what in (
            (np.count_nonzero(np.isnan(intensity)), "NaN"),
            (np.count_nonzero(np.isinf(intensity)), "infinite"),
            (np.count_nonzero(intensity < 0) - np.count_nonzero(np.isneginf(intensity)), "negative"),
        )
        if share
    ]
    lines = [("missing", missing + (f" ({', '.join(parts)})" if parts else ""))]
    if not mask.any():
        return lines
    shown = np.where(mask, intensity, -1.0)
    i, j = (int(index) for index in np.unravel_index(int(shown.argmax()), shown.shape))
    middle = float(np.median(intensity[mask]))
    where = _place(measured, axes, i, j)
    return [
        *lines,
        ("brightest", f"{intensity[i, j]:.6g} at {where}; half of the pixels are below {middle:.4g}"),
    ]


def _place(measured: MeasuredPlane, axes: tuple[PlaneName, Array, Array] | None, i: int, j: int) -> str:
    if measured.grid is not None:
        q = measured.grid.plane
        vector = q.origin + q.index_u[i] * q.step_u + q.index_v[j] * q.step_v
        hkl = vector @ measured.grid.cell.direct.T / (2 * np.pi) + 0.0
        return "h k l = " + " ".join(f"{np.round(value, 3) + 0.0:g}" for value in hkl)
    if axes is not None:
        return ", ".join(
            f"{label} = {values[index]:.4g}"
            for label, values, index in zip(axes[0].labels, axes[1:], (i, j), strict=True)
        )
    return f"row {i}, column {j}"


def _inspect_result(path: Path, result: Result, plane: str | None, size: str) -> Inspection:
    process = {name: str(value) for name, value in result.process.items()}
    planes = result.planes()
    if plane is not None and plane not in planes:
        raise InputError(f"{path}: plane {plane!r}, expected one of the result's: {', '.join(planes)}")
    by = f"{process.pop('program', 'dsfunet')} {process.pop('version', '')}".strip()
    lines = [("file", f"{path}: result of {by}, {size}")]
    where = f"{process.pop('source', '') or 'a plane'}, {process.pop('plane', '')}".strip(", ")
    lines.append(("of", f"{where}, made {process.pop('date', 'at an unknown time')}"))
    digest = process.pop("weights_sha256", "")[:12]
    lines.append(("weights", f"{process.pop('weights', 'unknown')} {digest}".strip()))
    if "lattice_mode" in process:
        lines.append(("lattice", process.pop("lattice_mode")))
    if "r_factor" in process:
        r_factor = float(result.process["r_factor"])
        lines.append(("R", f"the product leaves {100 * r_factor:.1f} % of the plane (sum |I - P| / sum I)"))
        process.pop("r_factor")
    lines.append(("holds", ", ".join(planes)))
    if "verdict" in process:
        lines.append(("verdict", process.pop("verdict")))
    lines += [("record", f"{name} = {_shortened(value)}") for name, value in process.items()]
    shown = plane or "input"
    values = planes[shown].astype(np.float64)
    measured = MeasuredPlane(values, result.grid)
    of_input = _inspect_plane(path, lines, MeasuredPlane(result.input.astype(np.float64), result.grid))
    if plane is None:
        return Inspection(of_input.lines, lambda: draw_components(result))
    title = f"{path.name}: {TITLES[shown]}"
    return Inspection(of_input.lines, lambda: draw_plane(measured, title, None, signed=shown == "residual"))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_RECORD else f"{text[:_LONGEST_RECORD]}..."


def _q_range(q_squared: Array, measured: MeasuredPlane) -> str:
    """From where to where, over all pixels and over the measured ones."""
    lengths = np.sqrt(q_squared)
    text = f"|Q| from {lengths.min():.3g} to {lengths.max():.3g} 1/Angstrom"
    mask = measured_pixels(measured.intensity)
    if mask.any() and not mask.all():
        text += f", measured from {lengths[mask].min():.3g} to {lengths[mask].max():.3g}"
    return text


def _range(values: Array) -> str:
    if len(values) == 1:
        return f"= {values[0]:g} r.l.u. alone"
    step = float(values[-1] - values[0]) / (len(values) - 1)
    return f"from {values[0]:g} to {values[-1]:g} in steps of {step:.6g} r.l.u. ({len(values)})"


def _cell(cell: Cell) -> str:
    a, b, c, *angles = (f"{value:g}" for value in cell.parameters)
    volume = float(np.linalg.det(cell.direct))
    return f"{a} {b} {c} Angstrom, {' '.join(angles)} degrees; {volume:.4g} Angstrom^3"
