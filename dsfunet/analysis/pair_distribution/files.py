"""Difference pair distribution functions as HDF5 files that Yell and NeXus viewers read."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dsfunet._version import __version__
from dsfunet.analysis.pair_distribution.grids import REAL_LABELS
from dsfunet.analysis.pair_distribution.run import PairDistribution
from dsfunet.io.hdf5_writing import create_hdf5

_CHUNK = 64


def write_pair_distribution(path: Path, found: PairDistribution) -> None:
    """Write a map in the layout "Yell 1.0" with is_direct = 1, whole or not at all.

    The same file is a NeXus file: the group `entry/pdf` is an NXdata over u, v, w, and its signal is the dataset `data`
    of the Yell layout, not a copy.

    Args:
        path: file to write; an existing file is replaced.
        found: the map.

    Raises:
        InputError: the file cannot be written.
    """
    with create_hdf5(path) as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "program": f"dsfunet {__version__}"})
        file["format"] = "Yell 1.0"
        file["is_direct"] = np.int32(1)
        file["unit_cell"] = np.array(found.cell.parameters)
        file["metric_tensor"] = found.cell.direct @ found.cell.direct.T
        file["lower_limits"] = np.array([axis.coordinates()[0] for axis in found.axes])
        file["step_sizes"] = np.array([axis.real_step for axis in found.axes])
        chunks = tuple(min(_CHUNK, n) for n in found.values.shape)
        data = file.create_dataset("data", shape=found.values.shape, dtype=np.float32, chunks=chunks)
        for first in range(0, len(found.values), _CHUNK):
            data[first : first + _CHUNK] = found.values[first : first + _CHUNK]
        data.attrs.update({"units": found.units, "long_name": f"3D-dPDF of {found.part} ({found.units})"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "pdf"})
        entry["title"] = f"3D difference pair distribution function of {found.source}, {found.part}"
        group = entry.create_group("pdf")
        group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": list(REAL_LABELS)})
        group["data"] = data  # a hard link
        for number, (label, axis) in enumerate(zip(REAL_LABELS, found.axes, strict=True)):
            group[label] = axis.coordinates()
            group[label].attrs.update({"units": "cells", "long_name": f"{label} (cells)"})
            group.attrs[f"{label}_indices"] = number
        process = entry.create_group("process")
        process.attrs["NX_class"] = "NXprocess"
        missing, without_mate = found.missing
        record = {
            "program": "dsfunet pdf",
            "version": __version__,
            "source": found.source,
            "part": found.part,
            "settings": json.dumps(asdict(found.settings)),
            "window": found.window.describe,
            "missing_share": missing,
            "missing_share_without_friedel_mates": without_mate,
            "filled_share": found.coverage.filled / found.coverage.total,
            "value_at_origin": found.at_origin,
        }
        for name, value in record.items():
            process[name] = value
