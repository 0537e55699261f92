"""What the command line does for users: file in, components out, a picture, and a few lines on the screen."""

import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet import __version__
from dsfunet.errors import InputError
from dsfunet.exchange import save_onnx, save_torch_export
from dsfunet.factorize import Components, Factorizer
from dsfunet.io import Result, check_writable, read_plane, write_result
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.plots import draw_components, save_png
from dsfunet.preprocessing import measured_pixels
from dsfunet.product import fit_product
from dsfunet.resampling import to_network_grid, to_user_grid
from dsfunet.weights import Generators, load_generators, load_release, save_folder

Array = npt.NDArray[np.float64]

_TRAINED_Q_MAX_INV_ANGSTROM = (6.0, 8.0)
_TRAINED_MISSING = 0.55
_SUSPICIOUS_ZEROS = 0.05
_POOR_R = 0.5
_SMALLEST_BRIGHTEST, _LARGEST_BRIGHTEST = 1e-30, 1e30


def load_factorizer(weights: str, device: str | None = None, batch_size: int = 8) -> Factorizer:
    """A factorizer with the weights in the package (`release`) or with those at a path.

    Raises:
        InputError: no such weights, or the device is not there.
    """
    generators = _load_weights(weights)
    try:
        return Factorizer(generators, device, batch_size)
    except (RuntimeError, AssertionError) as error:  # torch's ways of saying that a device is not there
        raise InputError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error


def factorize_file(
    file: Path,
    output: Path,
    plane_name: str | None,
    weights: str,
    png: bool,
    device: str | None,
    use_lattice: bool = True,
) -> None:
    """Read one plane, factorise it, write the NeXus file and the picture, and say what was done.

    Raises:
        InputError: anything about the file, the plane, the weights or the output that cannot be used.
    """
    picture = _check_targets(file, output, png)
    measured = read_plane(file, plane_name)
    mask = measured_pixels(measured.intensity)
    intensity = np.where(mask, measured.intensity, np.nan)
    brightest = float(intensity[mask].max(initial=0.0))
    if brightest > 0 and not _SMALLEST_BRIGHTEST < brightest < _LARGEST_BRIGHTEST:
        raise InputError(
            f"{file}: the brightest pixel is {brightest:g}, expected between {_SMALLEST_BRIGHTEST:g} and"
            f" {_LARGEST_BRIGHTEST:g}, which 32-bit numbers can hold"
        )
    factorizer = load_factorizer(weights, device)
    start = time.perf_counter()
    try:
        shown, plane = to_network_grid(measured)
        grid = measured.grid if use_lattice else None
        lattice = LatticePlane(grid.cell, plane, grid.name.axes) if grid and plane else None
        components = factorizer(shown, lattice=lattice)
    except InputError as error:
        raise InputError(f"{file}: {str(error).removeprefix('plane number 0: ')}") from error
    seconds = time.perf_counter() - start

    form_factor = to_user_grid(components.form_factor, plane, measured.grid)
    short_range_order = to_user_grid(components.short_range_order, plane, measured.grid)
    product = fit_product(intensity, form_factor, short_range_order, mask)
    residual = intensity - product.intensity
    r_factor = float(np.nansum(np.abs(residual)) / np.nansum(intensity))
    description = factorizer.description
    lattice_mode = _lattice_in_words(components, known=lattice is not None)
    q_max = None if plane is None else float(np.linalg.norm(plane.step_u)) * plane.shape[0] / 2
    result = Result(
        input=intensity.astype(np.float32),
        form_factor=form_factor.astype(np.float32),
        short_range_order=short_range_order.astype(np.float32),
        product=product.intensity.astype(np.float32),
        residual=residual.astype(np.float32),
        mask=mask,
        grid=measured.grid,
        process={
            "program": "dsfunet",
            "version": __version__,
            "source": file.name,
            "plane": str(measured.grid.name) if measured.grid else "",
            "weights": description["name"],
            "weights_sha256": description["digest"],
            "seed": "none: dropout is off, the answer is deterministic",
            "lattice_mode": lattice_mode,
            "r_factor": r_factor,
            "scale": product.scale,
            "form_factor_floor": product.form_factor_floor,
            "short_range_order_floor": product.short_range_order_floor,
            "recipe": json.dumps(
                {
                    "asked_for_plane": plane_name,
                    "device": str(factorizer.device),
                    "network_grid_q_max_inv_angstrom": q_max,
                    "product": "scale (form_factor + form_factor_floor) (short_range_order + short_range_order_floor)",
                }
            ),
        },
    )
    write_result(output, result)
    if picture:
        save_png(draw_components(result), picture)

    print(f"read       {file}: {measured.grid.describe() if measured.grid else 'a plane without axes'}")
    for note in (*measured.notes, *_notes(intensity, 1 - np.isfinite(shown).mean(), q_max, r_factor)):
        print(f"           note: {note}")
    print(f"missing    {100 * (1 - mask.mean()):.1f} % of the plane (NaN or negative)")
    print(f"lattice    {lattice_mode}")
    print(f"weights    {description['name']} {description['digest'][:12]}")
    print(
        f"factorised in {seconds:.2f} s on {factorizer.device} ({platform.machine()}, {os.cpu_count()} cores)"
    )
    print(
        f"the product of the components leaves R = {100 * r_factor:.1f} % of the plane (sum |I - P| / sum I)"
    )
    for target in filter(None, (output, picture)):
        print(f"wrote      {target}")


def _lattice_in_words(components: Components, known: bool) -> str:
    """Whether the lattice was used, and what it makes of the plane beside the networks alone."""
    if not known:
        return "not used: the networks alone"
    [answer] = components.lattice_answers
    residuals = (
        f"wR2 {answer.residual:.3f} on the lattice, {answer.residual_of_networks:.3f} by the networks alone"
    )
    if not answer.accepted:
        return f"does not explain the plane, the networks alone are shown ({residuals})"
    assert components.of_networks is not None
    moved = [
        f"{title} by {np.sqrt(np.mean((np.sqrt(alone) - np.sqrt(shown)) ** 2)):.3f}"
        for title, alone, shown in zip(
            ("I_FF", "I_SRO"),
            components.of_networks,
            (components.form_factor, components.short_range_order),
            strict=True,
        )
    ]
    return f"used ({residuals}); it moved {' and '.join(moved)} (rms of square roots)"


def _check_targets(file: Path, output: Path, png: bool) -> Path | None:
    """Refuse to write over the measurement, or one result over the other, before any work; returns the picture."""
    check_writable(output)
    picture = output.with_suffix(".png") if png else None
    if picture:
        check_writable(picture)
    for target in filter(None, (output, picture)):
        if file.exists() and target.exists() and target.samefile(file):
            raise InputError(f"{target}: is the measurement itself; expected another name for the result")
    if picture == output:
        raise InputError(
            f"{output}: the picture goes there; expected a name such as {output.with_suffix('.nxs')}"
        )
    return picture


def _notes(intensity: Array, missing: float, q_max: float | None, r_factor: float) -> list[str]:
    """What a user should know before believing the answer."""
    notes = []
    low, high = _TRAINED_Q_MAX_INV_ANGSTROM
    if q_max is not None and not 0.9 * low < q_max < 1.1 * high:
        notes.append(
            f"the networks see out to {q_max:.1f} 1/Angstrom; they were trained on {low:g} to {high:g},"
            " so check the components with care"
        )
    if missing > _TRAINED_MISSING:
        notes.append(
            f"{100 * missing:.0f} % of the square the networks see is missing, more than the"
            f" {100 * _TRAINED_MISSING:.0f} % they were trained on"
        )
    zeros = float(np.mean(intensity[np.isfinite(intensity)] == 0))
    counts = np.array_equal(intensity, np.round(intensity), equal_nan=True)
    if zeros > _SUSPICIOUS_ZEROS and not counts:
        notes.append(
            f"{100 * zeros:.0f} % of the pixels are exactly 0 and count as measured; if they are gaps, set them to NaN"
        )
    if r_factor > _POOR_R:
        notes.append(
            "the product explains this plane badly: is it diffuse scattering alone, of one disordered site?"
        )
    return notes


def export_weights(weights: str, out: Path, file_format: str) -> None:
    """Write generators for others to use: half-precision safetensors, torch.export or ONNX, into a folder.

    Raises:
        InputError: the weights cannot be used, the format lacks its packages, or the folder cannot be written.
    """
    generators = _load_weights(weights)
    try:
        if file_format == "safetensors":
            # Rounded, they are still the weights that the card describes.
            size = save_folder(generators, out, generators.card or None)
            print(f"wrote {out}: {size / 1e6:.1f} MB of weights from {weights}")
            return
        files = save_onnx(generators, out) if file_format == "onnx" else save_torch_export(generators, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    for file in files:
        print(
            f"wrote {file.path}: {file.size / 1e6:.1f} MB, within {file.difference:.1g} of the network itself"
        )


def _load_weights(weights: str) -> Generators:
    """The weights in the package (`release`) or those at a path."""
    return load_release() if weights == "release" else load_generators(weights)
