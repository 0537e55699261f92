"""HDF5 compression filters: read where hdf5plugin is installed, named where it is not."""

import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from dsfunet.io import read_plane

FILTERS = {
    "bitshuffle": (32008, hdf5plugin.Bitshuffle(cname="lz4")),
    "blosc": (32001, hdf5plugin.Blosc()),
    "zstd": (32015, hdf5plugin.Zstd()),
    "lz4": (32004, hdf5plugin.LZ4()),
    "blosc2": (32026, hdf5plugin.Blosc2()),
    "bzip2": (307, hdf5plugin.BZip2()),
}
VALUES = 100 + 50 * np.cos(np.linspace(0, 40, 121))[:, None, None] * np.ones((1, 121, 1))


def write(path: Path, name: str) -> Path:
    with h5py.File(path, "w") as file:
        file["format"], file["is_direct"] = "Yell 1.0", False
        file["lower_limits"], file["step_sizes"] = [-6.0, -6, 0], [0.1, 0.1, 1]
        file["unit_cell"] = [7.0, 9, 5, 90, 90, 90]
        file.create_dataset("data", data=VALUES, chunks=(64, 64, 1), **FILTERS[name][1])
    return path


@pytest.mark.parametrize("name", FILTERS)
def test_compressed_volumes_are_read(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read_plane(write(tmp_path / "a.h5", name)).intensity, VALUES[:, :, 0])


@pytest.mark.skipif(not h5py.h5z.filter_avail(h5py.h5z.FILTER_SZIP), reason="this HDF5 library has no szip")
def test_szip_of_the_library_is_read(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.h5", "zstd"), "a") as file:
        del file["data"]
        file.create_dataset("data", data=VALUES, chunks=(64, 64, 1), compression="szip")
    np.testing.assert_array_equal(read_plane(tmp_path / "a.h5").intensity, VALUES[:, :, 0])


def test_without_the_plugins_each_filter_is_named(tmp_path: Path) -> None:
    """In another process, because filters that are loaded once stay; in one, because importing takes time."""
    names = list(FILTERS)
    for name in names:
        write(tmp_path / f"{name}.h5", name)
    layout = h5py.VirtualLayout((121, 121, 1), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "zstd.h5"), "data", (121, 121, 1))
    with h5py.File(tmp_path / "virtual.h5", "w") as file, h5py.File(tmp_path / "zstd.h5") as source:
        for member in set(source) - {"data"}:
            source.copy(member, file)
        file.create_virtual_dataset("data", layout)
    code = (
        "import sys; sys.modules['hdf5plugin'] = None\n"
        "from dsfunet.cli.main import main\n"
        f"for name in {[*names, 'virtual']!r}: assert main(['inspect', f'{tmp_path}/{{name}}.h5']) == 2\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = run.stderr.splitlines()
    for line, (name, (number, _)) in zip(lines, FILTERS.items(), strict=False):
        expected = f"data is compressed with filter {number} ({name}): pip install hdf5plugin"
        assert line == f"dsfunet: {tmp_path}/{name}.h5: {expected}"
    assert "pip install hdf5plugin" in lines[-1] and "damaged" not in lines[-1] and len(lines) == 7
