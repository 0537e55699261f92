"""Unit cells in nm, pm or radians: asked about, and converted when the user names the units."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.inspection.describe import inspect
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.io.cell_units import CellUnits, parse_cell_units

CELL = (7.0, 9.0, 5.0, 90.0, 100.0, 120.0)
RADIANS = [float(value) for value in np.radians(CELL[3:])]
CASES = {
    "nm": (
        [0.7, 0.9, 0.5, *CELL[3:]],
        "in nm they would be 7 9 5 Angstrom: give --cell-unit 'nm', or 'angstrom'",
    ),
    "pm": (
        [700.0, 900, 500, *CELL[3:]],
        "in pm they would be 7 9 5 Angstrom: give --cell-unit 'pm', or 'angstrom'",
    ),
    "radians": (
        [*CELL[:3], *RADIANS],
        "in radians they would be 90 100 120 degrees: give --cell-unit 'radians', or",
    ),
    "nm radians": (
        [0.7, 0.9, 0.5, *RADIANS],
        "give --cell-unit 'nm radians', or 'angstrom degrees' if the numbers",
    ),
}


def write(path: Path, cell: list[float]) -> Path:
    with h5py.File(path, "w") as file:
        file["format"], file["is_direct"], file["data"] = "Yell 1.0", False, np.ones((41, 41, 1))
        file["lower_limits"], file["step_sizes"], file["unit_cell"] = [-6.0, -6, 0], [0.3, 0.3, 1], cell
    return path


@pytest.mark.parametrize("units", CASES)
def test_doubtful_units_are_asked_about_and_converted(tmp_path: Path, units: str) -> None:
    numbers, question = CASES[units]
    path = write(tmp_path / "a.h5", numbers)
    with pytest.raises(InputError) as found:
        read_plane(path)
    assert question in str(found.value) and str(found.value).startswith(f"{path}: unit_cell is ")
    assert question in dict(inspect(path).lines)["cell"]
    options = ReadOptions(cell_units=parse_cell_units(units))
    grid = read_plane(path, options=options).grid
    assert grid is not None
    np.testing.assert_allclose(grid.cell.parameters, CELL)
    assert dict(inspect(path, options=options).lines)["cell"].startswith("7 9 5 Angstrom, 90 100 120 degrees")
    assert read_plane(path, cell=cell_from_text("7 9 5 90 100 120")).grid is not None


def test_edges_that_are_really_short_can_be_confirmed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", [1.5, 1.6, 9, 90, 90, 90])
    with pytest.raises(InputError, match=r"edges are below 2 Angstrom"):
        read_plane(path)
    grid = read_plane(path, options=ReadOptions(cell_units=CellUnits(edges="angstrom"))).grid
    assert grid is not None and grid.cell.a == 1.5


def test_a_plausible_cell_is_converted_too(tmp_path: Path) -> None:
    """A cell of 2.5 nm is plausible in Angstrom, but the user knows better."""
    path = write(tmp_path / "a.h5", [2.5, 3, 4, 90, 90, 90])
    grid = read_plane(path, options=ReadOptions(cell_units=CellUnits(edges="nm"))).grid
    assert grid is not None and grid.cell.parameters[:3] == (25, 30, 40)


def test_plausible_cells_are_not_asked_about(tmp_path: Path) -> None:
    for cell in ([2.29, 2.29, 3.58, 90, 90, 120], [350.0, 60, 70, 90, 90, 90], [7, 9, 1.0, 90, 90, 90]):
        grid = read_plane(write(tmp_path / "a.h5", cell)).grid
        assert grid is not None and list(grid.cell.parameters) == cell


def test_units_in_a_cell_that_is_typed() -> None:
    np.testing.assert_allclose(cell_from_text("0.7 0.9 0.5 90 100 120 nm").parameters, CELL)
    assert cell_from_text("1.5 1.6 9 90 90 90 angstrom").a == 1.5
    with pytest.raises(
        InputError, match=r"in nm they would be 7 9 5 Angstrom: write the units behind it, 'nm', or"
    ):
        cell_from_text("0.7 0.9 0.5 90 90 90")


@pytest.mark.parametrize("text", ["", "inch", "nm pm", "nm nm", "radians degrees"])
def test_units_that_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected angstrom, nm or pm for the edges"):
        parse_cell_units(text)


def test_a_question_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.h5", CASES["nm"][0])
    assert main(["factorize", str(path), "-o", str(tmp_path / "a.nxs")]) == 2
    assert CASES["nm"][1] in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]
