"""`python -m simulate show`: a contact sheet of a store, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest

import simulate.stores.gallery
from dsfunet.data.store import open_store
from dsfunet.planes.preprocessing import network_input
from simulate.__main__ import main
from simulate.stores.gallery import draw_gallery, missing_shares, picture_of


@pytest.mark.slow
def test_a_sheet_is_a_png_and_follows_the_seed(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, sheets = tiny_store / "train.zarr", []
    for seed in (1, 1, 2):
        out = tmp_path / f"sheet{len(sheets)}.png"
        assert main(["show", str(store), "-o", str(out), "--samples", "3", "--seed", str(seed)]) == 0
        assert capsys.readouterr().out == f"{out}: 3 of 12 planes of {store}\n"
        sheets.append(out.read_bytes())
    assert sheets[0].startswith(b"\x89PNG")
    assert sheets[0] == sheets[1] != sheets[2]


@pytest.mark.slow
def test_more_planes_than_there_are_is_all_of_them(tiny_store: Path, tmp_path: Path) -> None:
    line = simulate.stores.gallery.save_gallery(
        tiny_store / "validation.zarr", tmp_path / "all.png", samples=99
    )
    assert "8 of 8 planes" in line


def test_a_panel_is_what_the_networks_see(tiny_store: Path) -> None:
    store = open_store(tiny_store / "train.zarr")
    for index in range(len(store)):
        sample, picture = store.sample(index), picture_of(store, index)
        shown = network_input(sample.scattering, sample.mask)[0]
        np.testing.assert_array_equal(np.ma.filled(picture.scattering, -1.0), shown)
        np.testing.assert_array_equal(np.ma.getmaskarray(picture.scattering), ~sample.mask)
        names = [store.attributes["species_names"][each] for each in store.metadata("species")[index]]
        first, second = picture.title.splitlines()
        assert first == " / ".join(names).replace("_", " ")
        assert second.startswith(f"plane {index}: ")
        assert second.endswith(f"{100 * (1 - sample.mask.mean()):.0f} % missing")
        assert store.attributes["order_kinds"][store.metadata("order_kind")[index]].split("_")[0] in second


def test_the_histogram_counts_every_mask(tiny_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tiny_store / "train.zarr")
    expected = [1 - store.sample(index).mask.mean() for index in range(len(store))]
    shares = missing_shares(store, np.random.default_rng(0))
    np.testing.assert_allclose(shares, expected)
    figure = draw_gallery(store, [picture_of(store, 0)], shares)
    axes = figure.subfigs[-1].axes[0]
    assert sum(patch.get_height() for patch in axes.patches) == len(store)  # type: ignore[attr-defined]

    monkeypatch.setattr(simulate.stores.gallery, "MOST_MASKS", 5)
    some = missing_shares(store, np.random.default_rng(0))
    assert len(some) == 5
    assert all(np.isclose(share, expected).any() for share in some)


@pytest.mark.parametrize(
    ("store", "out", "sentence"),
    [
        ("none.zarr", "sheet.png", "none.zarr: no such store"),
        ("train.zarr", "", "this is a directory; expected the name of a file to write"),
        ("train.zarr", "none/sheet.png", "does not exist"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(
    tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], store: str, out: str, sentence: str
) -> None:
    assert main(["show", str(tiny_store / store), "-o", str(tmp_path / out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert list(tmp_path.iterdir()) == []


def test_no_planes_are_refused(tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^samples is 0 and seed is 0; expected samples of 1 or more"):
        simulate.stores.gallery.save_gallery(tiny_store / "train.zarr", tmp_path / "sheet.png", samples=0)
