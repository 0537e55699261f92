"""Description of a volume in words: axes, cell, layers, and what else its file says."""

import numpy as np

from dsfunet._typing import Array
from dsfunet.io import PlaneName, Volume
from dsfunet.io.cell_units import CellQuestion
from dsfunet.io.fourth_axis import describe_values
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS

Lines = list[tuple[str, str]]
"""Lines of a description, each with its label."""

_RECIPROCAL_AXES = ("a*", "b*", "c*")
_MOST_NAMES = 8


def describe_volume(volume: Volume) -> Lines:
    """Describe the axes, the cell, the layers and other information of a volume, a line each."""
    lines = [] if volume.spanned is not None else _describe_axes(volume)
    if volume.cell is None:
        asked = isinstance(volume.cell_trouble, CellQuestion)
        lines.append(("cell", volume.cell_trouble if asked else f"none: {volume.cell_trouble}"))
    else:
        lines.append(("cell", _describe_cell(volume.cell)))
        lines.append(("2 pi", "Q = 2 pi (h a* + k b* + l c*) includes the factor 2 pi"))
    if volume.spanned is None:
        lines += [("planes", text) for text in _describe_layers(volume)]
    else:
        lines.append(("planes", f"one plane spanned by two vectors: {volume.spanned}"))
    lines.append(
        ("sigma", "none in the file" if volume.read_sigma is None else "standard uncertainties in the file")
    )
    for name, values in volume.choices.items():
        held = describe_values(values)
        lines.append(("axis", f"{name}: {held}; choose one with --at {name}={values[0]:g}"))
    lines += [(name, text) for name, text in volume.details.items()]
    return lines


def _describe_axes(volume: Volume) -> Lines:
    axes = volume.axes
    kept = ", ".join(
        label for _, label in sorted(zip(axes.dimensions, AXIS_LABELS, strict=True), key=lambda pair: pair[0])
    )
    size = " x ".join(map(str, axes.counts))
    lines = [
        ("volume", f"{size} voxels along h, k, l, stored as [{kept}]; coordinates are those of voxel centres")
    ]
    for axis, label in enumerate(AXIS_LABELS):
        text = describe_range(axes.coordinates(axis))
        if volume.cell is not None:
            length = float(np.linalg.norm(volume.cell.reciprocal[axis]))
            reach = length * float(np.abs(axes.coordinates(axis)).max())
            text += (
                f"; |{_RECIPROCAL_AXES[axis]}| = {length:.4g}, so |Q| up to {reach:.3g} 1/Angstrom along it"
            )
        lines.append((f"axis {label}", text))
    return lines


def _describe_layers(volume: Volume) -> list[str]:
    """Describe the layers of a volume along each axis, and name those at integer indices."""
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
        steps = describe_range(values).partition(" (")[0]
        texts.append(f"{held}, {label} {steps}: {', '.join(names) or 'none at an integer'}")
    return texts


def describe_range(values: Array) -> str:
    """Describe evenly spaced coordinates [r.l.u.]: first, last, step and number."""
    if len(values) == 1:
        return f"= {values[0]:g} r.l.u. only"
    step = float(values[-1] - values[0]) / (len(values) - 1)
    return f"from {values[0]:g} to {values[-1]:g} in steps of {step:.6g} r.l.u. ({len(values)})"


def _describe_cell(cell: Cell) -> str:
    a, b, c, *angles = (f"{value:g}" for value in cell.parameters)
    volume = float(np.linalg.det(cell.direct))
    return f"{a} {b} {c} Angstrom, {' '.join(angles)} degrees; {volume:.4g} Angstrom^3"
