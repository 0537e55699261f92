"""`python -m simulate check`: a finished store has no damage, or the message names the damaged shards."""

import json
import shutil
from pathlib import Path

import pytest

from dsfunet.data.layout import LAYOUT
from dsfunet.data.manifests import MANIFEST_FOLDER
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from simulate.__main__ import main
from simulate.recipe import Recipe
from simulate.stores.check import check_store
from simulate.stores.writer import simulate


@pytest.fixture
def path(undisturbed: Path, tmp_path: Path) -> Path:
    """A store of three shards of two planes, to be damaged."""
    return Path(shutil.copytree(undisturbed / "train.zarr", tmp_path / "train.zarr"))


def flip(file: Path, place: int) -> None:
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_a_store_as_it_was_written(undisturbed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = undisturbed / "train.zarr"
    assert main(["check", str(path), "--workers", "1", "--progress", "false"]) == 0
    printed = capfd.readouterr()
    digest = open_store(path).digest[:12]
    assert printed.out == f"{path}: 6 planes in 3 shards, no damage, digest {digest}\n"
    assert printed.err == ""


def test_both_splits_of_a_recipe_with_everything(tiny_store: Path) -> None:
    """Twelve and eight planes in shards of five, so the last shard is shorter."""
    for split, planes in (("train", 12), ("validation", 8)):
        assert f"{planes} planes in" in check_store(tiny_store / f"{split}.zarr", progress=False)


@pytest.mark.slow
def test_several_processes_find_the_same(path: Path) -> None:
    assert check_store(path, 2, progress=False) == check_store(path, 1, progress=False)
    flip(path / "mask" / "c" / "2" / "0" / "0", 100)
    with pytest.raises(InputError, match=r"1 of 3 shards are damaged \(shard 2: mask cannot be read"):
        check_store(path, 2, progress=False)


@pytest.mark.parametrize("name", LAYOUT)
def test_a_flipped_bit_is_found(path: Path, name: str) -> None:
    # An array of zeros alone has no file to be damaged.
    for file in [each for each in sorted((path / name / "c").rglob("*")) if each.is_file()][:1]:
        shard = file.relative_to(path / name / "c").parts[0]
        flip(file, file.stat().st_size // 3)
        with pytest.raises(
            InputError, match=rf"1 of 3 shards are damaged \(shard {shard}: {name} cannot be read"
        ):
            check_store(path, progress=False)


def test_every_damaged_shard_is_named_on_the_command_line(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(path / "form_factor" / "c" / "0")
    (path / "alphas" / "c" / "1").rename(path / "alphas" / "c" / "old")
    shutil.copytree(path / "alphas" / "c" / "2", path / "alphas" / "c" / "1")
    (path / MANIFEST_FOLDER / "000002.json").write_text("{")
    assert main(["check", str(path), "--workers", "1", "--progress", "false"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"simulate: {path}: 3 of 3 shards are damaged (shard 0: form_factor missing; shard 1: the digest differs;"
        " shard 2: the manifest file cannot be read); to remake a shard, delete its manifest file (such as"
        " manifest/000000.json) and make the store again\n"
    )


def test_the_advice_repairs_the_store(path: Path, oscillators: Recipe) -> None:
    flip(path / "short_range_order" / "c" / "1" / "0" / "0", 5000)
    with pytest.raises(InputError, match=r"delete its manifest file \(such as manifest/000001\.json\)"):
        check_store(path, progress=False)
    (path / MANIFEST_FOLDER / "000001.json").unlink()
    simulate(oscillators, path.parent, workers=1, progress=False)
    check_store(path, progress=False)


def test_many_damaged_shards_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulate.stores.check._MOST_NAMED", 1)
    for shard in range(3):
        (path / MANIFEST_FOLDER / f"{shard:06d}.json").write_text("{}")
    with pytest.raises(InputError, match=r"3 of 3 shards are damaged \(shard 0: [^;]*; and 2 more\)"):
        check_store(path, progress=False)


def test_the_digest_of_the_store_is_checked_too(path: Path) -> None:
    group = json.loads((path / "zarr.json").read_text())
    group["attributes"]["digest"] = "0" * 64
    (path / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(
        InputError, match=r"train\.zarr: every shard matches its manifest, but the store's digest does not"
    ):
        check_store(path, progress=False)


def test_an_unfinished_store_is_not_checked(path: Path) -> None:
    (path / MANIFEST_FOLDER / "000001.json").unlink()
    with pytest.raises(InputError, match="incomplete, 2 of 3 shards written"):
        check_store(path, progress=False)
    with pytest.raises(InputError, match="no such store"):
        check_store(path / "none", progress=False)
