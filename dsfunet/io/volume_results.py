"""Results of whole volumes: one NeXus HDF5 file, written block by block, and read back without loading it whole."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet._version import __version__
from dsfunet.errors import InputError
from dsfunet.io.hdf5 import open_hdf5, read_small
from dsfunet.io.hdf5_writing import create_hdf5
from dsfunet.io.results import create_dataset, create_group
from dsfunet.physics import Cell
from dsfunet.physics.centring import CENTRINGS, Centring
from dsfunet.planes.result import TITLES, Scalar

VOLUMES = (
    "form_factor",
    "short_range_order",
    "input",
    "product",
    "residual",
    "sigma_form_factor",
    "sigma_short_range_order",
    "mask",
)
"""What a result of a volume holds, each of shape (n, m, o)."""

_CHUNK = (16, 64, 64)
_ROOM = 1.1  # bytes that a result may take, in those of its numbers


@dataclass(frozen=True, eq=False)
class VolumeCorrelations:
    """Correlations of a crystal from a whole volume.

    Attributes:
        cell: the conventional cell.
        centring: its lattice type.
        vectors: lattice vectors in the conventional cell, one of each pair r and -r, in order of length, shape (k, 3).
        alphas: Warren-Cowley parameters on the scale alpha_000 = 1, shape (k,).
        covariance: their covariance, shape (k, k).
        bias: first-order change of each by the prior of the form factor, shape (k,): a systematic error.
        record: of the fit, as `process["volume"]` of the file.
    """

    cell: Cell
    centring: Centring
    vectors: Array
    alphas: Array
    covariance: Array
    bias: Array
    record: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """An open result of a volume.

    Attributes:
        datasets: by name, see `VOLUMES`; each of shape (n, m, o), read from the file where indexed.
        axes: coordinates along h, k, l [r.l.u.].
        cell: the conventional cell.
        process: the record of how the result was made.
    """

    datasets: Mapping[str, h5py.Dataset]
    axes: tuple[Array, Array, Array]
    cell: Cell
    process: Mapping[str, Scalar]


class VolumeWriter:
    """The volumes of a result that is being written."""

    def __init__(self, datasets: Mapping[str, h5py.Dataset]) -> None:
        self._datasets = datasets

    def write(self, block: slice, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write layers of constant h of every volume, each of shape (layers, m, o)."""
        for name, dataset in self._datasets.items():
            dataset[block] = values[name]


def check_room(path: Path, shape: tuple[int, int, int]) -> None:
    """Raise an InputError if the disk has too little room for the result of a volume."""
    needed = _ROOM * float(np.prod(shape)) * (4 * (len(VOLUMES) - 1) + 1)
    free = shutil.disk_usage(path.resolve().parent).free
    if free < needed:
        raise InputError(
            f"{path}: the disk has {free / 1e9:.1f} GB free; expected at least {needed / 1e9:.1f} GB for the result"
        )


@contextmanager
def create_volume_result(
    path: Path,
    axes: tuple[Array, Array, Array],
    correlations: VolumeCorrelations,
    process: Mapping[str, Scalar],
) -> Iterator[VolumeWriter]:
    """Create the result of a volume; the file appears under its name when the block ends without an error.

    Args:
        path: of the file; an existing one is replaced.
        axes: coordinates along h, k, l [r.l.u.].
        correlations: of the crystal.
        process: the record.

    Raises:
        InputError: the file cannot be written or the disk has too little room.
    """
    first, second, third = (len(axis) for axis in axes)
    shape = (first, second, third)
    check_room(path, shape)
    with create_hdf5(path) as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "dsfunet"})
        entry = create_group(file, "entry", "NXentry", default="form_factor", kind="volume")
        entry["title"] = "Form factor and short-range order of a volume"
        record = create_group(entry, "process", "NXprocess")
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        volume = json.dumps(dict(correlations.record))
        named = {"program": "dsfunet", "version": __version__, "date": now, "volume": volume, **process}
        for name, value in named.items():
            record[name] = value
        sample = create_group(entry, "sample", "NXsample")
        parameters = np.array(correlations.cell.parameters)
        create_dataset(sample, "unit_cell_abc", parameters[:3], "angstrom")
        create_dataset(sample, "unit_cell_alphabetagamma", parameters[3:], "degree")
        cell = create_dataset(sample, "unit_cell", parameters, "angstrom, degree")
        labelled = {
            label: create_dataset(sample, label, axis, "r.l.u.")
            for label, axis in zip("hkl", axes, strict=True)
        }
        _write_correlations(entry, correlations)
        chunks = (min(_CHUNK[0], first), min(_CHUNK[1], second), min(_CHUNK[2], third))
        datasets = {}
        for name in VOLUMES:
            group = create_group(entry, name, "NXdata", signal="data", axes=list("hkl"))
            group.attrs.update({f"{label}_indices": number for number, label in enumerate("hkl")})
            group["title"] = TITLES[name]
            kind = np.uint8 if name == "mask" else np.float32
            data = group.create_dataset(
                "data", shape, kind, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True
            )
            data.attrs["long_name"] = TITLES[name]
            datasets[name] = data
            for label, dataset in labelled.items():
                group[label] = dataset  # a hard link
            group["unit_cell"] = cell
        for name in ("form_factor", "short_range_order"):  # NeXus expects the uncertainty under this name
            entry[f"{name}/data_errors"] = datasets[f"sigma_{name}"]
        yield VolumeWriter(datasets)


def is_volume_result(path: Path | str) -> bool:
    """Whether a file is the result of a volume that `create_volume_result` wrote, complete or damaged."""
    try:
        with open_hdf5(Path(path)) as file:
            return _is_volume(file)
    except Exception:  # whoever reads the file reports the damage
        return False


def _is_volume(file: h5py.File) -> bool:
    entry = file.get("entry")
    return (
        str(file.attrs.get("creator")) == "dsfunet"
        and entry is not None
        and str(entry.attrs.get("kind")) == "volume"
    )


def read_correlations(path: Path | str) -> VolumeCorrelations:
    """Read the correlations in the result of a volume.

    Raises:
        InputError: the file is missing, damaged, or not the result of a volume.
    """
    with _opened(Path(path)) as entry:
        group = entry["correlations"]
        record = json.loads(entry["process"]["volume"][()].decode())
        centring = record["centring"]
        if centring not in CENTRINGS:
            raise InputError(f"{path}: its record has the centring {centring!r}; expected one of {CENTRINGS}")
        values = {
            name: np.asarray(group[name][()], dtype=np.float64)
            for name in ("vector", "alpha", "covariance", "bias")
        }
        return VolumeCorrelations(
            Cell(*map(float, read_small(entry["sample"]["unit_cell"], "unit_cell"))),
            centring,
            values["vector"],
            values["alpha"],
            values["covariance"],
            values["bias"],
            record,
        )


@contextmanager
def open_volume_result(path: Path | str) -> Iterator[VolumeResult]:
    """Open the result of a volume; its datasets can be read inside the `with` block.

    Raises:
        InputError: the file is missing, damaged, or not the result of a volume.
    """
    with _opened(Path(path)) as entry:
        sample = entry["sample"]
        axes = tuple(np.asarray(read_small(sample[label], label), dtype=np.float64) for label in "hkl")
        process = {
            name: value.decode() if isinstance(value := dataset[()], bytes) else value.item()
            for name, dataset in entry["process"].items()
        }
        cell = Cell(*map(float, read_small(sample["unit_cell"], "unit_cell")))
        datasets = {name: entry[name]["data"] for name in VOLUMES}
        yield VolumeResult(datasets, (axes[0], axes[1], axes[2]), cell, process)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.Group]:
    with open_hdf5(path) as file:
        if not _is_volume(file):
            raise InputError(
                f"{path}: the file is not the result of a volume; expected a file of `dsfunet factorize --volume`"
            )
        try:
            yield file["entry"]
        except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path}: the result of a volume is damaged ({error})") from error


def _write_correlations(entry: h5py.Group, correlations: VolumeCorrelations) -> None:
    group = create_group(entry, "correlations", "NXcollection")
    create_dataset(group, "vector", correlations.vectors, "unit cell edges")
    create_dataset(group, "alpha", correlations.alphas, "")
    create_dataset(group, "bias", correlations.bias, "")
    data = group.create_dataset(
        "covariance", data=correlations.covariance, compression="gzip", compression_opts=1, shuffle=True
    )
    data.attrs["long_name"] = "covariance of alpha"
