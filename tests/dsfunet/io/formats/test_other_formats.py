"""Files that are not read are named, with what to do; old files of MATLAB are read."""

import gzip
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from dsfunet.errors import InputError
from dsfunet.io import read_plane
from dsfunet.physics import Cell


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (gzip.compress(b"1 2 3\n" * 9, mtime=0), "a gzip file; unpack it first"),
        (b"MTZ \x15\x00" + bytes(99), "an MTZ file of reflections; expected a volume or a plane"),
        (b"CDF\x01" + bytes(99), "a netCDF file of version 3; convert it to netCDF 4"),
        (b"\x06\0\0\0horace" + bytes(99), "an sqw file of Horace; cut it to h, k, l at one energy"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "a JPEG picture, .* save it as TIFF or PNG"),
        (b"\x80\x04\x95" + bytes(99), "a Python pickle, which could run any program; save the array"),
        (b"FORMAT :        100", "a frame of a Bruker detector; reconstruct layers"),
    ],
)
def test_other_files_are_named(tmp_path: Path, start: bytes, message: str) -> None:
    (tmp_path / "a.dat").write_bytes(start)
    with pytest.raises(InputError, match=f"a.dat: {message}"):
        read_plane(tmp_path / "a.dat", "hk0")


def test_archives(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((9, 9)))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.npy", "a.npy")
    with pytest.raises(InputError, match="a tar archive; unpack it first"):
        read_plane(tmp_path / "a.tar")


def test_hdf5_without_a_volume(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxspe", "w") as file:
        file["ws/definition"] = "NXSPE"
        file["ws/data/data"], file["ws/data/energy"] = np.ones((50, 9)), np.arange(10.0)
        file["ws/data/polar"] = np.arange(50.0)
    with h5py.File(tmp_path / "events.nxs", "w") as file:
        file["MDEventWorkspace/box_structure/box_type"] = [1]
    with h5py.File(tmp_path / "spectra.nxs", "w") as file:
        file["mantid_workspace_1/workspace/values"] = np.ones((5, 9))
    for name, message in (
        ("a.nxspe", "an NXSPE file, with spectra of single detectors .* bin them with Mantid"),
        ("events.nxs", "a workspace of events of Mantid; bin it in h, k, l"),
        ("spectra.nxs", "spectra of Mantid; convert them to h, k, l and bin them"),
    ):
        with pytest.raises(InputError, match=message):
            read_plane(tmp_path / name, "hk0")


def test_matlab_version_4(tmp_path: Path) -> None:
    h, k = np.linspace(-2, 2, 33), np.linspace(-3, 3, 41)
    values = 100 + 10 * h[:, None] + k
    scipy.io.savemat(tmp_path / "a.mat", {"I": values, "h": h, "k": k, "l": 1.0}, format="4")
    plane = read_plane(tmp_path / "a.mat", cell=Cell(5, 6, 7))
    assert plane.grid is not None and str(plane.grid.name) == "hk1"
    np.testing.assert_array_equal(plane.intensity, values)
    np.testing.assert_allclose(plane.grid.columns, k)
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "b.mat").write_bytes(content[:3000])
    with pytest.raises(InputError, match="a MATLAB v4 file that cannot be read"):
        read_plane(tmp_path / "b.mat")
