"""The example volume in two formats: the script makes both, and both give the same planes and components."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, ImageColor

from dsfunet.cli.main import main
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.io import open_volume, read_plane
from examples.draw_screen import BACKGROUND, COMMANDS, LABEL, OUTPUT, draw, wrap_line
from examples.make_example import CELL, LAYERS, NEXUS, YELL, simulate_layers, write_nexus, write_yell


def test_the_files_are_what_the_script_makes(tmp_path: Path) -> None:
    layers = simulate_layers()
    with h5py.File(YELL) as yell, h5py.File(NEXUS) as nexus:
        # Rounding in the last digit may tip a Poisson count in a pixel or two on another machine.
        differ = np.abs(np.nan_to_num(yell["data"][()] - layers, nan=0.0)) > 0
        assert differ.mean() < 1e-4 and np.array_equal(np.isnan(yell["data"][()]), np.isnan(layers))
        np.testing.assert_array_equal(nexus["entry/transform/data"][()].T, yell["data"][()])
    for path, write in ((YELL, write_yell), (NEXUS, write_nexus)):
        write(tmp_path / path.name, layers)
        assert path.stat().st_size < 400_000
        with h5py.File(path) as committed, h5py.File(tmp_path / path.name) as made:
            found: list[set[str]] = [set(), set()]
            for file, names in zip((committed, made), found, strict=True):
                file.visit(names.add)
            assert found[0] == found[1]


@pytest.mark.parametrize("name", ["hk0", "h k 0.5", "hk1", "h0l", "-2kl", "hhl"])
def test_both_layouts_read_to_the_same_plane(name: str) -> None:
    """Read planes along and across the axes, which one format stores in reverse order."""
    yell, nexus = (read_plane(path, name) for path in (YELL, NEXUS))
    assert yell.grid is not None and nexus.grid is not None
    assert nexus.grid.name == yell.grid.name and nexus.grid.cell == yell.grid.cell == CELL
    np.testing.assert_array_equal(nexus.intensity, yell.intensity)
    np.testing.assert_allclose(nexus.grid.rows, yell.grid.rows, atol=1e-12)
    np.testing.assert_allclose(nexus.grid.columns, yell.grid.columns, atol=1e-12)


def test_nexus_says_what_it_is() -> None:
    with open_volume(NEXUS) as volume:
        assert volume.layout == "NXRefine, entry/transform/data"
        assert volume.axes.counts == (257, 257, len(LAYERS))
    with h5py.File(NEXUS) as file:
        transform = file[file.attrs["default"]][file["entry"].attrs["default"]]
        assert list(transform.attrs["axes"]) == ["Ql", "Qk", "Qh"]
        assert [len(transform[each]) for each in transform.attrs["axes"]] == list(transform["data"].shape)


def test_both_layouts_give_the_same_components() -> None:
    factorizer = Factorizer.from_pretrained("cpu")
    first, second = (
        factorize_plane(read_plane(path, "hk1"), factorizer=factorizer) for path in (YELL, NEXUS)
    )
    assert first.verdict.level == "explained" and first.lattice.startswith("used")
    for name, plane in first.result.planes().items():
        np.testing.assert_allclose(second.result.planes()[name], plane, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_screen_is_drawn_as_the_commands_speak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line of output is drawn; the committed picture shows these commands and is not large."""
    assert wrap_line("lattice    " + "word " * 60)[1].startswith(" " * 11 + "word ")
    picture = draw(["$ dsfunet inspect a.nxs", "file       a.nxs"])
    # Prompt, command, label and text have a colour each.
    colours = {colour for _, colour in picture.getcolors(2**16) or []}
    assert {ImageColor.getrgb(each) for each in (BACKGROUND, LABEL)} <= colours
    with Image.open(OUTPUT) as committed:
        assert committed.width == picture.width and OUTPUT.stat().st_size < 200_000
    for command in COMMANDS:
        words = (
            [*command.split()[1:], "--weights", "nowhere"] if "factorize" in command else command.split()[1:]
        )
        words = [word.replace("examples/", f"{NEXUS.parent}/") for word in words]
        words = [
            str(tmp_path / word) if word.endswith(".png") or word == "hk1.nxs" else word for word in words
        ]
        assert main(words) == (2 if "factorize" in command else 0)
    assert "stored as [l, k, h]" in capsys.readouterr().out
