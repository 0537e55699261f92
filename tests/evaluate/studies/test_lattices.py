"""The study of lattices: which lattices count as right, rates that add up, and wrong input."""

from pathlib import Path

import numpy as np
import pytest

from dsfunet.data.store import Store
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.lattice_plane import LatticePlane
from evaluate.__main__ import main
from evaluate.studies.lattices import (
    OUTCOMES,
    LatticeRequest,
    evaluate_lattices,
    spans_same_lattice,
    true_vectors,
)
from evaluate.studies.lattices_report import lattice_tables, write_lattices


def test_another_basis_of_the_same_lattice_is_right_and_a_sublattice_is_not() -> None:
    cell = Cell(6, 7, 8, 90, 120, 90)
    vectors = true_vectors(LatticePlane(cell, plane_through(cell, (0, 2), 0.0, 7.0), (0, 2)))
    assert np.linalg.norm(vectors[1]) == pytest.approx(8 * 14 / 256 / (2 * np.pi))
    assert spans_same_lattice(np.array([[1.01, 1.0], [0.0, -1.0]]) @ vectors, vectors)
    assert not spans_same_lattice(np.array([[2.0, 0.0], [0.0, 1.0]]) @ vectors, vectors)
    assert not spans_same_lattice(np.array([[1.3, 0.0], [0.0, 1.0]]) @ vectors, vectors)


@pytest.mark.slow
def test_the_report_is_whole_and_its_rates_add_up(store: Store, small_weights: Path, tmp_path: Path) -> None:
    request = LatticeRequest(
        str(small_weights), str(store.path), 2, allow_trained_species=True, progress=False
    )
    plain, timing = evaluate_lattices(request)
    for table in plain["rates"].values():
        for each in table.values():
            assert sum(each[name] for name in OUTCOMES) == pytest.approx(1)
    # A factor of 1 on the axis is the true lattice.
    known = plain["errors"]["as stored"]["known"]["short_range_order"]["median"]
    if plain["given"]["exact"]["accepted"] == 1:
        assert plain["given"]["exact"]["median_mse"] == pytest.approx(known, rel=1e-3)
    write_lattices(plain, timing, tmp_path / "lattices")
    text = (tmp_path / "lattices" / "report.md").read_text(encoding="utf-8")
    assert text.startswith("\n".join(lattice_tables(plain)))


@pytest.mark.parametrize(
    ("samples", "said"), [("13", "expected 1 to 12"), ("12", "expected a new or empty folder")]
)
def test_what_the_command_refuses(
    samples: str,
    said: str,
    store: Store,
    small_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if samples == "12":
        (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    arguments = ["--weights", str(small_weights), "--shards", str(store.path), "--samples", samples]
    assert main(["lattices", *arguments, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
