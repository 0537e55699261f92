"""Sheared cells have the same edges, angles within their range, and a volume that is never small."""

from itertools import product

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell
from simulate.crystals.sheared_cells import shear_cell

ORTHOGONAL = Cell(5.0, 7.0, 11.0)
HEXAGONAL = Cell(9.0, 4.0, 9.0, 90.0, 120.0, 90.0)
CASES = [(ORTHOGONAL, 0.874), (HEXAGONAL, 0.520)]


def volume_share(cell: Cell) -> float:
    """Volume over a b c."""
    return float(np.linalg.det(cell.direct)) / (cell.a * cell.b * cell.c)


@pytest.mark.parametrize(("cell", "least"), CASES)
def test_edges_stay_and_angles_keep_to_their_range(cell: Cell, least: float) -> None:
    rng = np.random.default_rng(0)
    sheared = np.array([shear_cell(cell, rng).parameters for _ in range(1000)])
    assert (sheared[:, :3] == cell.parameters[:3]).all()
    shear = sheared[:, 3:] - cell.parameters[3:]
    assert np.abs(shear).max() <= 15.0
    assert np.abs(np.corrcoef(shear.T) - np.eye(3)).max() < 0.15
    np.testing.assert_allclose(shear.std(axis=0), 30 / np.sqrt(12), rtol=0.1)
    assert min(volume_share(Cell(*each)) for each in sheared.tolist()) >= least


@pytest.mark.parametrize(("cell", "least"), CASES)
def test_the_bound_is_that_of_the_most_sheared_cell(cell: Cell, least: float) -> None:
    """The smallest volume lies at the ends of the three ranges."""
    ends = [np.add(cell.parameters[3:], shear).tolist() for shear in product((-15.0, 0.0, 15.0), repeat=3)]
    found = min(volume_share(Cell(*cell.parameters[:3], *angles)) for angles in ends)
    assert least <= found < least + 1e-3


def test_the_same_stream_gives_the_same_cell() -> None:
    first, second = (shear_cell(ORTHOGONAL, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert first != shear_cell(ORTHOGONAL, np.random.default_rng(4))


def test_a_cell_that_is_oblique_already_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^the cell angles are \(90\.0, 100\.0, 90\.0\) degrees; expected 90 90 90 or"
    ):
        shear_cell(Cell(5.0, 7.0, 11.0, 90.0, 100.0, 90.0), np.random.default_rng(0))
