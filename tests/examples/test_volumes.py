"""`python -m examples.volumes` on a small volume of its own: table, pictures and page."""

from pathlib import Path

import pytest

from examples import volumes


@pytest.mark.slow
def test_table_pictures_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "_OWN", {"F alloy": "m-3m"})
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- table: F_alloy -->\n<!-- end of table -->\n", encoding="utf-8")
    assert volumes.main(["--out", str(tmp_path / "out"), "--page", str(page)]) == 0
    rows = [
        line.split("|")[1:4] for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "| 1"
    ]
    assert len(rows) >= 3
    for _, truth, found in rows:
        assert abs(float(found.split("(")[0]) - float(truth)) < 0.003
    assert (tmp_path / "example_F_alloy.png").is_file()
    assert (tmp_path / "example_F_alloy_alphas.png").is_file()
