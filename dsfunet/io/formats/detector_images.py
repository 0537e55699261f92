"""Planes in formats of detectors, CBF and EDF, read by fabio where it is installed."""

import importlib
from pathlib import Path

import numpy as np

from dsfunet.errors import InputError
from dsfunet.io.formats.arrays import ArrayFile
from dsfunet.io.formats.damage import convert_errors


def recognises(start: bytes) -> bool:
    """Whether a file that begins with these bytes is CBF or EDF."""
    return _name(start) != ""


def _name(start: bytes) -> str:
    if start.startswith(b"###CBF"):
        return "CBF"
    header = start.lstrip()[:1] == b"{" and any(
        word in start for word in (b"EDF_", b"HeaderID", b"ByteOrder")
    )
    return "EDF" if header else ""


def read_array(path: Path) -> ArrayFile:
    """Read the picture of a file; it has no axes, and negative pixels are missing.

    Raises:
        InputError: fabio is not installed, the file is damaged, or it holds several pictures.
    """
    with path.open("rb") as stream:
        name = _name(stream.read(8192))
    try:
        fabio = importlib.import_module("fabio")
    except ImportError as error:
        raise InputError(f"a file in {name}: pip install fabio") from error
    with convert_errors(None, f"a file in {name} that cannot be read; it is truncated or damaged"):
        image = fabio.open(str(path))
        if getattr(image, "nframes", 1) > 1:
            raise InputError(f"a file in {name} with {image.nframes} pictures; expected one plane")
        return ArrayFile(name, np.asarray(image.data))
