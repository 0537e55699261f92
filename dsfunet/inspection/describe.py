"""Description of a file in words and as a picture: layout, axes, cell, Q, missing pixels, suspicious values."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import leading_bytes
from dsfunet.inspection.describe_volume import Lines, describe_range, describe_volume
from dsfunet.inspection.describe_volume_result import describe_volume_record
from dsfunet.inspection.suspicious import find_suspicious_values
from dsfunet.io import (
    MeasuredPlane,
    PlaneName,
    ReadOptions,
    Result,
    Volume,
    check_writable,
    open_volume,
    parse_plane,
    read_result,
)
from dsfunet.io.formats import crysalis, simulated_stores
from dsfunet.io.formats.images import describe_layout, read_pixels
from dsfunet.io.fourth_axis import ANY
from dsfunet.io.gap_marks import clear_gaps_of_plane
from dsfunet.io.oblique_planes import read_from_volume
from dsfunet.io.open_volumes import is_hdf5
from dsfunet.io.results import is_result
from dsfunet.io.scales import read_on_scale
from dsfunet.io.side_files import complete_options
from dsfunet.io.space_groups import centring_of_record
from dsfunet.io.volume_results import VOLUMES, is_volume_result
from dsfunet.physics import Cell
from dsfunet.planes.names import AnyPlaneName, SpannedPlaneName
from dsfunet.planes.preprocessing import PIXELS, measured_pixels
from dsfunet.planes.result import TITLES
from dsfunet.plotting.plane import draw_plane
from dsfunet.plotting.result import draw_components, save_png

_LONGEST_RECORD = 100


@dataclass(frozen=True, eq=False)
class Inspection:
    """Description of a file, and a function that draws its picture."""

    lines: Lines
    draw: Callable[[], Figure]


def inspect_file(
    path: Path,
    plane: str | None = None,
    png: Path | None = None,
    options: ReadOptions | None = None,
    cell: Cell | None = None,
    part: str | None = None,
) -> None:
    """Print a description of a file and of one plane in it; with `png`, draw that plane.

    Args:
        path: any file that `read_plane` reads, or a result of dsfunet.
        plane: plane of a volume, such as hk1 or hhl; by default one near the centre. For a result, one of its planes,
            such as form_factor; by default all are drawn.
        png: picture to write.
        options: what the user says about the file, such as the scale of its numbers.
        cell: unit cell, used when the file has no valid one.
        part: of the result of a volume, the array to describe, such as form_factor; the measured one by default.

    Raises:
        InputError: the file is missing, damaged or of an unknown kind, does not hold the plane, or the picture cannot
            be written.
    """
    if png is not None:
        check_writable(png)
        if png.exists() and path.exists() and png.samefile(path):
            raise InputError(f"{png}: this is the inspected file; give another name for the picture")
    found = inspect(path, plane, options, cell, part)
    for label, text in found.lines:
        print(f"{label:<11}{text}")
    if png is not None:
        save_png(found.draw(), png)
        print(f"{'wrote':<11}{png}")


def inspect(
    path: Path,
    plane: str | None = None,
    options: ReadOptions | None = None,
    cell: Cell | None = None,
    part: str | None = None,
) -> Inspection:
    """Describe a file as `inspect_file` prints it. Only one plane of a volume is read.

    Raises:
        InputError: the file is missing, damaged or of an unknown kind, or does not hold the plane.
    """
    with np.errstate(all="ignore"):  # numbers are printed as they are, however large
        return _inspect(path, plane, options or ReadOptions(), cell, part)


def _inspect(
    path: Path, plane: str | None, options: ReadOptions, cell: Cell | None, part: str | None
) -> Inspection:
    if simulated_stores.recognises(path):
        return _inspect_store(path, replace(options, at=options.at or ANY))
    start = leading_bytes(path)
    size = f"{path.stat().st_size / 1e6:.3g} MB"
    named = parse_plane(plane) if plane is not None and start.startswith(crysalis.SIGNATURE) else None
    options, cell = complete_options(path, options, cell)
    options = options if options.at is not None else replace(options, at=ANY)
    picture = None if options.array_axes is not None else read_pixels(path, start, named)
    if picture is not None:
        if picture.grid is None and plane is not None:
            raise InputError(
                f"{path}: the file is a plane without axes; remove --plane {plane!r}, or give its axes with"
                ' --array-axes, such as "h -6 6, k -6 6, l 0", and --cell'
            )
        lines = [("file", f"{path}: {describe_layout(start)}, {size}")]
        return _inspect_plane(path, lines, picture, options)
    of_volume = is_hdf5(path, start) and is_volume_result(path)
    if is_hdf5(path, start) and is_result(path) and not of_volume:
        return _inspect_result(path, read_result(path), plane if part is None else part, size)
    if of_volume and part is None and plane in VOLUMES:
        plane, part = None, plane
    if part is not None and not of_volume:
        raise InputError(f"{path}: --of {part} is for results of dsfunet; remove it")
    name = None if plane is None else parse_plane(plane)
    with open_volume(path, options, cell, name, part=(part or "input") if of_volume else None) as volume:
        lines = [("file", f"{path}: {volume.layout}, {size}"), *describe_volume(volume)]
        measured, axes = _read_plane(volume, name)
    if of_volume:
        lines += describe_volume_record(path)
    return _inspect_plane(path, lines, measured, replace(options, scale="auto"), axes)


def _inspect_store(path: Path, options: ReadOptions) -> Inspection:
    """Describe a store of simulated planes, and one of them."""
    measured = simulated_stores.read_plane_of_store(path, options.at)
    last = simulated_stores.count_planes(path) - 1
    lines = [
        ("file", f"{path}: store of simulated planes (Zarr v3)"),
        ("axis", f"plane: 0 to {last}; choose one with --at plane={last}"),
    ]
    return _inspect_plane(path, lines, measured, replace(options, scale="linear"))


def _inspect_plane(
    path: Path,
    lines: Lines,
    measured: MeasuredPlane,
    options: ReadOptions,
    axes: tuple[PlaneName, Array, Array] | None = None,
) -> Inspection:
    """Describe one plane; `axes` are those of a volume without a cell."""
    measured = read_on_scale(clear_gaps_of_plane(measured), options.scale)
    grid = measured.grid
    name = f"plane {grid.name.title}" if grid else f"plane {axes[0]}" if axes else "plane"
    if grid is not None:
        lines = [*lines, ("plane", grid.describe()), ("Q", _describe_q(grid.plane.q_squared(), measured))]
    elif axes is not None:
        labels, (rows, columns) = axes[0].labels, axes[1:]
        ranges = [
            f"{of} {label} {describe_range(values)}"
            for of, label, values in zip(("rows", "columns"), labels, (rows, columns), strict=True)
        ]
        lines = [*lines, ("plane", f"{name}: {', '.join(ranges)}; Q is unknown without a cell")]
    else:
        n, m = measured.intensity.shape
        needs = (
            ""
            if (n, m) == (PIXELS, PIXELS)
            else f"; a plane of other than {PIXELS} x {PIXELS} pixels needs axes from options"
        )
        lines = [*lines, ("plane", f"{n} rows and {m} columns, no axes and no cell{needs}")]
    if measured.centring is not None:
        lines = [*lines, ("centring", f"{measured.centring}, as the file states")]
    lines = [*lines, *_describe_intensity(measured, axes)]
    lines += [("note", note) for note in measured.notes]
    lines += [("check", sentence) for sentence in find_suspicious_values(measured)]
    return Inspection(lines, lambda: draw_plane(measured, f"{path.name}: {name}", axes))


def _choose_central_plane(volume: Volume) -> PlaneName:
    """Return the plane nearest to the origin of reciprocal space."""
    axes = volume.axes
    for axis in (2, 1, 0):
        first, second = (other for other in range(3) if other != axis)
        if min(axes.counts[first], axes.counts[second]) > 1:
            values = axes.coordinates(axis)
            nearest = float(values[np.abs(values).argmin()])
            return PlaneName((first, second), round(nearest, 6))
    raise InputError("the volume is a single line of voxels; expected a plane or a volume")


def _read_plane(
    volume: Volume, wanted: AnyPlaneName | None
) -> tuple[MeasuredPlane, tuple[PlaneName, Array, Array] | None]:
    """Read a plane; without a cell, also its name and the coordinates of its rows and columns."""
    if volume.spanned is not None or isinstance(wanted, SpannedPlaneName):
        return read_from_volume(volume, wanted), None
    wanted = wanted or _choose_central_plane(volume)
    if volume.cell is not None:
        return volume.read_plane(wanted), None
    layers = volume.axes.find_neighbours(wanted)
    if len(layers) == 1:
        wanted = PlaneName(wanted.axes, volume.axes.find_layer(wanted)[1])
    intensity, _ = volume.read_layers(wanted, layers)
    centring, remarks = volume.find_centring()
    notes = (*volume.notes, *volume.remarks(), *remarks)
    rows, columns = (volume.axes.coordinates(axis) for axis in wanted.axes)
    return MeasuredPlane(intensity, notes=notes, centring=centring), (wanted, rows, columns)


def _describe_intensity(measured: MeasuredPlane, axes: tuple[PlaneName, Array, Array] | None) -> Lines:
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
    where = _describe_position(measured, axes, i, j)
    return [
        *lines,
        ("brightest", f"{intensity[i, j]:.6g} at {where}; the median is {middle:.4g}"),
    ]


def _describe_position(
    measured: MeasuredPlane, axes: tuple[PlaneName, Array, Array] | None, i: int, j: int
) -> str:
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
        raise InputError(f"{path}: the result has no plane {plane!r}; expected one of {', '.join(planes)}")
    by = f"{process.pop('program', 'dsfunet')} {process.pop('version', '')}".strip()
    lines = [("file", f"{path}: result of {by}, {size}")]
    where = f"{process.pop('source', '') or 'a plane'}, {process.pop('plane', '')}".strip(", ")
    lines.append(("made from", f"{where}, {process.pop('date', 'at an unknown time')}"))
    digest = process.pop("weights_sha256", "")[:12]
    lines.append(("weights", f"{process.pop('weights', 'unknown')} {digest}".strip()))
    if "lattice_mode" in process:
        lines.append(("lattice", process.pop("lattice_mode")))
    if "r_factor" in process:
        r_factor = float(result.process["r_factor"])
        lines.append(
            ("R", f"the product leaves {100 * r_factor:.1f} % of the plane unexplained (sum |I - P| / sum I)")
        )
        process.pop("r_factor")
    lines.append(("holds", ", ".join(planes)))
    if "verdict" in process:
        lines.append(("verdict", process.pop("verdict")))
    lines += [("record", f"{name} = {_shortened(value)}") for name, value in process.items()]
    shown = plane or "input"
    values = planes[shown].astype(np.float64)
    measured = MeasuredPlane(values, result.grid)
    recorded = centring_of_record(result.process)
    of_input = _inspect_plane(
        path,
        lines,
        MeasuredPlane(result.input.astype(np.float64), result.grid, centring=recorded),
        ReadOptions(scale="linear"),
    )
    if plane is None:
        return Inspection(of_input.lines, lambda: draw_components(result))
    title = f"{path.name}: {TITLES[shown]}"
    return Inspection(of_input.lines, lambda: draw_plane(measured, title, None, signed=shown == "residual"))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_RECORD else f"{text[:_LONGEST_RECORD]}..."


def _describe_q(q_squared: Array, measured: MeasuredPlane) -> str:
    """Describe the range of |Q| of all pixels, and of the measured ones."""
    lengths = np.sqrt(q_squared)
    text = f"|Q| from {lengths.min():.3g} to {lengths.max():.3g} 1/Angstrom"
    mask = measured_pixels(measured.intensity)
    if mask.any() and not mask.all():
        text += f", measured from {lengths[mask].min():.3g} to {lengths[mask].max():.3g}"
    return text
