"""One measured plane from its grid and back, with both answers where a lattice was tried."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.cleanup import CleanUp
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.pipeline import factorize_plane, half_side
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.io import MeasuredPlane, PlaneGrid, read_plane, read_result, write_result
from dsfunet.physics import Cell
from dsfunet.planes.resampling import resample, to_network_grid

EXAMPLE = Path(__file__).parents[3] / "examples" / "cresol_benzene.h5"


@pytest.fixture
def factorizer(release: Factorizer) -> Factorizer:
    return release


@pytest.fixture(scope="module")
def measured() -> MeasuredPlane:
    return read_plane(EXAMPLE, "hk1")


def to_network_order(order: npt.NDArray[np.float32], measured: MeasuredPlane) -> npt.NDArray[np.float64]:
    """I_SRO on the user's grid, brought to the networks'."""
    _, plane = to_network_grid(measured)
    assert measured.grid is not None and plane is not None
    return resample(order.astype(np.float64), measured.grid.plane, plane)


def test_on_a_lattice_that_fits_the_networks_answer_stands_beside(
    factorizer: Factorizer, measured: MeasuredPlane, tmp_path: Path
) -> None:
    found = factorize_plane(measured, factorizer=factorizer, source="a.h5", requested_plane="hk1")
    assert (
        found.lattice.startswith("used (chi-squared ")
        and "the two answers differ in I_FF by" in found.lattice
    )
    alone = factorize_plane(measured, FactorizeSettings(lattice=False), factorizer)
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
    found = factorize_plane(replace(measured, grid=wrong), factorizer=factorizer)
    assert found.lattice.startswith(
        "rejected because it does not explain the plane: the networks alone (chi-squared "
    )
    alone = factorize_plane(measured, FactorizeSettings(lattice=False), factorizer).result
    np.testing.assert_allclose(found.result.form_factor, alone.form_factor, atol=1e-3)
    assert found.result.form_factor_of_networks is None
    assert found.result.short_range_order_on_lattice is not None
    assert np.nanmax(np.abs(found.result.short_range_order_on_lattice - alone.short_range_order)) > 0.1


def test_without_axes_the_lattice_is_found(factorizer: Factorizer, measured: MeasuredPlane) -> None:
    shown, _ = to_network_grid(measured)
    known = factorize_plane(MeasuredPlane(shown), factorizer=factorizer)
    assert known.lattice.startswith("found in the plane itself, periods of ") and "used (wR2" in known.lattice
    # The lines of a hexagonal lattice, 14 1/Angstrom over 256 pixels.
    period = 4 * np.pi / (np.sqrt(3) * 8.4) / half_side(to_network_grid(measured)[1]) * 128
    said = re.search(r"periods of ([\d.]+) and ([\d.]+) pixels", known.lattice)
    assert said is not None
    assert [float(each) for each in said.groups()] == pytest.approx([period, period], abs=0.02)
    on_cell = to_network_order(
        factorize_plane(measured, factorizer=factorizer).result.short_range_order, measured
    )
    alone = factorize_plane(
        MeasuredPlane(shown), FactorizeSettings(lattice=False), factorizer
    ).result.short_range_order
    seen = np.isfinite(on_cell)
    found = known.result.short_range_order
    errors = [np.mean((np.sqrt(each[seen]) - np.sqrt(on_cell[seen])) ** 2) for each in (found, alone)]
    # The one is a joint fit to the user's pixels, the other a series on the networks' grid.
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize("counts", [None, 100])
@pytest.mark.parametrize("width", [5000, 20000])
def test_a_plane_on_which_nothing_repeats_has_no_lattice(
    factorizer: Factorizer, width: int, counts: int | None
) -> None:
    rows, columns = np.indices((256, 256)) - 128
    smooth = np.exp(-(rows**2 + columns**2) / width) * (1 + 0.3 * np.cos(rows / 40 + columns / 30))
    if counts is not None:
        smooth = np.random.default_rng(3).poisson(smooth * counts).astype(float)
    found = factorize_plane(MeasuredPlane(smooth), factorizer=factorizer)
    assert found.lattice == "no convincing lattice found: the networks alone"
    assert found.result.short_range_order_on_lattice is None


@pytest.mark.parametrize("unit", [1e-40, 1e35])
def test_units_beyond_32_bits_are_refused(
    factorizer: Factorizer, measured: MeasuredPlane, unit: float
) -> None:
    with pytest.raises(InputError, match=r"the brightest pixel is .*; expected 1e-30 to 1e\+30"):
        factorize_plane(replace(measured, intensity=unit * measured.intensity), factorizer=factorizer)


def test_notes_of_the_clean_up_reach_the_user(factorizer: Factorizer, measured: MeasuredPlane) -> None:
    # Inversion takes hk1 to hk-1.
    settings = FactorizeSettings(clean_up=CleanUp(laue="-1"))
    notes = factorize_plane(measured, settings, factorizer).notes
    assert "only the identity of -1 maps this plane onto itself" in notes[0]
