"""The tutorials are notebooks: they run from beginning to end, and find what they say."""

import re
from pathlib import Path

import pytest

from tests.docs.notebooks import printed, run_notebook


@pytest.mark.slow
def test_your_first_plane(tmp_path: Path) -> None:
    text = printed(run_notebook("first_plane", tmp_path))
    assert "explained" in text
    (alpha,) = re.findall(r"\(1, 0, 0\) +(-?[\d.]+) \+- ([\d.]+) +put in -0.2", text)
    assert abs(float(alpha[0]) + 0.2) < 5 * float(alpha[1])
    assert (tmp_path / "repository" / "demo" / "first_plane.nxs").is_file()


@pytest.mark.slow
def test_train_on_your_own_species(tmp_path: Path) -> None:
    text = printed(run_notebook("own_species", tmp_path))
    folder = tmp_path / "repository" / "runs" / "own_species"
    assert (folder / "weights").is_dir() and (folder / "report" / "report.json").is_file()
    errors = {
        (weights, mode): float(error)
        for weights, mode, error in re.findall(
            r"(shipped|fine-tuned) +(networks alone|lattice mode) .*short-range order ([\d.]+)", text
        )
    }
    assert len(errors) == 4
    assert max(errors["shipped", "lattice mode"], errors["fine-tuned", "lattice mode"]) < 0.01


@pytest.mark.slow
def test_a_whole_volume(tmp_path: Path) -> None:
    text = printed(run_notebook("whole_volume", tmp_path))
    rows = re.findall(r"(\d \d \d) +(-?[\d.]+) \+- ([\d.]+) +put in (-?[\d.]+)", text)
    assert len(rows) == 5
    for _, found, uncertainty, truth in rows:
        assert abs(float(found) - float(truth)) < 4 * float(uncertainty) + 1e-4
    assert (tmp_path / "repository" / "demo" / "alloy.refine.cif").is_file()
