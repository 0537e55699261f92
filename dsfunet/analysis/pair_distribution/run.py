"""The three-dimensional difference pair distribution function of a file."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsfunet._typing import Array, Float32
from dsfunet.analysis.pair_distribution.grids import REAL_LABELS, GridAxis, make_axes
from dsfunet.analysis.pair_distribution.measured import Coverage, MeasuredBlocks, WindowSettings, make_window
from dsfunet.analysis.pair_distribution.settings import PairDistributionSettings, Part
from dsfunet.analysis.pair_distribution.symmetry import average_equivalents
from dsfunet.analysis.pair_distribution.transform import Report, transform_volume
from dsfunet.analysis.pair_distribution.windows import peak_shape
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors
from dsfunet.io import Volume, open_volume
from dsfunet.physics import Cell
from dsfunet.planes.names import AXIS_LABELS

_MUCH_MISSING = 0.02


@dataclass(frozen=True, eq=False)
class PairDistribution:
    """A three-dimensional difference pair distribution function.

    Attributes:
        values: P at u, v, w, with the origin in the middle; shape (n, m, l), all odd.
        axes: of the grids, along h and u, k and v, l and w.
        cell: unit cell, in whose edges u, v and w are measured.
        part: what was transformed.
        source: name of the file.
        layout: kind of file, in words.
        settings: of the transform.
        window: as it was used.
        coverage: how much of the window was measured.
        at_origin: P(0) in units of the intensity per cubic Angstrom, also where `values` are divided by it.
        notes: sentences for the user.
    """

    values: Float32
    axes: tuple[GridAxis, GridAxis, GridAxis]
    cell: Cell
    part: Part
    source: str
    layout: str
    settings: PairDistributionSettings
    window: WindowSettings
    coverage: Coverage
    at_origin: float
    notes: tuple[str, ...]

    @property
    def units(self) -> str:
        """Units of the values."""
        return "of P(0)" if self.settings.scale == "origin" else "intensity / Å^3"

    @property
    def missing(self) -> tuple[float, float]:
        """Share of the window without a measured voxel, before and after Friedel mates were used."""
        total = self.coverage.total
        return 1 - self.coverage.measured / total, 1 - self.coverage.with_mates / total

    def coordinates(self, axis: int) -> Array:
        """Return u, v or w (0, 1, 2) of the voxels [cells]."""
        return self.axes[axis].coordinates()

    def report(self) -> str:
        """Return what `dsfunet pdf` prints."""
        ranges = ", ".join(
            f"{label} -{axis.limit:g} to {axis.limit:g} in steps of {axis.step:.4g}"
            for label, axis in zip(AXIS_LABELS, self.axes, strict=True)
        )
        lines = [
            f"read       {self.source}: {self.layout}",
            f"transform  of the {_WORDS[self.part]}, {ranges} r.l.u.",
            f"window     {self.window.describe}",
        ]
        width, ripple = peak_shape(self.settings.window)
        radius = self.window.radius_inv_angstrom
        if np.isfinite(width) and np.isfinite(radius):
            lines.append(
                f"           peaks are {width / radius:.3g} Å wide (full width at half maximum) or more; its ripples"
                f" reach -{100 * ripple:.1f} % of a peak"
            )
        before, after = self.missing
        filled = f", {100 * self.coverage.filled / self.coverage.total:.2f} % filled by the product"
        lines.append(
            f"missing    {100 * before:.2f} % of the window as measured, {100 * after:.2f} % without a Friedel mate"
            + (filled if self.settings.fill == "product" else "")
        )
        for label, edge, axis in zip(REAL_LABELS, self.cell.parameters[:3], self.axes, strict=True):
            lines.append(
                f"{'voxels' if label == 'u' else '':<11}{label}: {axis.real_length} of {axis.real_step:.6g} cells"
                f" ({axis.real_step * edge:.4g} Å), -{axis.reach * axis.real_step:.5g} to"
                f" {axis.reach * axis.real_step:.5g}"
            )
        lines.append(f"origin     P(0) = {self.at_origin:.6g} intensity / Å^3; the map is in {self.units}")
        return "\n".join([*lines, *(f"           note: {note}" for note in self.notes)])


_WORDS: dict[Part, str] = {
    "input": "measured intensity",
    "form_factor": "form factor",
    "short_range_order": "short-range order",
    "product": "product",
    "residual": "residual",
}


def pair_distribution(
    path: Path | str,
    settings: PairDistributionSettings | None = None,
    part: Part = "input",
    cell: Cell | None = None,
    report: Report | None = None,
) -> PairDistribution:
    """Transform a volume into its three-dimensional difference pair distribution function (3D-dPDF).

    P(u, v, w) = (1 / V) * integral of W(Q) I(h, k, l) cos 2 pi (h u + k v + l w) dh dk dl, with the window W and the
    volume V of the unit cell. It is the autocorrelation of the difference between the density of the crystal and that
    of its average structure (Weber & Simonov, Z. Kristallogr. 227, 238 (2012)), as far as the file holds diffuse
    scattering alone. A positive peak at a vector between two atoms says that they are found at this vector more often
    than in the average structure, if their scattering lengths have the same sign.

    By Friedel's law a voxel and its mate at -Q are equal, so the mean of those measured is taken for both. Voxels that
    have neither count as no scattering, unless `settings.fill` is "product".

    Args:
        path: a volume in any HDF5 layout that `dsfunet.io.open_volume` reads, or the result of a volume.
        settings: of the transform.
        part: of a result, what to transform.
        cell: unit cell, for a file without a valid one.
        report: called with the number of planes done, and of all.

    Raises:
        InputError: the file, or the array of a result, cannot be read, is not a volume with a unit cell, or has no
            measured voxel in the window.
    """
    settings = settings or PairDistributionSettings()
    path = Path(path)
    with ExitStack() as stack:
        volume = stack.enter_context(open_volume(path, part=None if part == "input" else part))
        if settings.fill == "product" and part != "input":
            raise InputError(
                f"--fill product: it fills voxels that were not measured, but {part} is not measured; omit it"
            )
        fill = stack.enter_context(open_volume(path, part="product")) if settings.fill == "product" else None
        with name_file_in_errors(path):
            if cell is not None and volume.cell is not None:
                raise InputError("the file has a unit cell; remove --cell")
            cell = cell or volume.cell
            if cell is None:
                raise volume.make_cell_error()
            return _transform(volume, fill, cell, settings, part, path.name, report)


def _transform(
    volume: Volume,
    fill: Volume | None,
    cell: Cell,
    settings: PairDistributionSettings,
    part: Part,
    source: str,
    report: Report | None,
) -> PairDistribution:
    if fill is not None and fill.axes != volume.axes:
        raise InputError("the product has other voxels than the input; expected the same grid")
    if settings.laue is not None:
        grid, about = make_axes(volume, cell), (settings.laue, settings.unique_axis, cell)
        volume = average_equivalents(volume, grid, *about)
        fill = None if fill is None else average_equivalents(fill, grid, *about)
    axes = make_axes(volume, cell, settings.resolution, settings.extent)
    window = make_window(settings.window, settings.shape, settings.radius_inv_angstrom, axes, cell)
    # Whole planes along the slowest dimension of the file are read together.
    slow, middle, fast = sorted(axes, key=lambda axis: volume.axes.dimensions[axis.number])
    blocks = MeasuredBlocks(volume, (slow, middle, fast), window, fill)
    element = float(np.prod([axis.step for axis in axes])) / float(np.linalg.det(cell.direct))
    values = transform_volume(blocks, element, report)
    if not blocks.coverage.with_mates + blocks.coverage.filled > 0:
        raise InputError("no voxel in the window was measured; expected some, so choose a larger --radius")
    if not np.isfinite(values).all():
        raise InputError("the transform overflows; expected intensities that single precision can hold")
    at_origin = float(values[tuple(axis.reach for axis in axes)])
    if settings.scale == "origin":
        if not at_origin > 0:
            raise InputError(f"--scale origin: P(0) is {at_origin:g}; expected a positive number, so omit it")
        values /= np.float32(at_origin)
    found = PairDistribution(
        values, axes, cell, part, source, volume.layout, settings, window, blocks.coverage, at_origin, ()
    )
    notes = (*volume.notes, *_notes(found))
    return PairDistribution(
        values, axes, cell, part, source, volume.layout, settings, window, blocks.coverage, at_origin, notes
    )


def _notes(found: PairDistribution) -> Iterator[str]:
    _, missing = found.missing
    left = missing - found.coverage.filled / found.coverage.total
    if left > _MUCH_MISSING:
        yield (
            f"{100 * left:.1f} % of the window is empty, as if nothing scattered there: P is that of the complete"
            " crystal convolved with the transform of the holes, so peaks are lower and have satellites"
            + ("" if found.settings.laue else "; --laue takes equivalents where those were measured")
            + ("; --fill product takes the product of a result" if found.part == "input" else "")
        )
    if found.settings.window in ("sphere", "none"):
        yield "a window with a sharp edge surrounds every peak by ripples; a smooth one such as gauss does not"
