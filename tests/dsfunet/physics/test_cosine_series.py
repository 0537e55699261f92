"""The in-plane series against equation (3), against plain least squares on the whole design matrix, and its errors."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane, plane_through, short_range_order_intensity
from dsfunet.physics.cosine_series import fit_cosine_series, plane_harmonics, third_index
from tests.reference import Array, random_alphas

ORTHOGONAL = Cell(6.0, 7.5, 5.2)
HEXAGONAL = Cell(8.0, 4.0, 8.0, 90.0, 120.0, 90.0)
TRICLINIC = Cell(5.1, 6.2, 7.3, 81.0, 97.0, 112.0)

LAYERS = {
    "orthogonal": (ORTHOGONAL, (0, 1), 0.0),
    "orthogonal_fractional": (ORTHOGONAL, (2, 0), 1.37),
    "hexagonal": (HEXAGONAL, (0, 2), 1.0),
    "hexagonal_fractional": (HEXAGONAL, (2, 0), 0.3),
    "triclinic": (TRICLINIC, (0, 1), 2.0),
    "triclinic_fractional": (TRICLINIC, (2, 1), -0.61),
}
every_layer = pytest.mark.parametrize(("cell", "axes", "offset"), LAYERS.values(), ids=LAYERS.keys())


def turned(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Another plane of the same layer: steps along neither axis, not perpendicular, a shifted origin."""
    u, v = plane.step_u, plane.step_v
    return Plane(plane.origin + 3 * u - 8 * v, 0.9 * u + 0.3 * v, 1.2 * v - 0.4 * u, shape)


def some_mask(shape: tuple[int, int], seed: int = 0) -> npt.NDArray[np.bool_]:
    """Two blocks and a fifth of the rest missing."""
    mask = np.random.default_rng(seed).random(shape) > 0.2
    mask[: shape[0] // 4] = False
    mask[shape[0] // 2 :, : shape[1] // 3] = False
    return mask


def plain_fit(
    values: Array, weights: Array, cell: Cell, plane: Plane, axes: tuple[int, int], max_index: int
) -> npt.NDArray[np.complex128]:
    """Real cosines and sines of h and k read off every Q, one column each, handed to numpy."""
    indices = plane.q_points() @ cell.direct.T / (2 * np.pi)
    h, k = indices[..., axes[0]][weights > 0], indices[..., axes[1]][weights > 0]
    root = np.sqrt(weights[weights > 0])
    half = [(m, n) for m in range(max_index + 1) for n in range(-max_index, max_index + 1) if (m, n) > (0, 0)]
    columns = [np.ones_like(h)]
    for m, n in half:
        columns += [np.cos(2 * np.pi * (m * h + n * k)), np.sin(2 * np.pi * (m * h + n * k))]
    found = np.linalg.lstsq(np.stack(columns, axis=1) * root[:, None], values[weights > 0] * root)[0]
    coefficients = np.zeros((2 * max_index + 1,) * 2, complex)
    coefficients[max_index, max_index] = found[0]
    for (m, n), cosine, sine in zip(half, found[1::2], found[2::2], strict=True):
        coefficients[max_index + m, max_index + n] = (cosine - 1j * sine) / 2
        coefficients[max_index - m, max_index - n] = (cosine + 1j * sine) / 2
    return coefficients


@every_layer
def test_harmonics_of_alphas_are_the_intensity_of_equation_3(
    cell: Cell, axes: tuple[int, int], offset: float
) -> None:
    alphas = random_alphas(1)
    plane = turned(plane_through(cell, axes, offset, 7.0), (64, 50))
    expected = short_range_order_intensity(alphas, cell, plane, clip=False)
    series = plane_harmonics(alphas, cell, axes, offset)
    assert series.coefficients.shape == (11, 11)
    # short_range_order_intensity rounds its phase steps to 1e-10.
    assert np.abs(series.evaluate(plane) - expected).max() < 1e-8 * np.abs(expected).max()
    assert third_index(cell, plane, axes) == pytest.approx(offset, abs=1e-12)


@every_layer
def test_an_exact_plane_is_recovered_with_pixels_missing(
    cell: Cell, axes: tuple[int, int], offset: float
) -> None:
    alphas = random_alphas(2)
    plane = plane_through(cell, axes, offset, 8.0)
    values = short_range_order_intensity(alphas, cell, plane, clip=False)
    mask = some_mask(plane.shape)
    values[~mask] = np.nan
    series = fit_cosine_series(values, mask.astype(float), cell, plane, axes, ridge=1e-12)
    expected = plane_harmonics(alphas, cell, axes, offset).coefficients
    assert np.abs(series.coefficients - expected).max() < 1e-8 * np.abs(expected).max()
    # The ridge of every day costs next to nothing.
    series = fit_cosine_series(values, mask.astype(float), cell, plane, axes)
    assert np.abs(series.coefficients - expected).max() < 1e-4 * np.abs(expected).max()


@every_layer
def test_fit_agrees_with_least_squares_on_the_whole_design_matrix(
    cell: Cell, axes: tuple[int, int], offset: float
) -> None:
    rng = np.random.default_rng(3)
    plane = turned(plane_through(cell, axes, offset, 8.0, 48), (48, 40))
    values = rng.normal(size=plane.shape)
    weights = rng.uniform(0.2, 2, plane.shape) * some_mask(plane.shape)
    series = fit_cosine_series(values, weights, cell, plane, axes, max_index=3, ridge=0)
    expected = plain_fit(values, weights, cell, plane, axes, 3)
    assert np.abs(series.coefficients - expected).max() < 1e-9 * np.abs(expected).max()


def test_noise_averages_out_over_the_pixels() -> None:
    alphas = random_alphas(4)
    plane = plane_through(TRICLINIC, (0, 1), 1.0, 8.0)
    exact = short_range_order_intensity(alphas, TRICLINIC, plane, clip=False)
    noise = np.random.default_rng(4).normal(size=plane.shape)
    series = fit_cosine_series(exact + noise, np.ones(plane.shape), TRICLINIC, plane, (0, 1))
    # 121 parameters of 65,536 pixels: variance 121 / 65,536 in the mean over the plane.
    variance = np.mean((series.evaluate(plane) - exact) ** 2)
    assert variance == pytest.approx(121 / 65536, rel=0.4)


def test_coefficients_are_those_of_a_real_function_and_one_set_serves_many_planes() -> None:
    alphas = random_alphas(5)
    small, large = (plane_through(HEXAGONAL, (0, 2), 0.5, q_max) for q_max in (4.0, 9.0))
    values = short_range_order_intensity(alphas, HEXAGONAL, small, clip=False)
    series = fit_cosine_series(values, np.ones(small.shape), HEXAGONAL, small, (0, 2), ridge=1e-12)
    assert np.array_equal(series.coefficients, np.conj(series.coefficients[::-1, ::-1]))
    expected = short_range_order_intensity(alphas, HEXAGONAL, large, clip=False)
    assert np.abs(series.evaluate(large) - expected).max() < 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("measured", [(slice(40, 44), slice(10, 14)), (slice(3, 4), slice(7, 8))])
def test_less_than_a_cell_still_has_a_finite_answer_near_what_was_measured(
    measured: tuple[slice, slice],
) -> None:
    plane = plane_through(ORTHOGONAL, (0, 1), 0.0, 8.0, 64)
    values = short_range_order_intensity(random_alphas(6), ORTHOGONAL, plane)
    weights = np.zeros(plane.shape)
    weights[measured] = 1
    found = fit_cosine_series(values, weights, ORTHOGONAL, plane, (0, 1)).evaluate(plane)
    assert np.isfinite(found).all()
    assert np.abs(found[measured] - values[measured]).max() < 1e-2 * np.abs(values).max()


def test_what_cannot_be_fitted_is_said() -> None:
    plane = plane_through(TRICLINIC, (0, 1), 1.0, 8.0, 16)
    values, weights = np.ones(plane.shape), np.ones(plane.shape)

    def fit(values: Array = values, weights: Array = weights, axes: tuple[int, int] = (0, 1)) -> None:
        fit_cosine_series(values, weights, TRICLINIC, plane, axes)

    for axes in ((0, 0), (1, 3)):
        with pytest.raises(InputError, match="two different numbers from 0, 1, 2"):
            fit(axes=axes)
        with pytest.raises(InputError, match="two different numbers from 0, 1, 2"):
            plane_harmonics(random_alphas(0), TRICLINIC, axes, 0.0)
    with pytest.raises(InputError, match=r"index along axis 1 changes .* spanned by axes \(0, 2\)"):
        fit(axes=(0, 2))
    with pytest.raises(InputError, match="found no measured pixel"):
        fit(weights=np.zeros(plane.shape))
    with pytest.raises(InputError, match="found negative, NaN or infinite numbers"):
        fit(weights=-weights)
    with pytest.raises(InputError, match="found negative, NaN or infinite numbers"):
        fit(weights=weights * np.nan)
    with pytest.raises(InputError, match="NaN or infinity"):
        fit(values=values * np.nan)
    with pytest.raises(InputError, match=r"expected \(16, 16\)"):
        fit(values=values[:8])
    with pytest.raises(InputError, match="max_index is -1"):
        fit_cosine_series(values, weights, TRICLINIC, plane, (0, 1), max_index=-1)
    with pytest.raises(InputError, match="expected more pixels or a ridge above 0"):
        single = np.zeros(plane.shape)
        single[8, 8] = 1
        fit_cosine_series(values, single, TRICLINIC, plane, (0, 1), max_index=1, ridge=0)
    with pytest.raises(InputError, match="alphas: found shape"):
        plane_harmonics(np.ones((3, 3, 3)), TRICLINIC, (0, 1), 0.0)
