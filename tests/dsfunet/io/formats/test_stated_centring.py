"""The centring goes from the space group in each kind of file to the plane, through all that makes new planes."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.cleanup import CleanUp, clean
from dsfunet.errors import InputError
from dsfunet.inspection.describe import inspect
from dsfunet.io import MeasuredPlane, PlaneGrid, Result, open_volume, read_plane, write_result
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane
from tests.dsfunet.io.formats.test_disorder import unified
from tests.dsfunet.io.formats.test_nxdata import nxrefine
from tests.dsfunet.io.formats.test_yell import write
from tests.dsfunet.io.formats.test_yell_cells import metric

CUBIC = np.array([5.0, 5, 5, 90, 90, 90])


def add(path: Path, place: str, value: object) -> Path:
    with h5py.File(path, "a") as file:
        file[place] = value
    return path


@pytest.mark.parametrize("plane", ["hk0", "hhl"])
def test_meerkat(tmp_path: Path, plane: str) -> None:
    path = write(tmp_path / "v.h5", unit_cell=CUBIC, space_group_nr=225)
    assert read_plane(path, plane).centring == "F"
    assert read_plane(write(tmp_path / "1.h5", unit_cell=CUBIC, space_group_nr=1), plane).centring is None
    assert read_plane(write(tmp_path / "n.h5", unit_cell=CUBIC), plane).centring is None


def test_an_unknown_number_is_noted(tmp_path: Path) -> None:
    measured = read_plane(write(tmp_path / "v.h5", unit_cell=CUBIC, space_group_nr=999), "hk0")
    assert measured.centring is None and "'999', which is not known" in measured.notes[-1]


def test_the_space_group_of_another_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", space_group_nr=15, metric_tensor=metric(12, 7, 8, 90, 100, 90))
    measured = read_plane(path, "hk0")
    assert measured.centring is None and "belongs to unit_cell and not to these axes" in measured.notes[-1]


def test_the_cell_of_the_user_counts(tmp_path: Path) -> None:
    """A placeholder in the file says nothing about the shape of the cell."""
    path = write(tmp_path / "v.h5", unit_cell=np.array([1, 1, 1, 90, 90, 90.0]), space_group_nr=225)
    assert read_plane(path, "hk0", cell=Cell(5, 5, 5)).centring == "F"
    primitive = read_plane(path, "hk0", cell=Cell(3.5, 3.5, 3.5, 60, 60, 60))
    assert primitive.centring is None and "does not fit the unit cell" in primitive.notes[-1]


def test_unified_disorder(tmp_path: Path) -> None:
    path = add(unified(tmp_path / "u.h5"), "entry/data/symmetry_space_group_name_H-M", np.bytes_(b"C 2/c"))
    with open_volume(path) as volume:
        assert volume.space_group == "C 2/c" and volume.details["space group"] == "C 2/c"
        assert volume.find_centring()[0] == ("C" if volume.cell and volume.cell.alpha == 90 else None)


@pytest.mark.parametrize(
    ("name", "value", "centring"),
    [
        ("space_group", "C m c m", "C"),
        ("space_group_number", 63, "C"),
        ("lattice_centring", "B", "B"),
        ("lattice_centring", "P", None),
    ],
)
def test_nexus_sample(tmp_path: Path, name: str, value: object, centring: str | None) -> None:
    path = add(nxrefine(tmp_path / "n.nxs"), f"entry/sample/{name}", value)
    with h5py.File(path, "a") as file:
        for each, length in zip(("alpha", "beta", "gamma"), (90, 90, 90), strict=True):
            file[f"entry/sample/unitcell_{each}"][...] = length
    with open_volume(path) as volume:
        assert volume.find_centring() == (centring, ())


@pytest.mark.parametrize("name", ["hk0", "hhl"])
def test_a_result_keeps_its_centring(tmp_path: Path, name: str) -> None:
    grid = PlaneGrid(Cell(5, 5, 5), parse_plane(name), np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    ones = np.ones((5, 5))
    lattice = json.dumps({"answer": "joint fit", "centring": "F", "centring_from": "file"})
    result = Result(ones, ones, ones, ones, 0 * ones, ones > 0, grid, process={"lattice": lattice})
    write_result(tmp_path / "r.nxs", result)
    assert read_plane(tmp_path / "r.nxs").centring == "F"
    assert ("centring", "F, as the file states") in inspect(tmp_path / "r.nxs").lines


def test_clean_up_and_inspect_keep_it(tmp_path: Path) -> None:
    path = write(tmp_path / "v.h5", unit_cell=CUBIC, space_group_nr=225)
    cleaned, _ = clean(read_plane(path, "hk0"), CleanUp(mask_above=1e6))
    assert cleaned.centring == "F"
    assert ("centring", "F, as the file states") in inspect(path, "hk0").lines
    assert "centring" not in dict(inspect(write(tmp_path / "n.h5"), "hk0").lines)


def test_an_unknown_centring_is_refused() -> None:
    with pytest.raises(InputError, match="centring is 'Q'; expected one of P, A"):
        MeasuredPlane(np.ones((3, 3)), centring="Q")  # type: ignore[arg-type]
