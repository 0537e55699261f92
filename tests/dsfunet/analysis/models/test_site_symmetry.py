"""Models against the symmetry of their site."""

import numpy as np
import pytest

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import VACANCY
from dsfunet.analysis.models.site_symmetry import check_site_symmetry, parse_site_symmetry
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from tests.dsfunet.structural_models import amide

CELL = Cell(9.0, 7.0, 11.0, 90, 104, 90)
ALONG_B = np.array([0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("symbol", "order"),
    [("1", 1), ("-1", 2), ("2/m", 4), ("1 1 2/m", 4), ("mmm", 8), ("3m", 6), ("-3m", 12), ("m-3m", 48)],
)
def test_point_groups_have_their_order(symbol: str, order: int) -> None:
    assert len(parse_site_symmetry(symbol)) == order


@pytest.mark.parametrize("symbol", ["foo", "", "21", "P 2"])
def test_symbols_that_are_no_point_group_are_refused(symbol: str) -> None:
    with pytest.raises(InputError, match=r"^--site-symmetry .*this is no point group"):
        parse_site_symmetry(symbol)


def test_two_orientations_by_the_axis_of_the_site_agree_with_it() -> None:
    away = amide().at(amide().positions_angstrom + np.array([0.8, 0.0, 1.1]))
    pair = ModelPair("pair", away, away.turned(ALONG_B, 180, np.zeros(3)))
    assert check_site_symmetry(pair, "2", CELL) is None
    about_centroid = ModelPair("pair", away, away.turned(ALONG_B, 180, away.centroid))
    note = check_site_symmetry(about_centroid, "2", CELL)
    assert note is not None and "cannot be right for that site; about the point" in note
    other_axis = ModelPair("pair", away, away.turned(np.array([1.0, 0, 0]), 180, np.zeros(3)))
    note = check_site_symmetry(other_axis, "2", CELL)
    assert note is not None and note.endswith("cannot be right for that site")


def test_a_vacancy_takes_the_place_of_a_molecule_with_the_symmetry_of_the_site() -> None:
    pair = ModelPair("pair", amide(), VACANCY)
    assert check_site_symmetry(pair, "1", CELL) is None
    assert check_site_symmetry(pair, "-1", CELL) is not None
