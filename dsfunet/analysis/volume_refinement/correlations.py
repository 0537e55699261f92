"""Correlations of a whole volume, as `dsfunet factorize --volume` wrote them, and the mean of its I_SRO over zones."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors
from dsfunet.io.hdf5 import convert_hdf5_errors, open_hdf5, read_small, require_numbers
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring


@dataclass(frozen=True, eq=False)
class VolumeCorrelations:
    """Warren-Cowley parameters of a whole volume, on the scale alpha_000 = 1, before any symmetry is used.

    Attributes:
        cell: the conventional cell.
        centring: its lattice type.
        vectors: lattice vectors in the conventional cell, one of each pair r and -r, in order of length, without 0,
            shape (k, 3).
        alphas: shape (k,).
        covariance: of the alphas, shape (k, k).
        bias: first-order change of each alpha by the prior of the form factor, shape (k,); its size is a systematic
            error.
        record: of the fit: "laue", "chi_squared", "measured_share" and others.
    """

    cell: Cell
    centring: Centring
    vectors: Array
    alphas: Array
    covariance: Array
    bias: Array
    record: Mapping[str, Any]


def is_volume_result(path: Path) -> bool:
    """Whether a file is a result of a whole volume."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with open_hdf5(path) as file:
            return str(file["entry"].attrs.get("kind")) == "volume"
    except Exception:  # whoever reads the file reports the damage
        return False


def read_correlations(path: Path | str) -> VolumeCorrelations:
    """Read the correlations of a result of a whole volume.

    Raises:
        InputError: the file is missing, damaged, or not a result of a volume.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        try:
            entry = file["entry"]
            record = json.loads(entry["process/volume"].asstr()[()])
            group = entry["correlations"]
            cell = Cell(
                *map(float, read_small(entry["sample/unit_cell"], "unit_cell")), centring=record["centring"]
            )
            vectors, alphas, covariance, bias = (
                np.asarray(group[name], np.float64) for name in ("vector", "alpha", "covariance", "bias")
            )
            return VolumeCorrelations(
                cell, record["centring"], vectors, alphas, covariance, bias, record=record
            )
        except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: the file is not a result of a volume, or it is damaged ({error})"
            ) from error


@contextmanager
def open_short_range_order(path: Path | str) -> Iterator[tuple[h5py.Dataset, tuple[Array, Array, Array]]]:
    """Open the I_SRO of a result of a whole volume inside the `with` block: its values, and its axes h, k, l [r.l.u.].

    Raises:
        InputError: the file is missing or damaged.
    """
    path = Path(path)
    with open_hdf5(path) as file, name_file_in_errors(path):
        with convert_hdf5_errors():
            group = file["entry/short_range_order"]
            h, k, l = (read_small(group[label], label) for label in "hkl")  # noqa: E741
            values = require_numbers(group, "data", "I_SRO of a volume")
        yield values, (h, k, l)
