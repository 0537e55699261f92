"""Small volumes as files, and their difference pair distribution functions by direct sums over all voxels."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Triple = tuple[float, float, float]

OBLIQUE = (5.0, 6.0, 7.5, 80.0, 105.0, 97.0)


def write_yell(path: Path, values: Array, lower: Triple, steps: Triple, cell: Any = OBLIQUE) -> Path:
    """Write a volume indexed [h, k, l] in the layout Yell 1.0, NaN where missing."""
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["data"] = values.astype(np.float32)
        file["lower_limits"], file["step_sizes"] = np.array(lower), np.array(steps)
        file["unit_cell"], file["is_direct"] = np.array(cell, float), 0
    return path


def write_nxdata(path: Path, values: Array, lower: Triple, steps: Triple, cell: Any = OBLIQUE) -> Path:
    """Write the same as NXdata with the order l, k, h on disk."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["unit_cell"] = np.array(cell, float)
        group = entry.create_group("data")
        group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["Ql", "Qk", "Qh"]})
        group["data"] = values.T.astype(np.float32)
        for name, first, step, n in zip(("Qh", "Qk", "Ql"), lower, steps, values.shape, strict=True):
            group[name] = first + step * np.arange(n)
    return path


def write_result(path: Path, parts: dict[str, Array], steps: Triple, cell: Any = OBLIQUE) -> Path:
    """Write a result of a volume, with voxels about the origin."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "dsfunet"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "form_factor"})
        sample = entry.create_group("sample")
        sample.attrs["NX_class"] = "NXsample"
        sample["unit_cell"] = np.array(cell, float)
        entry.create_group("process").attrs["NX_class"] = "NXprocess"
        for name, values in parts.items():
            group = entry.create_group(name)
            group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["h", "k", "l"]})
            group["data"] = values.astype(np.uint8 if name == "mask" else np.float32)
            for label, step, n in zip("hkl", steps, values.shape, strict=True):
                group[label] = step * (np.arange(n) - n // 2)
    return path


def direct_vectors(cell: Any) -> Array:
    """Return a, b and c as rows [Angstrom]."""
    a, b, c, *angles = cell
    ca, cb, cg = np.cos(np.radians(angles))
    sg = np.sin(np.radians(angles[2]))
    z = np.sqrt(1 - ca**2 - cb**2 - cg**2 + 2 * ca * cb * cg) / sg
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cb, c * (ca - cb * cg) / sg, c * z]])


def sum_directly(
    values: Array, lower: Triple, steps: Triple, places: Array, radius: float, cell: Any = OBLIQUE
) -> Array:
    """Return P at some u, v, w (n, 3): the sum over voxels of window, intensity and cosine, divided by the cell volume.

    Each voxel is looked up together with its mate at -h, -k, -l. The window is a Gaussian of 0.01 at the radius.
    """
    axes = [first + step * np.arange(n) for first, step, n in zip(lower, steps, values.shape, strict=True)]
    known: dict[tuple[int, ...], float] = {}
    for place in np.ndindex(*values.shape):
        hkl = np.array([axis[i] for axis, i in zip(axes, place, strict=True)])
        if np.isfinite(values[place]):
            known[tuple(np.rint(2 * hkl / steps).astype(int).tolist())] = float(values[place])
    reciprocal = np.linalg.inv(direct_vectors(cell)).T
    total = np.zeros(len(places))
    for key in {*known, *(tuple(-each for each in key) for key in known)}:
        both = [known[each] for each in (key, tuple(-each for each in key)) if each in known]
        hkl = np.array(key) * np.array(steps) / 2
        q = 2 * np.pi * float(np.linalg.norm(hkl @ reciprocal))
        if q <= radius:
            weight = np.exp(np.log(0.01) * (q / radius) ** 2)
            total += weight * np.mean(both) * np.cos(2 * np.pi * (places @ hkl))
    return np.asarray(total * abs(np.prod(steps)) / np.linalg.det(direct_vectors(cell)))
