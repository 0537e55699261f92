"""Malicious and damaged HDF5 files, and volumes far larger than memory."""

import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import open_volume, read_plane
from dsfunet.io.hdf5 import find_member, read_attribute_number, read_attribute_texts, read_scalar, read_text
from tests.dsfunet.io.formats import test_disorder as disorder
from tests.dsfunet.io.formats import test_mantid as mantid
from tests.dsfunet.io.formats import test_mantid_directions as mantid_directions
from tests.dsfunet.io.formats import test_nxdata as nxdata
from tests.dsfunet.io.formats import test_rspace3d as rspace3d
from tests.dsfunet.io.largest_read import note_largest_read
from tests.dsfunet.marked_volume import CELL, H, K, L, volume


def yell(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in {
            "format": "Yell 1.0",
            "data": volume(),
            "lower_limits": [H[0], K[0], L[0]],
            "step_sizes": [0.5] * 3,
            "unit_cell": CELL,
            "is_direct": False,
            "metric_tensor": np.diag([36.0, 49.0, 64.0]),
            "space_group_nr": 14,
            "meerkat_provenance/config": "x",
        }.items():
            file[name] = value
    return path


def yell_raw(path: Path) -> Path:
    yell(path)
    with h5py.File(path, "a") as file:
        file.move("data", "rebinned_data")
        file["number_of_pixels_rebinned"] = np.ones(volume().shape)
    return path


PROJECTION = np.array([[1.0, 1, 0], [1, -1, 0], [0, 0, 1]])

WRITERS: dict[str, Callable[[Path], Path]] = {
    "yell": yell,
    "yell raw": yell_raw,
    "mantid": mantid.write,
    "projection": lambda path: mantid_directions.projected(
        path, PROJECTION, ("[H,H,0]", "[H,-H,0]", "[0,0,L]"), 3
    ),
    "disorder": disorder.plain,
    "unified": disorder.unified,
    "nxrefine": nxdata.nxrefine,
    "chess": nxdata.chess,
    "rspace3d": lambda path: rspace3d.write(path, volume(), rspace3d.HEXAGONAL, counts=np.ones((9, 11, 5))),
}


def never_written(file: h5py.File, name: str) -> None:
    """10^15 numbers that take no space in the file."""
    file.create_dataset(name, shape=(10**5,) * 3, chunks=(64,) * 3, dtype="f4")


def one_huge_chunk(file: h5py.File, name: str) -> None:
    file.create_dataset(name, shape=(900,) * 3, chunks=(900,) * 3, dtype="f4")


HOSTILE: dict[str, Callable[[h5py.File, str], Any]] = {
    "nothing": lambda file, name: None,
    "text": lambda file, name: file.create_dataset(name, data="text"),
    "texts": lambda file, name: file.create_dataset(name, data=[b"a", b"bc"]),
    "compound": lambda file, name: file.create_dataset(name, data=np.zeros(3, [("a", "f8"), ("b", "i4")])),
    "complex": lambda file, name: file.create_dataset(name, data=np.ones((9, 11, 5), complex)),
    "reference": lambda file, name: file.create_dataset(name, data=file.ref, dtype=h5py.ref_dtype),
    "ragged": lambda file, name: file.create_dataset(name, (3,), dtype=h5py.vlen_dtype(np.int32)),
    "opaque": lambda file, name: file.create_dataset(name, data=np.void(b"\x00\xff")),
    "empty": lambda file, name: file.create_dataset(name, data=h5py.Empty("f8")),
    "zero size": lambda file, name: file.create_dataset(name, data=np.zeros((0, 3))),
    "scalar": lambda file, name: file.create_dataset(name, data=1e308),
    "nan": lambda file, name: file.create_dataset(name, data=np.full((9, 11, 5), np.nan)),
    "huge numbers": lambda file, name: file.create_dataset(name, data=np.full((3, 3), -1e300)),
    "five dimensions": lambda file, name: file.create_dataset(name, data=np.zeros((2,) * 5)),
    "never written": never_written,
    "one huge chunk": one_huge_chunk,
    "a long line": lambda file, name: file.create_dataset(name, (10**15,), chunks=(1000,), dtype="f4"),
    "group": lambda file, name: file.create_group(name),
    "circle": lambda file, name: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
    "nowhere": lambda file, name: file.__setitem__(name, h5py.SoftLink("/no/such/thing")),
    "another file": lambda file, name: file.__setitem__(name, h5py.ExternalLink("no.h5", "/data")),
    "group in itself": lambda file, name: file.__setitem__(name, file["/"]),
    "type": lambda file, name: file.__setitem__(name, np.dtype("f8")),
}

ATTRIBUTES: tuple[Any, ...] = (
    1e308, np.nan, "", "..", "/", "data", "entry", b"\xff\xfe", [1, 2, 3], [["a"], ["b"]], np.void(b"x"),
    h5py.Empty("f8"), 2**62, -1,
)  # fmt: skip


def everything(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Paths of all groups and datasets in a file, and all attributes as (path, name)."""
    paths: list[str] = []
    with h5py.File(path) as file:
        file.visit(paths.append)
        attributes = [(where, name) for where in ["/", *paths] for name in file[where].attrs]
    return paths, attributes


def read_or_refuse(path: Path) -> None:
    """Read a plane; any error other than InputError fails the test."""
    for name in ("hk0", None):
        try:
            read_plane(path, name)
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error).strip()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.15, 1.0])
@pytest.mark.parametrize("layout", WRITERS)
def test_hostile_members_in_every_place(tmp_path: Path, layout: str, share: float) -> None:
    chance = random.Random(layout)
    original = WRITERS[layout](tmp_path / "original.h5")
    content = original.read_bytes()
    path = tmp_path / "mangled.h5"
    for name in everything(original)[0]:
        for put in chance.sample(list(HOSTILE.values()), round(share * len(HOSTILE))):
            path.write_bytes(content)
            with h5py.File(path, "a") as file:
                del file[name]
                put(file, name)
            read_or_refuse(path)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.15, 1.0])
@pytest.mark.parametrize("layout", WRITERS)
def test_hostile_attributes(tmp_path: Path, layout: str, share: float) -> None:
    chance = random.Random(layout)
    original = WRITERS[layout](tmp_path / "original.h5")
    content = original.read_bytes()
    path = tmp_path / "mangled.h5"
    for where, name in everything(original)[1]:
        for value in chance.sample([*ATTRIBUTES, None], round(share * (len(ATTRIBUTES) + 1))):
            path.write_bytes(content)
            with h5py.File(path, "a") as file:
                del file[where].attrs[name]
                if value is not None:
                    file[where].attrs[name] = value
            read_or_refuse(path)


@pytest.mark.parametrize("layout", WRITERS)
def test_files_of_other_layouts_are_not_taken_for_it(tmp_path: Path, layout: str) -> None:
    words = {
        "yell": "Yell",
        "yell raw": "Yell",
        "mantid": "Mantid",
        "projection": "Mantid",
        "disorder": "Disorder scattering 1.0",
    }
    words |= {"unified": "Disorder unified", "nxrefine": "NXRefine", "chess": "CHESS", "rspace3d": "rspace3d"}
    with open_volume(WRITERS[layout](tmp_path / "v.h5")) as found:
        assert words[layout] in found.layout


def test_other_hdf5_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file["measurement/images"] = np.zeros((3, 3))
        file["x"] = 1
        file["circle"] = h5py.SoftLink("/circle")
        file["measurement/root"] = file["/"]
    with pytest.raises(InputError) as error:
        read_plane(path)
    message = str(error.value)
    assert "the HDF5 file has circle, measurement, x at its root" in message
    for word in ("MDHistoWorkspace", "Disorder scattering", "Yell 1.0", "rspace3d", "NXdata"):
        assert word in message


def sparse(path: Path, shape: tuple[int, int, int] = (800, 800, 800)) -> Path:
    """2 GB of float32 in chunks, of which only those with l = 0 were written."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", shape=shape, chunks=(50, 50, 10), dtype="f4", fillvalue=np.nan)
        data[:, :, 400] = 1.0
        file["format"], file["is_direct"] = "Yell 1.0", False
        file["lower_limits"], file["step_sizes"], file["unit_cell"] = [-4.0] * 3, [0.01] * 3, CELL
    return path


def test_one_plane_of_a_large_volume_is_all_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sparse(tmp_path / "v.h5")
    read: dict[str, int] = {}
    plain = h5py.Dataset.__getitem__

    def counted(self: h5py.Dataset, key: Any, **options: Any) -> Any:
        values = plain(self, key, **options)
        read[self.name] = read.get(self.name, 0) + int(np.size(values))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    tracemalloc.start()
    measured = read_plane(path, "hk0")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (measured.intensity == 1.0).all() and read["/data"] == 800 * 800
    assert sum(read.values()) < 800 * 800 + 100
    # float32 as read, float64 as kept, and what is made on the way: a volume would be 2 GB.
    assert peak < 4 * 8 * 800 * 800
    read.clear()
    with open_volume(path) as found:
        assert found.axes.counts == (800, 800, 800) and read.get("/data", 0) == 0
        assert found.read((slice(0, 2), slice(3, 6), slice(400, 401))).shape == (2, 3, 1)
    assert read["/data"] == 6


@pytest.mark.parametrize("layout", ["nxrefine", "mantid"])
def test_reversed_arrays_are_read_by_planes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    path, largest = WRITERS[layout](tmp_path / "v.h5"), note_largest_read(monkeypatch)
    for name, size in (("hk0", 9 * 11), ("h0l", 9 * 5), ("0kl", 11 * 5)):
        largest[0] = 0
        read_plane(path, name)
        assert largest[0] == size


def test_a_volume_larger_than_any_memory_is_described_and_refused(tmp_path: Path) -> None:
    path = yell(tmp_path / "v.h5")
    with h5py.File(path, "a") as file:
        del file["data"], file["metric_tensor"]
        never_written(file, "data")
        file["step_sizes"][...] = 1e-4
    with open_volume(path) as found:
        assert found.axes.counts == (100_000,) * 3 and found.axes.list_examples()[0] == "hk0"
    with pytest.raises(
        InputError, match=r"100000 x 100000 x 1 voxels is too large to read; expected at most 200,000,000"
    ):
        read_plane(path, "hk0")


def test_chunks_too_large_to_unpack(tmp_path: Path) -> None:
    path = yell(tmp_path / "v.h5")
    with h5py.File(path, "a") as file:
        del file["data"]
        one_huge_chunk(file, "data")
    with pytest.raises(InputError, match=r"/data is stored in chunks of \(900, 900, 900\) numbers"):
        read_plane(path, "hk0")


def test_parts_of_a_virtual_dataset_that_are_missing(tmp_path: Path) -> None:
    """HDF5 would return zeros for them, which look like intensities."""
    path = yell(tmp_path / "v.h5")
    with h5py.File(tmp_path / "part.h5", "w") as part:
        part["data"] = volume()
    with h5py.File(path, "a") as file:
        del file["data"]
        layout = h5py.VirtualLayout(volume().shape, "f8")
        layout[:5] = h5py.VirtualSource("part.h5", "data", volume().shape)[:5]
        layout[5:] = h5py.VirtualSource("part.h5", "data", volume().shape)[5:]
        file.create_virtual_dataset("data", layout)
    np.testing.assert_array_equal(read_plane(path, "hk0").intensity, volume()[:, :, 2])
    (tmp_path / "part.h5").unlink()
    with pytest.raises(InputError, match=r"/data is assembled from other files, and part.h5 is missing"):
        read_plane(path, "hk0")


def test_a_link_to_a_pipe_does_not_wait(tmp_path: Path) -> None:
    path = nxdata.nxrefine(tmp_path / "a.nxs", link="pipe.nxs")
    os.mkfifo(tmp_path / "pipe.nxs")
    with pytest.raises(InputError, match=r"a link leads to pipe.nxs, which is not a regular file"):
        read_plane(path, "hk0")


def test_accessors(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a/b"] = np.array([b"  name "], dtype=object)
        file["a/n"] = np.array([[3.0]], ">f4")
        file["a/t"] = [1, 2]
        file["a"].attrs.update({"one": "x", "two": [b"y", b"z "], "number": np.array([4], "u1")})
        file["a/circle"] = h5py.SoftLink("/a/circle")
        assert read_text(file, "a/b") == "name" and read_text(file, "a/n") == read_text(file, "nothing") == ""
        assert (
            read_scalar(file, "a/n") == 3.0
            and read_scalar(file, "a/t") is None
            and read_scalar(file, "a/b") is None
        )
        assert (
            read_attribute_texts(file["a"], "two") == ["y", "z"]
            and read_attribute_texts(file["a"], "no") == []
        )
        assert (
            read_attribute_number(file["a"], "number") == 4.0
            and read_attribute_number(file["a"], "one") is None
        )
        assert (
            find_member(file, "a/circle/b") is None
            and find_member(file, "a/n/x") is None
            and find_member(file, "") is None
        )
