"""Resampling from the user's grid to the grid of the networks, and back."""

import numpy as np
import pytest
from scipy import ndimage

from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, PlaneGrid, parse_plane_name
from dsfunet.physics import (
    Cell,
    Molecule,
    Plane,
    form_factor_intensity,
    plane_through,
    short_range_order_intensity,
)
from dsfunet.planes.geometry import Geometry
from dsfunet.planes.names import parse_plane
from dsfunet.planes.preprocessing import spread
from dsfunet.planes.resampling import (
    resample,
    to_network_grid,
    to_network_plane,
    to_user_grid,
)
from tests.reference import random_alphas

HEXAGONAL = Cell(14.12, 14.12, 6.934, 90, 90, 120)


def hexagonal_grid(n: int = 301, m: int = 251) -> PlaneGrid:
    return PlaneGrid(HEXAGONAL, parse_plane_name("hk1"), np.linspace(-4, 4, n), np.linspace(-4, 4, m))


def smooth(plane: Plane) -> np.ndarray:
    """A positive function of Q whose shortest period is 2.1 1/Angstrom: some 80 pixels of the networks."""
    q = plane.q_points()
    return 2 + np.cos(2 * q[..., 0] + 0.3) * np.cos(1.5 * q[..., 1]) + 0.5 * np.sin(3 * q[..., 1])


def test_network_grid_holds_the_function_where_measured() -> None:
    grid = hexagonal_grid()
    intensity, plane = to_network_grid(MeasuredPlane(smooth(grid.plane), grid), whole=True)
    assert plane is not None and intensity.shape == (256, 256)
    measured = np.isfinite(intensity)
    # A rhombus of 60 degrees fills sqrt(3)/2 x 4 / 9 = 0.385 of the square around it.
    assert 0.37 < measured.mean() < 0.39
    hk = plane.q_points() @ HEXAGONAL.direct.T / (2 * np.pi)
    assert measured[(np.abs(hk[..., :2]) <= 4.0).all(axis=-1)].all()
    inside = (np.abs(hk[..., :2]) <= 3.95).all(axis=-1)
    # Found 4.4e-4; the function ranges over 3.
    assert np.abs(intensity - smooth(plane))[inside].max() < 1e-3


def test_round_trip_error_on_a_hexagonal_plane() -> None:
    grid = hexagonal_grid()
    original = smooth(grid.plane)
    there, plane = to_network_grid(MeasuredPlane(original, grid), whole=True)
    assert plane is not None
    back = to_user_grid(there, plane, grid)
    assert back.shape == (301, 251)
    error = np.abs(back - original)
    # The function ranges over 3. Found 1.05e-3 rms, 1.1e-3 at most two pixels or more from the edge; in the
    # two acute corners 64 pixels of 75,551 find too few neighbours.
    assert np.sqrt(np.nanmean(error**2)) < 1.5e-3
    assert np.isfinite(back[3:-3, 3:-3]).all()
    assert np.nanmax(error[2:-2, 2:-2]) < 2e-3
    assert np.isnan(back).mean() < 1e-3
    # What the networks answer has no gaps, and comes back by cubic splines: found 1.4e-4, and 2.8e-3 in the very
    # corner, half a pixel beyond what the networks see.
    complete = to_user_grid(smooth(plane), plane, grid)
    assert np.abs(complete - original)[3:-3, 3:-3].max() < 2e-4
    assert np.abs(complete - original).max() < 4e-3


@pytest.mark.parametrize("cell", [HEXAGONAL, Cell(9, 7, 5, 80, 100, 95), Cell(10, 8, 6)])
def test_a_peak_is_found_at_its_scattering_vector(cell: Cell) -> None:
    grid = PlaneGrid(cell, parse_plane_name("hk1"), np.linspace(-4, 4, 321), np.linspace(-3, 3, 181))
    h, k = grid.rows[:, None], grid.columns[None, :]
    blob = np.exp(-((h - 1) ** 2 + (k - 2) ** 2) / (2 * 0.08**2))
    intensity, plane = to_network_grid(MeasuredPlane(blob, grid))
    assert plane is not None
    weights = np.nan_to_num(intensity)
    centre = np.einsum("ij,ijx->x", weights, plane.q_points()) / weights.sum()
    expected = np.array([1.0, 2.0, 1.0]) @ cell.reciprocal
    assert np.linalg.norm(centre - expected) < 0.1 * np.linalg.norm(plane.step_u)


def test_only_measured_pixels_set_the_width() -> None:
    grid = hexagonal_grid()
    in_plane = grid.plane.q_points() - plane_through(HEXAGONAL, (0, 1), 1.0, 1.0).origin
    radius = np.linalg.norm(in_plane, axis=-1)
    intensity = np.where(radius < 1.6, smooth(grid.plane), np.nan)
    there, plane = to_network_grid(MeasuredPlane(intensity, grid), whole=True)
    assert plane is not None
    assert 127 * np.linalg.norm(plane.step_u) == pytest.approx(1.6, abs=0.01)
    assert np.isfinite(there).mean() > 0.75  # pi / 4
    back = to_user_grid(np.ones((256, 256)), plane, grid)
    assert np.isfinite(back[radius < 1.6]).all()
    assert np.isnan(back[0, 0]) and np.isnan(back[-1, -1])


def test_missing_and_negative_pixels_do_not_leak() -> None:
    grid = hexagonal_grid()
    intensity = np.full(grid.shape, 3.0)
    intensity[140:160, 100:130] = np.nan
    intensity[50:60, :] = -1000.0
    intensity[200:203, 200:203] = np.inf
    there, plane = to_network_grid(MeasuredPlane(intensity, grid))
    assert plane is not None
    assert np.allclose(there[np.isfinite(there)], 3.0)
    hole = np.array([0.0, 0.0, 1.0]) @ HEXAGONAL.reciprocal - plane.origin
    i, j = (round(128 + hole @ step / (step @ step)) for step in (plane.step_u, plane.step_v))
    assert np.isfinite(there[i, j]) == np.isfinite(intensity[150, 125])


def test_averaging_keeps_the_mean_of_a_finer_grid() -> None:
    source = Plane(np.zeros(3), np.array([0.01, 0, 0]), np.array([0, 0.01, 0]), (800, 800))
    target = Plane(np.zeros(3), np.array([0.04, 0, 0]), np.array([0, 0.04, 0]), (150, 150))
    noise = np.random.default_rng(3).normal(10, 1, source.shape)
    coarse = resample(noise, source, target)
    assert coarse.mean() == pytest.approx(noise.mean(), abs=0.01)
    # 16 pixels or more are averaged; without averaging the spread would be 0.67 or more.
    assert coarse.std() < 0.26
    checkerboard = (np.indices(source.shape).sum(axis=0) % 2).astype(float)
    assert np.abs(resample(checkerboard, source, target) - 0.5).max() < 0.02


def test_resampling_agrees_with_a_plain_loop() -> None:
    random = np.random.default_rng(5)
    source = Plane(np.array([0.1, 0, 0]), np.array([0.1, 0.02, 0]), np.array([-0.03, 0.09, 0]), (12, 9))
    target = Plane(np.zeros(3), np.array([0.08, 0, 0]), np.array([0, 0.08, 0]), (15, 14))
    values = random.uniform(1, 2, source.shape)
    values[random.uniform(size=source.shape) < 0.2] = np.nan
    expected = np.full(target.shape, np.nan)
    basis = np.array([source.step_u, source.step_v])[:, :2]
    for place, q in zip(np.ndindex(target.shape), target.q_points().reshape(-1, 3), strict=True):
        x, y = (q - source.origin)[:2] @ np.linalg.inv(basis) + np.array([6, 4])
        total = weight = 0.0
        for i in range(12):
            for j in range(9):
                share = max(0.0, 1 - abs(x - i)) * max(0.0, 1 - abs(y - j))
                if share and np.isfinite(values[i, j]):
                    total, weight = total + share * values[i, j], weight + share
        if weight >= 0.5:
            expected[place] = total / weight
    np.testing.assert_allclose(resample(values, source, target), expected, rtol=1e-9)


def test_every_measured_pixel_of_a_coarse_grid_comes_back() -> None:
    cell = Cell(10, 8, 6)
    for n in (2, 3, 5, 8, 13, 32, 57, 64, 101, 128, 130):
        grid = PlaneGrid(cell, parse_plane_name("hk0"), np.linspace(-4, 4, n), np.linspace(-5, 5, n + 1))
        shown, plane = to_network_grid(MeasuredPlane(1.0 + np.arange(n * (n + 1.0)).reshape(n, n + 1), grid))
        back = to_user_grid(np.ones((256, 256)), plane, grid)
        assert np.isfinite(back).all(), n
        assert np.isfinite(shown).any(), n


def test_a_plane_without_axes_passes_unchanged() -> None:
    values = np.random.default_rng(2).uniform(size=(256, 256))
    values[3, 4] = np.nan
    there, plane = to_network_grid(MeasuredPlane(values))
    assert plane is None
    np.testing.assert_array_equal(there, values)
    np.testing.assert_array_equal(to_user_grid(values, plane, None), values)


def test_a_plane_on_the_networks_grid_passes_unchanged() -> None:
    cell = Cell(5, 5, 9)
    axis = (np.arange(256) - 128) * 0.05
    grid = PlaneGrid(cell, parse_plane_name("hk0"), axis, axis)
    values = np.random.default_rng(2).uniform(size=(256, 256))
    there, plane = to_network_grid(MeasuredPlane(values, grid))
    assert plane is grid.plane
    np.testing.assert_array_equal(there, values)
    np.testing.assert_array_equal(to_user_grid(there, plane, grid), values)


def test_an_axis_may_run_downwards() -> None:
    grid = hexagonal_grid()
    turned = PlaneGrid(HEXAGONAL, grid.name, grid.rows[::-1], grid.columns)
    upward, _ = to_network_grid(MeasuredPlane(smooth(grid.plane), grid))
    downward, _ = to_network_grid(MeasuredPlane(smooth(turned.plane), turned))
    np.testing.assert_allclose(downward, upward, atol=1e-9)


def test_errors() -> None:
    with pytest.raises(InputError, match="no measured pixel"):
        to_network_grid(MeasuredPlane(np.full((256, 256), np.nan)))
    with pytest.raises(InputError, match=r"shape \(10, 12\) and no axes; expected \(256, 256\)"):
        to_network_grid(MeasuredPlane(np.ones((10, 12))))
    with pytest.raises(InputError, match="expected a plane with two dimensions"):
        MeasuredPlane(np.ones(5))
    with pytest.raises(InputError, match=r"shape \(5, 5\); expected \(301, 251\), the shape of its grid"):
        MeasuredPlane(np.ones((5, 5)), hexagonal_grid())
    with pytest.raises(InputError, match="axis h from 0 to 5 is not evenly spaced; expected equal steps"):
        PlaneGrid(HEXAGONAL, parse_plane_name("hk1"), np.array([0.0, 1.0, 5.0]), np.arange(3.0))
    with pytest.raises(InputError, match=r"axis k has shape \(1,\); expected two or more"):
        PlaneGrid(HEXAGONAL, parse_plane_name("hk1"), np.arange(3.0), np.zeros(1))
    plane = plane_through(HEXAGONAL, (0, 1), 0.0, 4.0)
    with pytest.raises(ValueError, match="different planes of Q"):
        resample(np.ones((256, 256)), plane, plane_through(HEXAGONAL, (0, 1), 1.0, 4.0))


def components(cell: Cell, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """I_FF of a flat ring that lies in two ways, and I_SRO of correlations to the fifth neighbour every way."""
    angles = np.radians(60 * np.arange(6))
    ring = Molecule(("C",) * 6, 1.39 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1))
    turned = ring.rotated(np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]]))
    alphas = 0.1 * random_alphas(3)
    alphas[5, 5, 5] = 1.0
    return form_factor_intensity(ring, turned, plane), short_range_order_intensity(alphas, cell, plane)


def spread_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean squared error in spread space, where there is a value."""
    inside = np.isfinite(found)
    assert inside.mean() > 0.99
    low, high = true.min(), true.max()
    normalised = [np.clip((each[inside] - low) / (high - low), 0, 1) for each in (found, true)]
    return float(np.mean((spread(normalised[0]) - spread(normalised[1])) ** 2))


@pytest.mark.parametrize(
    ("cell", "name", "rows", "columns"),
    [
        (Cell(8.4, 8.4, 3.6, 90, 90, 120), "hk1", np.linspace(-6, 6, 301), np.linspace(-5, 5, 251)),
        (Cell(5.0, 6.2, 7.3, 82, 95, 108), "h1l", np.linspace(-4, 4, 321), np.linspace(-7, 7, 401)),
        (Cell(5.0, 5.0, 5.0), "hhl", np.linspace(-4, 4, 201), np.linspace(-5.5, 5.5, 331)),
    ],
)
def test_what_resampling_does_to_real_planes(
    cell: Cell, name: str, rows: np.ndarray, columns: np.ndarray
) -> None:
    """Oblique or not square, half side 6 to 7.5 1/Angstrom, 11 to 25 pixels a reciprocal cell.

    Beside that, the networks' mean errors are 0.005 (form factor) and, in lattice mode, 0.0008 (short-range order).
    """
    grid = PlaneGrid(cell, parse_plane(name), rows, columns)
    form_factor, order = components(cell, grid.plane)
    there, plane = to_network_grid(MeasuredPlane(form_factor * order, grid))
    assert plane is not None
    form_factor_there, order_there = components(cell, plane)
    seen = np.isfinite(there)
    # What the networks are shown: found 2.2e-5, 9e-6, 3.3e-5.
    assert spread_error(there[seen], (form_factor_there * order_there)[seen]) < 1e-4
    # What they answer, brought back: found 6e-9 or less; 2.0e-4 for hk1 with its 11 pixels a cell, 3e-6 for the others.
    assert spread_error(to_user_grid(form_factor_there, plane, grid), form_factor) < 1e-7
    assert spread_error(to_user_grid(order_there, plane, grid), order) < 4e-4
    # There and back: found 2.9e-4, 5e-5, 8e-5.
    assert spread_error(to_user_grid(there, plane, grid), form_factor * order) < 5e-4


def test_any_geometry_is_resampled() -> None:
    where = Geometry(
        Cell(5, 5, 5), np.array([0.5, 0, 0]), np.array([0.1, 0, 0]), np.array([0.03, 0, 0.12]), (121, 101)
    )
    q = where.plane.q_points()
    values = 2 + np.cos(q[..., 0]) * np.cos(q[..., 2])
    there, plane = to_network_plane(values, where)
    np.testing.assert_allclose(plane.origin, [0.5, 0, 0])
    q = plane.q_points()
    inside = np.isfinite(there)
    np.testing.assert_allclose(there[inside], (2 + np.cos(q[..., 0]) * np.cos(q[..., 2]))[inside], atol=0.05)
    assert np.abs(to_user_grid(there, plane, where) - values)[3:-3, 3:-3].max() < 0.02
    assert where.with_pixels(plane).lattice_plane().third_index == pytest.approx(0.0)


def test_wide_target_pixels_average_all_their_source_pixels() -> None:
    """A plane of few cells covers few target pixels, each of them thousands of source pixels wide."""
    grid = PlaneGrid(Cell(60, 70, 80), parse_plane("hk0"), np.linspace(-9, 9, 361), np.linspace(-9, 9, 361))
    intensity = 5 + np.random.default_rng(5).random((361, 361))
    intensity[:, 40:60] = np.nan
    source, target = grid.plane, grid.square(6.0)
    found = resample(intensity, source, target)
    # The mean of the source pixels whose centres lie in each target pixel.
    vectors = (
        source.origin
        + source.index_u[:, None, None] * source.step_u
        + source.index_v[:, None] * source.step_v
    )
    steps = np.stack([target.step_u, target.step_v], axis=1)
    place = np.round((vectors - target.origin) @ np.linalg.pinv(steps).T).astype(int) + 128
    known = np.isfinite(intensity)
    index = (place[known][:, 0], place[known][:, 1])
    total, count, every = (np.zeros((256, 256)) for _ in range(3))
    np.add.at(total, index, intensity[known])
    np.add.at(count, index, 1)
    np.add.at(every, (place[..., 0], place[..., 1]), 1)
    inner = (every > 0.95 * every.max()) & (count > 0.95 * every.max())
    assert inner.sum() > 200 and np.abs(found - total / np.maximum(count, 1))[inner].max() < 0.05
    assert np.isnan(found[(count == 0) & (every > 0.95 * every.max())]).all()


def test_the_work_does_not_grow_with_the_width_of_target_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = ndimage.affine_transform
    monkeypatch.setattr(
        ndimage, "affine_transform", lambda *args, **kw: (calls.append(1), real(*args, **kw))[1]
    )
    grid = PlaneGrid(
        Cell(5e3, 6e3, 7e3), parse_plane("hk0"), np.linspace(-6, 6, 241), np.linspace(-6, 6, 241)
    )
    resample(np.ones((241, 241)), grid.plane, grid.square(6.0))
    assert len(calls) <= 200
