"""What the command line does for users: file in, components out, a picture, and a few lines on the screen."""

import os
import platform
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet import __version__
from dsfunet.errors import InputError
from dsfunet.factorize import Factorizer
from dsfunet.io import Result, check_writable, read_plane, write_result
from dsfunet.plots import draw_components, save_png
from dsfunet.preprocessing import measured_pixels
from dsfunet.resampling import to_network_grid, to_user_grid
from dsfunet.weights import load_checkpoint, save_folder

Array = npt.NDArray[np.float64]


def load_factorizer(weights: str, device: str | None = None) -> Factorizer:
    """A factorizer with the weights in the package (`release`) or with those at a path.

    Raises:
        InputError: no such weights, or the device is not there.
    """
    try:
        if weights == "release":
            return Factorizer.from_pretrained(device)
        return Factorizer.from_checkpoint(weights, device)
    except (RuntimeError, AssertionError) as error:  # torch's ways of saying that a device is not there
        raise InputError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error


def explain(
    intensity: Array, form_factor: Array, short_range_order: Array, mask: npt.NDArray[np.bool_]
) -> Array:
    """The measured plane as the components explain it, in the unit of `intensity`, everywhere on the plane.

    Both components come normalised on their own, with their minimum taken away, so the plane is
    s (F + f)(S + g) with three numbers that are fitted by linear least squares to the measured pixels, as
    weights of F S, F, S and 1 that are not negative.
    """
    from scipy.optimize import nnls

    terms = np.stack(
        [form_factor * short_range_order, form_factor, short_range_order, np.ones_like(form_factor)]
    )
    weights, _ = nnls(terms[:, mask].T, intensity[mask])
    product: Array = np.tensordot(weights, terms, axes=1)
    return product


def factorize_file(
    file: Path, output: Path, plane_name: str | None, weights: str, png: bool, device: str | None
) -> None:
    """Read one plane, factorise it, write the NeXus file and the picture, and say what was done.

    Raises:
        InputError: anything about the file, the plane, the weights or the output that cannot be used.
    """
    picture = output.with_suffix(".png")
    for target in (output, picture) if png else (output,):
        check_writable(target)
    measured = read_plane(file, plane_name)
    shown, plane = to_network_grid(measured)
    factorizer = load_factorizer(weights, device)
    start = time.perf_counter()
    try:
        components = factorizer(shown)
    except InputError as error:
        raise InputError(f"{file}: {str(error).removeprefix('plane number 0: ')}") from error
    seconds = time.perf_counter() - start

    form_factor = to_user_grid(components.form_factor, plane, measured.grid)
    short_range_order = to_user_grid(components.short_range_order, plane, measured.grid)
    mask = measured_pixels(measured.intensity)
    intensity = np.where(mask, measured.intensity, np.nan)
    product = explain(intensity, form_factor, short_range_order, mask)
    residual = intensity - product
    disagreement = float(np.nansum(np.abs(residual)) / np.nansum(intensity))
    description = factorizer.description
    result = Result(
        input=intensity.astype(np.float32),
        form_factor=form_factor.astype(np.float32),
        short_range_order=short_range_order.astype(np.float32),
        product=product.astype(np.float32),
        residual=residual.astype(np.float32),
        mask=mask,
        grid=measured.grid,
        process={
            "program": "dsfunet",
            "version": __version__,
            "source": file.name,
            "plane": plane_name or "",
            "weights": description["name"],
            "weights_sha256": description["digest"],
            "seed": 0,
            "r_factor": disagreement,
            "notes": "deterministic pass: dropout off; components normalised to [0, 1] each on its own",
        },
    )
    write_result(output, result)
    print(f"read       {file}: {measured.grid.describe() if measured.grid else 'a plane without axes'}")
    for note in measured.notes:
        print(f"           {note}")
    print(f"missing    {100 * (1 - mask.mean()):.1f} % of the plane (NaN or negative)")
    print(f"weights    {description['name']} {description['digest'][:12]}")
    print(
        f"factorised in {seconds:.2f} s on {factorizer.device} ({platform.machine()}, {os.cpu_count()} cores)"
    )
    print(
        f"product of the two components explains the plane to R = {100 * disagreement:.1f} % (sum |I - P| / sum I)"
    )
    print(f"wrote      {output}")
    if png:
        save_png(draw_components(result), picture)
        print(f"wrote      {picture}")


def export_weights(checkpoint: Path, out: Path) -> None:
    """Write a checkpoint's generators as half-precision safetensors.

    Raises:
        InputError: the checkpoint cannot be used, or the folder cannot be written.
    """
    if not checkpoint.exists():
        raise InputError(f"{checkpoint}: no such checkpoint")
    generators = load_checkpoint(checkpoint)
    try:
        size = save_folder(generators, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    print(f"wrote {out}: {size / 1e6:.1f} MB of weights from {checkpoint}")
