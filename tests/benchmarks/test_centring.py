"""The benchmark of centrings: every kind of plane is judged, rows are kept, and the page counts them."""

from pathlib import Path

import pytest

from benchmarks import centring
from dsfunet.errors import InputError


def test_cases_are_counted_and_measured() -> None:
    cases = list(centring.list_cases())
    assert len(set(cases)) == len(cases)
    assert {case.group for case in cases} == {"one site", "several sites", "fault"}
    for group in ("one site", "several sites", "fault"):
        counts, mask, grid, right = next(case for case in cases if case.group == group).measure()
        assert counts.shape == mask.shape == grid.shape and right == "P"


def test_a_run_stops_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        centring.Case("one site", "cubic I", "atoms", 200.0, 10),
        centring.Case("several sites", "unlike atoms", "", 200.0, 10),
        centring.Case("fault", "P alloy", "Bragg 0.1", 200.0, 10),
    ]
    monkeypatch.setattr(centring, "list_cases", lambda: iter(cases))
    monkeypatch.setattr(centring, "OUT", tmp_path / "page.md")
    kept = str(tmp_path / "rows.jsonl")
    assert centring.main(["--rows", kept, "--most", "2"]) == 0
    assert "1 planes are left" in capsys.readouterr().out and not (tmp_path / "page.md").exists()
    assert centring.main(["--rows", kept]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| one site a primitive cell, atoms | 200 | 1 | 1 | 0 | 0 | 0 |" in text
    assert "| two sites a primitive cell | 200 | 1 | 1 | 0 | 0 | 1 |" in text
    assert "| one site, with Bragg | 200 | 1 | 1 | 0 | 0 | 0 |" in text and text.endswith("none\n")


def test_planes_would_be_lost() -> None:
    with pytest.raises(InputError, match="--most: planes would be lost"):
        centring.main(["--most", "1"])
