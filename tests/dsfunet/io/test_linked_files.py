"""Files that lead to others: followed inside the folder only, never into pipes; what was never written is missing."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError, may_pass
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.hdf5 import open_hdf5, read_attribute, read_block
from dsfunet.io.linked_files import mark_file, record_linked_files
from tests.dsfunet.batches import write_volume


def wrapper(path: Path, link: object) -> Path:
    """A volume whose data is whatever is given: a link, a layout of a virtual dataset."""
    write_volume(path)
    with h5py.File(path, "a") as file:
        del file["data"]
        if isinstance(link, h5py.VirtualLayout):
            file.create_virtual_dataset("data", link, fillvalue=0)
        else:
            file["data"] = link
    return path


def data_file(path: Path) -> np.ndarray:
    values = np.arange(33 * 33 * 2, dtype="f4").reshape(33, 33, 2) + 1
    with h5py.File(path, "w") as file:
        file["d"] = values
    return values


def test_links_that_must_not_be_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    wrapper(tmp_path / "soft.h5", h5py.SoftLink("/ext"))
    with h5py.File(tmp_path / "soft.h5", "a") as file:
        file["ext"] = h5py.ExternalLink("pipe.h5", "/d")
    with h5py.File(tmp_path / "mid.h5", "w") as file:
        file["d"] = h5py.ExternalLink("pipe.h5", "/d")
    wrapper(tmp_path / "nested.h5", h5py.ExternalLink("mid.h5", "/d"))
    layout = h5py.VirtualLayout((33, 33, 2), "f4")
    layout[:] = h5py.VirtualSource("pipe.h5", "d", (33, 33, 2))
    wrapper(tmp_path / "virtual.h5", layout)
    with h5py.File(tmp_path / "result.nxs", "w") as file:
        file.attrs["creator"] = "dsfunet"
        file["entry"] = h5py.ExternalLink("pipe.h5", "/e")
    wrapper(tmp_path / "device.h5", h5py.ExternalLink("/dev/zero", "/d"))
    for name in ("soft.h5", "nested.h5", "virtual.h5", "result.nxs", "device.h5"):
        with pytest.raises(InputError, match="which is not a regular file") as caught:
            read_plane(tmp_path / name, "hk0")
        assert not may_pass(caught.value)


def test_links_out_of_the_folder_have_to_be_allowed(tmp_path: Path) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    values = data_file(tmp_path / "d.h5")
    data_file(tmp_path / "in" / "below" / "d.h5")
    inside = wrapper(tmp_path / "in" / "inside.h5", h5py.ExternalLink("below/d.h5", "/d"))
    assert np.array_equal(read_plane(inside, "hk0").intensity, values[..., 0])
    layout = h5py.VirtualLayout((33, 33, 2), "f4")
    layout[:] = h5py.VirtualSource("../d.h5", "d", (33, 33, 2))
    links = (h5py.ExternalLink("../d.h5", "/d"), h5py.ExternalLink(str(tmp_path / "d.h5"), "/d"), layout)
    for number, link in enumerate(links):
        path = wrapper(tmp_path / "in" / f"{number}.h5", link)
        with pytest.raises(InputError, match=r"outside the folder of the file.*--allow-external"):
            read_plane(path, "hk0")
        options = ReadOptions(allow_external=(tmp_path,))
        assert np.array_equal(read_plane(path, "hk0", options=options).intensity, values[..., 0])
    (tmp_path / "in" / "d.h5").symlink_to(tmp_path / "d.h5")
    path = wrapper(tmp_path / "in" / "symbolic.h5", h5py.ExternalLink("d.h5", "/d"))
    with pytest.raises(InputError, match="outside the folder"):
        read_plane(path, "hk0")


def test_external_raw_storage_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 33 * 33 * 2)
    path = tmp_path / "raw.h5"
    write_volume(path)
    with h5py.File(path, "a") as file:
        for name in ("data", "format"):
            del file[name]
        file.create_dataset("data", (33, 33, 2), "u1", external=[(str(tmp_path / "secret"), 0, 33 * 33 * 2)])
        file.create_dataset("format", (), "S8", external=[(str(tmp_path / "secret"), 0, 8)])
    with pytest.raises(InputError, match=r"raw.h5: .*external raw data"):
        read_plane(path, "hk0", options=ReadOptions(allow_external=(tmp_path,)))


def test_chunks_and_data_that_were_never_written_are_missing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        half = file.create_dataset("half", (40, 10), "i4", chunks=(8, 4))
        half[:17] = 5
        file.create_dataset("nothing", (4, 4), "f4")
        file.create_dataset("whole", data=np.ones((40, 10)), chunks=(8, 4))
    with open_hdf5(tmp_path / "v.h5") as file:
        found = read_block(file["half"], [slice(None)] * 2)
        assert np.isnan(found[24:]).all() and (found[:17] == 5).all() and (found[17:24] == 0).all()
        part = read_block(file["half"], [slice(21, 40, 2), slice(3, 9)])
        assert np.array_equal(np.isnan(part), np.isnan(found[21:40:2, 3:9]))
        assert np.isnan(read_block(file["nothing"], [slice(0, 2)] * 2)).all()
        assert (read_block(file["whole"], [slice(5, 9), slice(None)]) == 1).all()


@pytest.mark.parametrize("step", [1, 2])
def test_virtual_datasets(tmp_path: Path, step: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", (16, 33, 2), "f4", chunks=(8, 33, 2))[:8] = 7
    layout = h5py.VirtualLayout((33, 33, 2), "f4")
    layout[1 : 15 * step + 2 : step] = h5py.VirtualSource("a.h5", "d", (16, 33, 2))
    path = wrapper(tmp_path / "v.h5", layout)
    with open_hdf5(path) as file:
        found = read_block(file["data"], [slice(None), slice(4, 5), slice(None)])[:, 0, 0]
    expected = np.full(33, np.nan)
    if step == 1:  # with gaps between its rows, a source that is not whole is taken for missing
        expected[1:9] = 7
    np.testing.assert_array_equal(found, expected)
    inner = h5py.VirtualLayout((33, 33, 2), "f4")
    inner[:16] = h5py.VirtualSource("a.h5", "d", (16, 33, 2))
    inner[16:32] = h5py.VirtualSource("gone.h5", "d", (16, 33, 2))
    wrapper(tmp_path / "inner.h5", inner)
    outer = h5py.VirtualLayout((33, 33, 2), "f4")
    outer[:] = h5py.VirtualSource("inner.h5", "data", (33, 33, 2))
    with pytest.raises(InputError, match=r"gone.h5 is missing") as caught:
        read_plane(wrapper(tmp_path / "outer.h5", outer), "hk0")
    assert may_pass(caught.value)
    with open_hdf5(tmp_path / "outer.h5") as file:  # the part that is there needs no other file
        assert read_block(file["data"], [slice(2, 4), slice(0, 3), slice(0, 1)]).max() == 7


def test_the_files_that_were_looked_for_are_known(tmp_path: Path) -> None:
    path = wrapper(tmp_path / "w.h5", h5py.ExternalLink("later.h5", "/d"))
    with record_linked_files() as marks, pytest.raises(InputError, match="put that file beside") as caught:
        read_plane(path, "hk0")
    assert may_pass(caught.value) and marks[str(tmp_path / "later.h5")] is None
    data_file(tmp_path / "later.h5")
    with record_linked_files() as marks:
        read_plane(path, "hk0")
    assert marks[str(tmp_path / "later.h5")] == mark_file(str(tmp_path / "later.h5")) is not None


def test_attributes_that_unpack_to_gigabytes_are_not_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs["many"] = np.array(["x"] * 5000, dtype=h5py.string_dtype())
        file.attrs["few"] = np.array(["h", "k"], dtype=h5py.string_dtype())
    with open_hdf5(tmp_path / "a.h5") as file:
        assert read_attribute(file, "many") is None and list(read_attribute(file, "few")) == ["h", "k"]
        assert read_attribute(file, "none") is None
