"""Factorising a whole volume: read, average Friedel mates, find the centring, fit, and write block by block."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.factorize.checkpoint import CentringChoice, Checkpoint, digest_voxels
from dsfunet.factorize.layer_scales import LayerScales
from dsfunet.files import check_writable
from dsfunet.io import Volume, open_volume
from dsfunet.io.volume_results import VolumeCorrelations, check_room, create_volume_result
from dsfunet.lattice.joint_fit.threads import use_one_thread
from dsfunet.lattice.volume_fit.averaging import (
    Grid,
    ReadBlock,
    add_overlap,
    average_equivalents,
    read_voxels,
    turn,
)
from dsfunet.lattice.volume_fit.centring import find_centring_of_volume
from dsfunet.lattice.volume_fit.fit import Progress, fit_volume
from dsfunet.lattice.volume_fit.result import VolumeFit
from dsfunet.lattice.volume_fit.voxels import Voxels
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, check_centring
from dsfunet.physics.symmetry import laue_rotations, symmetric_metric


@dataclass(frozen=True)
class VolumeSettings:
    """How a volume is factorised.

    Attributes:
        centring: lattice type of the sites in the conventional cell; None takes that of the file, or else finds it in
            the volume.
        laue: Laue class over which the volume is averaged before the fit; None for Friedel mates alone.
        cell: unit cell, used when the file has no valid one.
        seed: of the subset and the random draws of the fit.

    Raises:
        InputError: the centring is unknown or the seed is negative.
    """

    centring: Centring | None = None
    laue: str | None = None
    cell: Cell | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.centring is not None:
            check_centring(self.centring)
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: expected 0 or more")


@dataclass(frozen=True, eq=False)
class VolumeFactorization:
    """What factorising a volume gave.

    Attributes:
        fit: both factors and the correlations.
        shape: numbers of voxels along h, k, l of the whole grid.
        centring_from: "option", "file" or "data".
        measured_share: share of the voxels that were measured.
        r_factor: sum |I - P| / sum I over measured voxels, P the product.
        notes: sentences for the user.
        seconds: time for reading, fitting and writing.
    """

    fit: VolumeFit
    shape: tuple[int, int, int]
    centring_from: str
    measured_share: float
    r_factor: float
    notes: tuple[str, ...]
    seconds: float


@use_one_thread
def factorize_volume(
    path: Path | str,
    output: Path | str,
    settings: VolumeSettings | None = None,
    progress: Progress = lambda stage, share: None,
) -> VolumeFactorization:
    """Split a whole volume into form factor and short-range order, and write both to a NeXus file.

    Both factors come from the data and the lattice alone, in three dimensions, with one scale: no network and no
    structure is used. The correlations of the result are Warren-Cowley parameters of the crystal.

    While it runs, a checkpoint is kept beside the output, every minute and when it is interrupted. The same call then
    goes on from there; the checkpoint is removed when the result is complete.

    Args:
        path: a volume in HDF5 that `dsfunet.io.open_volume` reads.
        output: NeXus file to write; an existing one is replaced when all is done.
        settings: how the volume is factorised.
        progress: called with what is being done.

    Raises:
        InputError: the file, its cell or the output cannot be used, or as `dsfunet.lattice.volume_fit.fit.fit_volume`.
    """
    settings = settings or VolumeSettings()
    start, source, target = time.perf_counter(), Path(path), Path(output)
    check_writable(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{target}: this is the input; expected another file for the result")
    with open_volume(source, cell=settings.cell) as volume:
        cell = volume.cell
        if cell is None:
            raise volume.make_cell_error()
        check_room(target, volume.axes.counts)
        reader = _Reader(volume)
        grid = Grid.of(reader.axes)
        voxels = read_voxels(grid, reader.read, reader.read_sigma, lambda share: progress("reading", share))
        measured = float(np.count_nonzero(voxels.count)) / voxels.count.size
        if settings.laue is not None:
            symmetric_metric(cell, settings.laue)  # checks that the class suits the cell
            voxels = average_equivalents(voxels, grid, laue_rotations(settings.laue))
        voxels = add_overlap(voxels, grid)
        with Checkpoint(target, _identity(voxels, cell, settings)).kept() as checkpoint:
            choice = checkpoint.centring or _centring_of(volume, voxels, cell, settings, progress)
            checkpoint.keep_centring(choice)
            centring = cast(Centring, choice.centring)
            fit = fit_volume(
                voxels, cell, centring, seed=settings.seed, progress=progress, memory=checkpoint.memory
            )
            scales = LayerScales(grid.axes)
            r_factor = _write(target, reader, grid, fit, settings, choice.origin, measured, scales, progress)
    of_start = (checkpoint.note,) if checkpoint.note else ()
    notes = (*volume.notes, *of_start, *choice.notes, *_notes_on(grid, fit, measured), *scales.notes())
    seconds = time.perf_counter() - start
    return VolumeFactorization(fit, grid.shape, choice.origin, measured, r_factor, notes, seconds)


def _identity(voxels: Voxels, cell: Cell, settings: VolumeSettings) -> dict[str, Any]:
    """Return what a checkpoint must agree on to be used."""
    return {
        "voxels": digest_voxels(voxels),
        "cell": list(cell.parameters),
        "centring": settings.centring,
        "laue": settings.laue,
        "seed": settings.seed,
    }


class _Reader:
    """Reads layers of a volume with increasing coordinates along all axes."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        for label, count in zip("hkl", volume.axes.counts, strict=True):
            if count < 2:
                raise InputError(
                    f"the volume is one voxel thick along {label}; expected a volume, or a plane without --volume"
                )
        found = [volume.axes.coordinates(axis) for axis in range(3)]
        self._reversed = [axis[0] > axis[-1] for axis in found]
        first, second, third = (np.sort(axis) for axis in found)
        self.axes = first, second, third

    def read(self, block: slice) -> Array:
        """Read intensities, NaN where nothing was measured."""
        return self._read(self._volume.read, block)

    @property
    def read_sigma(self) -> ReadBlock | None:
        """Reads standard uncertainties likewise; None if the file has none."""
        source = self._volume.read_sigma
        return None if source is None else lambda block: self._read(source, block)

    def _read(self, source: Callable[[tuple[slice, slice, slice]], Array], block: slice) -> Array:
        count = len(self.axes[0])
        first = slice(count - block.stop, count - block.start) if self._reversed[0] else block
        values = source((first, slice(None), slice(None)))
        steps = tuple(slice(None, None, -1 if reverse else 1) for reverse in self._reversed)
        return values[steps]


def _centring_of(
    volume: Volume, voxels: Voxels, cell: Cell, settings: VolumeSettings, progress: Progress
) -> CentringChoice:
    if settings.centring is not None:
        return CentringChoice(settings.centring, "option", ())
    stated, remarks = volume.find_centring()
    if stated is not None:
        return CentringChoice(stated, "file", remarks)
    evidence = find_centring_of_volume(voxels, cell, settings.seed, progress)
    others = {each: value for each, value in evidence.criterion.items() if each != evidence.centring}
    if not others:
        return CentringChoice(evidence.centring, "data", remarks)
    second = min(others, key=lambda each: others[each])
    found = (
        f"centring {evidence.centring} explains the volume best (chi-squared"
        f" {evidence.chi_squared[evidence.centring]:.3g}; {second}: {evidence.chi_squared[second]:.3g}); --centring"
        " sets another"
    )
    return CentringChoice(evidence.centring, "data", (*remarks, found))


def _notes_on(grid: Grid, fit: VolumeFit, measured: float) -> tuple[str, ...]:
    notes = []
    if not grid.folded:
        notes.append("the grid has no voxel at -Q for each at Q, so Friedel mates were not averaged")
    if fit.chi_squared > 1.5:
        notes.append(
            f"chi-squared is {fit.chi_squared:.3g}: one lattice of sites and a smooth form factor do not explain this"
            " volume within its noise, so the correlations may be wrong by more than their uncertainties"
        )
    if measured < 0.2:
        notes.append(f"only {100 * measured:.0f} % of the volume was measured")
    return tuple(notes)


def _write(
    path: Path,
    reader: _Reader,
    grid: Grid,
    fit: VolumeFit,
    settings: VolumeSettings,
    origin: str,
    measured: float,
    scales: LayerScales,
    progress: Progress,
) -> float:
    """Write the result block by block, and add it to the scales of layers; returns the R factor."""
    kept = len(fit.covariance)
    record = {
        "centring": fit.centring,
        "centring_from": origin,
        "chi_squared": fit.chi_squared,
        "harmonics": fit.vectors.count,
        "measured_share": measured,
        "voxels": int(np.prod(grid.shape)),
        "friedel": grid.folded,
        "laue": settings.laue,
        "noise_ratio": fit.solution.state.noise.ratio,
        "noise_offset": fit.solution.state.noise.offset,
    }
    correlations = VolumeCorrelations(
        fit.cell,
        fit.centring,
        fit.vectors.vectors[:kept],
        fit.alphas[:kept],
        fit.covariance,
        fit.bias,
        record,
    )
    away = total = 0.0
    with create_volume_result(path, grid.axes, correlations, {"seed": settings.seed}) as writer:
        for block in grid.blocks():
            part, turned = grid.fitted_part(block)
            factors = fit.evaluate(part)
            values = reader.read(block).astype(np.float32)
            blocks = {
                "form_factor": factors.form_factor,
                "short_range_order": factors.short_range_order,
                "sigma_form_factor": factors.form_factor_sigma,
                "sigma_short_range_order": factors.short_range_order_sigma,
            }
            if grid.folded and block.start == grid.first and len(grid.axes[0]) % 2:
                for name in ("form_factor", "sigma_form_factor"):  # the layer h = 0 holds mates of its own
                    own = blocks[name][0]
                    blocks[name][0] = (own + own[::-1, ::-1]) / 2
            if turned:
                blocks = {name: turn(each) for name, each in blocks.items()}
            blocks["input"] = values
            blocks["product"] = blocks["form_factor"] * blocks["short_range_order"]
            blocks["residual"] = values - blocks["product"]
            mask = np.isfinite(values)
            if reader.read_sigma is None:
                mask &= values >= 0
            blocks["mask"] = mask
            writer.write(block, blocks)
            scales.add(block, values, blocks["product"], mask)
            away += float(np.sum(np.abs(blocks["residual"][mask]), dtype=np.float64))
            total += float(np.sum(values[mask], dtype=np.float64))
            progress("writing", block.stop / grid.shape[0])
    return away / total if total > 0 else float("nan")
