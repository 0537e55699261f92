"""The study of ranges: planes match their cases, finished cases are kept, and the table lists all cases."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ranges
from benchmarks.ranges import Case, Layer
from dsfunet.physics.lattice_plane import LatticePlane


@pytest.fixture(scope="module")
def layer() -> Layer:
    return ranges.build(1, seed=3)[0]


@pytest.mark.slow
def test_planes_are_what_their_line_says(layer: Layer) -> None:
    for line in (Case("", square=8.0), Case("", shift=4.0), Case("", pixels_per_cell=6.0)):
        cell, plane = layer.networks_square(line)
        assert 128 * np.linalg.norm(plane.step_u) == pytest.approx(line.square)
        lattice = LatticePlane(cell, plane, layer.axes)  # which makes sure that these axes span the plane
        layers_apart = lattice.third_index - layer.offset
        assert layers_apart == pytest.approx(round(layers_apart), abs=1e-6)
        if line.pixels_per_cell:
            assert min(lattice.line_spacings()) == pytest.approx(line.pixels_per_cell)
    along = layer.networks_square(Case(""))[1]
    shift = layer.networks_square(Case("", shift=4.0))[1].origin - along.origin
    assert np.linalg.norm(shift) == pytest.approx(4.0)


def test_lines_that_show_the_same_are_judged_once() -> None:
    lines = [line for group in ranges.GROUPS.values() for line in group]
    cut = {line.digest for line in lines if line.name.endswith("cut down to 8")}
    assert cut == {line.digest for line in lines if line.name == "out to 8, which fills the square"}


@pytest.mark.slow
def test_a_table_is_made_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (Case("whole"), Case("small", q_max=3.0, square=6.0, judged=3.0), Case("coarse", pixels=32))
    monkeypatch.setattr(ranges, "GROUPS", {"Planes": lines})
    arguments = ["--planes", "1", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "ranges.md")]
    assert ranges.main(arguments) == 0
    text = (tmp_path / "ranges.md").read_text(encoding="utf-8")
    assert text == capsys.readouterr().out
    assert [line.split(" | ")[0] for line in text.splitlines()[-5:-2]] == ["| whole", "| small", "| coarse"]
    found = json.loads((tmp_path / "work" / f"{lines[0].digest}-1-0.json").read_text(encoding="utf-8"))
    # A plane as in training: lattice mode is well under an answer that is the same everywhere.
    assert found["lattice/order"][0] < 0.1 * found["flat/order"][0]
    assert ranges.main(arguments) == 0 and (tmp_path / "ranges.md").read_text(encoding="utf-8") == text
