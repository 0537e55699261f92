"""Files that are written whole or not at all, also where the disk has no room left."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError, PassingError, may_pass
from dsfunet.files import replacing, write_json
from dsfunet.io import Result, read_result, write_result
from dsfunet.io.hdf5_writing import ForgivingFile, create_hdf5

resource = pytest.importorskip("resource")


@pytest.fixture
def little_room() -> Iterator[Callable[[int], None]]:
    """Lets files grow to some size only: beyond it the system refuses, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def a_result() -> Result:
    plane = np.random.default_rng(1).random((64, 64)).astype(np.float32)
    return Result(plane, plane, plane, plane, 0 * plane, plane > 0.5)


@pytest.mark.parametrize("size", [0, 100, 3_000, 20_000, 60_000, 85_000])
def test_a_result_on_a_full_disk(tmp_path: Path, little_room: Callable[[int], None], size: int) -> None:
    path = tmp_path / "r.nxs"
    path.write_bytes(b"the old one")
    little_room(size)
    with pytest.raises(PassingError, match=r"r.nxs: the file cannot be written .*; make room on the disk"):
        write_result(path, a_result())
    assert [each.name for each in tmp_path.iterdir()] == ["r.nxs"] and path.read_bytes() == b"the old one"
    little_room(10**9)
    write_result(path, a_result())
    assert np.array_equal(read_result(path).input, a_result().input)


def test_json_on_a_full_disk(tmp_path: Path, little_room: Callable[[int], None]) -> None:
    little_room(1_000)
    with pytest.raises(PassingError, match="make room"):
        write_json(tmp_path / "s.json", list(range(10_000)))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_block_that_is_not_about_room_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="broken") as caught, create_hdf5(tmp_path / "r.h5"):
        raise OSError(errno.EIO, "broken")
    assert not may_pass(caught.value) and list(tmp_path.iterdir()) == []
    outer = InputError("outer")
    outer.__cause__ = PassingError("inner")
    assert may_pass(outer) and not may_pass(InputError("no"))


def test_the_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    rename, force = Path.replace, os.fsync

    def noting_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    def noting_fsync(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        force(descriptor)

    monkeypatch.setattr(Path, "replace", noting_replace)
    monkeypatch.setattr(os, "fsync", noting_fsync)
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("content")
    assert done == ["file", "rename", "folder"]


def test_a_forgiving_file_reads_back_what_did_not_fit(tmp_path: Path) -> None:
    class Small:
        """A stream that holds ten bytes."""

        def __init__(self) -> None:
            self.content, self.place = bytearray(10), 0

        def seek(self, place: int, whence: int = 0) -> int:
            self.place = place if whence == 0 else 10
            return self.place

        def write(self, part: bytes) -> int:
            if self.place + len(part) > 10:
                raise OSError(errno.ENOSPC, "full")
            self.content[self.place : self.place + len(part)] = part
            return len(part)

        def read(self, count: int) -> bytes:
            return bytes(self.content[self.place : self.place + count])

    forgiving = ForgivingFile(Small())  # type: ignore[arg-type]
    forgiving.write(b"abcdefgh")
    forgiving.write(b"ijkl")
    assert forgiving.tell() == 12 and forgiving.seek(0, os.SEEK_END) == 12 and forgiving.error is not None
    forgiving.seek(6)
    target = bytearray(8)
    assert forgiving.readinto(target) == 8 and bytes(target) == b"ghijkl\0\0"


def test_hdf5_files_are_as_those_of_the_library(tmp_path: Path) -> None:
    with create_hdf5(tmp_path / "a.h5") as file:
        file["x"] = np.arange(5000)
        file["y"] = np.ones((40, 40))
        del file["x"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["y"] and file["y"][()].sum() == 1600
