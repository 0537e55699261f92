"""Averaging over a Laue class: noise, gaps, uncertainties, wrong classes, and grids that operations do not keep."""

import numpy as np
import pytest

from dsfunet.cleanup.symmetry import average, average_symmetry, find_pixel_maps
from dsfunet.errors import InputError
from dsfunet.physics import plane_through
from dsfunet.physics.symmetry import laue_rotations
from tests.dsfunet.cleanup_planes import HEXAGONAL, TETRAGONAL, TRICLINIC, grid, scattering


def test_noise_falls_by_the_root_of_the_redundancy() -> None:
    where = grid(TETRAGONAL)
    truth = scattering(where)
    noisy = truth + np.random.default_rng(0).normal(0, 0.1, where.shape)
    maps = find_pixel_maps(where.plane, TETRAGONAL, laue_rotations("4/mmm"))
    assert len(maps) == 8 and all(
        each.exact for each in maps
    )  # 16 operations, pairs of which act alike on hk0
    found = average(noisy, np.full(where.shape, 0.1), maps)
    assert found.sigma is not None
    for number in (8, 4, 1):  # general, on a mirror line, at the origin
        chosen = found.redundancy == number
        assert chosen.sum() == {8: 161**2 - 4 * 160 - 1, 4: 4 * 160, 1: 1}[number]
        assert found.sigma[chosen] == pytest.approx(0.1 / np.sqrt(number))
    general = found.redundancy == 8
    assert (found.intensity - truth)[general].std() == pytest.approx(0.1 / np.sqrt(8), rel=0.05)
    # Noise alone: E|x - mean| = sigma sqrt(2 / pi) sqrt(7 / 8).
    assert found.r_int == pytest.approx(0.1 * np.sqrt(2 / np.pi * 7 / 8) / truth.mean(), rel=0.03)
    assert found.r_noise == pytest.approx(found.r_int, rel=0.1) and not found.disagrees


def test_a_gap_is_filled_with_the_right_values_and_bad_pixels_stay_out() -> None:
    where = grid(TETRAGONAL)
    truth = scattering(where)
    gappy = truth.copy()
    gappy[20:50, 30:60] = np.nan
    gappy[:, 78:83] = np.nan
    result, _, record = average_symmetry(gappy, None, where.plane, TETRAGONAL, "4/mmm")
    # Where the two bars of the gap cross after a quarter turn, nothing is known.
    assert np.array_equal(np.argwhere(np.isnan(result)).min(axis=0), [78, 78])
    assert np.isnan(result).sum() == 25
    assert np.nanmax(np.abs(result - truth)) < 1e-12
    assert record.numbers["pixels_gained"] == np.isnan(gappy).sum() - 25
    assert record.numbers["r_int"] == pytest.approx(0, abs=1e-12) and not record.notes


def test_a_wrong_class_is_noted_and_a_lower_one_named() -> None:
    where = grid(TETRAGONAL)
    truth = scattering(where, symmetric=False)
    noisy = truth + np.random.default_rng(0).normal(0, 0.05, where.shape)
    _, _, wrong = average_symmetry(noisy, None, where.plane, TETRAGONAL, "4/mmm")
    (note,) = wrong.notes
    assert "try a lower Laue class (" in note and "-1" in note
    _, _, right = average_symmetry(noisy, None, where.plane, TETRAGONAL, "-1")
    assert not right.notes and right.numbers["operations"] == 2


def test_hexagonal_operations_keep_a_hexagonal_grid_and_are_interpolated_on_a_square_one() -> None:
    where = grid(HEXAGONAL)
    maps = find_pixel_maps(where.plane, HEXAGONAL, laue_rotations("6/mmm"))
    assert len(maps) == 12 and all(each.exact for each in maps)
    truth = scattering(where)
    found = average(truth, None, maps)
    assert np.abs(found.intensity - truth).max() < 1e-12 and found.r_int == pytest.approx(0, abs=1e-12)

    square = plane_through(HEXAGONAL, (0, 1), 0.0, 5.0)
    q = square.q_points() @ HEXAGONAL.direct.T / (2 * np.pi)
    h, k = q[..., 0], q[..., 1]
    order = 3 + np.cos(2 * np.pi * h) + np.cos(2 * np.pi * k) + np.cos(2 * np.pi * (h + k))
    smooth = order * np.exp(-square.q_squared() / 18)
    maps = find_pixel_maps(square, HEXAGONAL, laue_rotations("6/mmm"))
    assert len(maps) == 12 and sum(each.exact for each in maps) == 4  # mmm of the square
    gappy = smooth.copy()
    gappy[60:100, 90:110] = np.nan
    found = average(gappy, None, maps)
    # Linear interpolation of 20 pixels a period: at most (2 pi / 20)^2 / 8 of the amplitude, twice.
    assert np.nanmax(np.abs(found.intensity - smooth)) < 0.03 * smooth.max()
    assert np.isfinite(found.intensity).all()
    assert found.r_int is not None and found.r_int < 0.01


@pytest.mark.parametrize(("name", "operations"), [("hk0", 2), ("hk1", 1), ("h k 0.5", 1)])
def test_only_operations_that_keep_the_plane_count(name: str, operations: int) -> None:
    where = grid(TRICLINIC, name)
    assert len(find_pixel_maps(where.plane, TRICLINIC, laue_rotations("-1"))) == operations
    _, _, record = average_symmetry(np.ones(where.shape), None, where.plane, TRICLINIC, "-1")
    assert bool(record.notes) == (operations == 1)


def test_on_hk1_a_fourfold_axis_counts_and_inversion_does_not() -> None:
    where = grid(TETRAGONAL, "hk1")
    assert len(find_pixel_maps(where.plane, TETRAGONAL, laue_rotations("4/m"))) == 4
    assert len(find_pixel_maps(where.plane, TETRAGONAL, laue_rotations("-1"))) == 1


def test_an_even_grid_has_no_partner_at_its_edge() -> None:
    plane = plane_through(TRICLINIC, (0, 1), 0.0, 6.0)  # 256 pixels, the origin at 128
    (_, inversion) = find_pixel_maps(plane, TRICLINIC, laue_rotations("-1"))
    values = np.arange(256.0**2).reshape(256, 256)
    moved = inversion.fetch(values)
    assert inversion.exact and np.isnan(moved[0]).all() and np.isnan(moved[:, 0]).all()
    assert np.array_equal(moved[1:, 1:], values[:0:-1, :0:-1])


def test_a_cell_that_does_not_obey_the_class_is_refused() -> None:
    where = grid(TRICLINIC)
    with pytest.raises(InputError, match="does not obey Laue class 4/mmm"):
        average_symmetry(np.ones(where.shape), None, where.plane, TRICLINIC, "4/mmm")
