"""The benchmark of virtual crystals: truths are read by vector, and the page has a line for every plane."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import crystals
from benchmarks.crystal_seeds import SeedRow, _join, list_table
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.lattice.joint_fit import fit_plane
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName


def test_truths_of_a_layer_are_read_by_vector() -> None:
    hk0, h0l = PlaneName((0, 1), 0.0), PlaneName((0, 2), 0.0)
    assert crystals._layer_vectors({"layer": {"1 0 -1": 0.1, "1/2 0 0": 0.2}}, h0l, 0.5) == {
        (1.0, 0.0, -1.0): 0.1,
        (0.5, 0.0, 0.0): 0.2,
    }
    assert crystals._layer_vectors({"layer": {"2 1": 0.1}}, h0l, 0.5) == {(2.0, 0.0, 1.0): 0.1}
    assert crystals._layer_vectors({"layer0": {"1 1": 0.3}}, hk0, 0.5) == {(0.5, 0.5, 0.0): 0.3}
    assert crystals._layer_vectors({"layer0": {"1 1": 0.3}}, PlaneName((0, 1), 0.5), 0.5) == {}
    assert crystals._layer_vectors({"layer0": {"1 1": 0.3}}, hk0, 1.0) == {(1.0, 1.0, 0.0): 0.3}
    assert crystals._layer_vectors({"c": 0.25}, hk0, 0.5) == {}


def test_the_page_has_a_line_for_every_plane() -> None:
    axis = np.linspace(-3, 3, 91)
    h, k = np.meshgrid(axis, axis, indexing="ij")
    order = 1 - 0.4 * np.cos(2 * np.pi * h)
    counts = np.random.default_rng(0).poisson(900 * np.exp(-(h**2 + k**2) / 9) * order).astype(np.float64)
    grid = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), axis, axis)
    fit = fit_plane(counts, np.full(counts.shape, True), grid, most_harmonics=20)
    place, _ = fit.harmonics.find((1, 0, 0), grid.name)
    values = (("1 0", -0.2, float(fit.alphas[place]), float(fit.alpha_sigmas[place])),)
    row = crystals.Row(
        "example, complete", fit, "P (assumed)", "explained", 0.2, values, values, (0.7, 0.95, 0.68, 0.94)
    )
    text = "\n".join(crystals.page([row], [row]))
    assert text.count("| example, complete | 1 0: -0.2000 / -0.") == 2
    assert "| 70 %, 95 % | 68 %, 94 % |" in text and "## A shared set of crystals" in text
    assert "## A shared" not in "\n".join(crystals.page([row], []))


def test_errors_of_many_crystals_are_joined() -> None:
    covered = np.array([0.7, 0.95, 0.68, 0.94])
    rows = [
        SeedRow("one", 1, right, np.array([0.003, -0.001]), np.array([0.001, 0.001]), covered)
        for right in (1, 0)
    ]
    joined = _join("all", rows)
    assert (joined.planes, joined.right) == (2, 1)
    assert joined.rms_pull == pytest.approx(np.sqrt(5))
    assert list_table([joined])[2] == ("| all | 2 | 1 | 2.24 | 0.0022 | 0.0030 | 70 %, 95 % | 68 %, 94 % |")
    assert "## Many crystals" in "\n".join(crystals.page([], [], [joined]))


def test_a_folder_without_truth_is_an_error(tmp_path: Path) -> None:
    release = Factorizer.from_pretrained(device="cpu")
    with pytest.raises(InputError, match=r"it has no truth\.json; expected a folder of planes"):
        list(crystals.shared_crystals(tmp_path, release))
    (tmp_path / "truth.json").write_text(
        json.dumps({"absent_0": {"layer": {"1 0 0": 0.1}}}), encoding="utf-8"
    )
    assert list(crystals.shared_crystals(tmp_path, release)) == []


def test_planes_without_their_folder_are_an_error() -> None:
    with pytest.raises(InputError, match="it names planes of a folder; expected --shared FOLDER"):
        crystals.main(["--only", "[two_0]"])
