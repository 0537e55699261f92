"""One measured plane from its grid and back, with both answers where a lattice was tried."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.factorize import Factorizer
from dsfunet.io import MeasuredPlane, PlaneGrid, read_plane, read_result, write_result
from dsfunet.physics import Cell
from dsfunet.separation import separate

EXAMPLE = Path(__file__).parents[2] / "examples" / "cresol_benzene.h5"


@pytest.fixture(scope="module")
def factorizer() -> Factorizer:
    return Factorizer.from_pretrained("cpu")


@pytest.fixture(scope="module")
def measured() -> MeasuredPlane:
    return read_plane(EXAMPLE, "hk1")


def test_on_a_lattice_that_fits_the_networks_answer_stands_beside(
    factorizer: Factorizer, measured: MeasuredPlane, tmp_path: Path
) -> None:
    found = separate(measured, factorizer, source="a.h5", asked_for="hk1")
    assert found.lattice.startswith("used (wR2 ") and "they differ in I_FF by" in found.lattice
    alone = separate(measured, factorizer, use_lattice=False)
    assert alone.lattice == "not used: the networks alone"
    assert alone.result.form_factor_of_networks is None and alone.result.form_factor_on_lattice is None
    result = found.result
    np.testing.assert_array_equal(result.form_factor_of_networks, alone.result.form_factor)
    np.testing.assert_array_equal(result.short_range_order_of_networks, alone.result.short_range_order)
    assert result.form_factor_on_lattice is None
    assert found.r_factor < alone.r_factor
    assert (result.process["source"], result.process["lattice_mode"]) == ("a.h5", found.lattice)
    write_result(tmp_path / "result.nxs", result)
    again = read_result(tmp_path / "result.nxs")
    assert again.planes().keys() == result.planes().keys()
    for name, plane in result.planes().items():
        np.testing.assert_array_equal(again.planes()[name], plane)


def test_on_a_lattice_that_does_not_fit_the_networks_are_shown_and_its_answer_stands_beside(
    factorizer: Factorizer, measured: MeasuredPlane
) -> None:
    grid = measured.grid
    assert grid is not None
    # The same pixels in 1/Angstrom, on a lattice a third longer.
    wrong = PlaneGrid(
        Cell(11.2, 11.2, 3.6, 90, 90, 120), grid.name, grid.rows * 11.2 / 8.4, grid.columns * 11.2 / 8.4
    )
    found = separate(replace(measured, grid=wrong), factorizer)
    assert found.lattice.startswith("does not explain the plane, the networks alone are shown (wR2 ")
    alone = separate(measured, factorizer, use_lattice=False).result
    np.testing.assert_allclose(found.result.form_factor, alone.form_factor, atol=1e-3)
    assert found.result.form_factor_of_networks is None
    assert found.result.short_range_order_on_lattice is not None
    assert np.nanmax(np.abs(found.result.short_range_order_on_lattice - alone.short_range_order)) > 0.1


@pytest.mark.parametrize("unit", [1e-40, 1e35])
def test_units_beyond_32_bits_are_refused(
    factorizer: Factorizer, measured: MeasuredPlane, unit: float
) -> None:
    with pytest.raises(InputError, match=r"the brightest pixel is .*, expected between"):
        separate(replace(measured, intensity=unit * measured.intensity), factorizer)
