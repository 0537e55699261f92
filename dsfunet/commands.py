"""What the command line does for users: file in, components out, a picture, and a few lines on the screen."""

import os
import platform
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.exchange import save_onnx, save_torch_export
from dsfunet.factorize import Factorizer
from dsfunet.factorize_settings import FactorizeSettings
from dsfunet.io import check_writable, read_plane, write_result
from dsfunet.separation import Separation, separate
from dsfunet.weights import Generators, load_generators, load_release, save_folder

_TRAINED_MISSING = 0.55
_SUSPICIOUS_ZEROS = 0.05
_FEW_COUNTS = 12


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


def factorize_file(file: Path, output: Path, settings: FactorizeSettings) -> Separation:
    """Read one plane, factorise it, write the NeXus file and the picture, and say what was done.

    Raises:
        InputError: anything about the file, the plane, the weights or the output that cannot be used.
    """
    picture = _check_targets(file, output, settings.png)
    [plane_name] = settings.plane_names()
    measured = read_plane(file, plane_name, settings.axes(), settings.given_cell())
    factorizer = load_factorizer(settings.weights, settings.device)
    try:
        found = separate(measured, factorizer, settings, file.name, plane_name or "")
    except InputError as error:
        raise InputError(f"{file}: {str(error).removeprefix('plane number 0: ')}") from error
    result = found.result
    write_result(output, result)
    if picture:
        from dsfunet.plots import draw_components, save_png  # a second, for those who want pictures

        save_png(draw_components(result), picture)

    print(f"read       {file}: {measured.grid.describe() if measured.grid else 'a plane without axes'}")
    for note in (*measured.notes, *notes_on(found)):
        print(f"           note: {note}")
    for sentence in found.clean_up.sentences():
        print(f"cleaned    {sentence}")
    print(f"missing    {100 * (1 - result.mask.mean()):.1f} % of the plane (NaN or negative)")
    print(f"lattice    {found.lattice}")
    print(f"weights    {result.process['weights']} {str(result.process['weights_sha256'])[:12]}")
    print(
        f"factorised in {found.seconds:.2f} s on {factorizer.device} ({platform.machine()}, {os.cpu_count()} cores)"
    )
    if result.sigma_form_factor is not None:
        print(f"sigma      {result.process['uncertainty']}")
    share = f"{100 * found.r_factor:.1f} %"
    print(f"R          the product of the components leaves {share} of the plane (sum |I - P| / sum I)")
    print(f"verdict    {found.verdict.sentence}")
    for target in filter(None, (output, picture)):
        print(f"wrote      {target}")
    return found


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


def notes_on(found: Separation) -> list[str]:
    """What a user should know before believing the answer."""
    notes = [*found.notes]
    if found.missing > _TRAINED_MISSING:
        notes.append(
            f"{100 * found.missing:.0f} % of the square the networks see is missing, more than the"
            f" {100 * _TRAINED_MISSING:.0f} % they were trained on"
        )
    intensity = found.result.input
    zeros = float(np.mean(intensity[found.result.mask] == 0))
    if zeros > _SUSPICIOUS_ZEROS and not _of_few_counts(intensity[found.result.mask]):
        notes.append(
            f"{100 * zeros:.0f} % of the pixels are exactly 0 and count as measured; if they are gaps, set them to NaN"
            " or give --mask-value 0"
        )
    return notes


def _of_few_counts(values: npt.NDArray[np.float32]) -> bool:
    """Whether these are counts so few that some are 0 by chance."""
    counts = values[values > 0]
    whole = np.array_equal(values, np.round(values))
    return whole and bool(counts.size == 0 or np.median(counts) <= _FEW_COUNTS)


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
