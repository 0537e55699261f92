"""The spline surface agrees with its dense matrix: normal equations, solves, roughness and variances."""

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit.spline import SplineAxis, SplineSurface

ROWS, COLUMNS = np.linspace(-2, 3, 23), np.linspace(1, -1, 17)


@pytest.fixture
def surface() -> SplineSurface:
    return SplineSurface(SplineAxis.cover(ROWS, 1.1), SplineAxis.cover(COLUMNS, 0.6))


def dense_basis(surface: SplineSurface) -> Array:
    """Return the values of all splines at all pixels, shape (pixels, splines)."""
    return np.asarray(np.kron(surface.rows.basis.toarray(), surface.columns.basis.toarray()))


def dense_matrix(surface: SplineSurface, bands: Array) -> Array:
    """Return the dense symmetric matrix of bands."""
    n, m = surface.shape
    dense = np.zeros((n, m, n, m))
    for d, e, i, j in np.ndindex(bands.shape):
        if i + d < n and j + e < m:
            for first, second in (((i, j), (i + d, j + e)), ((i, j + e), (i + d, j))):
                dense[(*first, *second)] = dense[(*second, *first)] = bands[d, e, i, j]
    return dense.reshape(n * m, n * m)


def test_splines_add_up_to_one_and_evaluate_as_a_dense_product(surface: SplineSurface) -> None:
    coefficients = np.random.default_rng(0).normal(size=surface.shape)
    np.testing.assert_allclose(surface.evaluate(np.ones(surface.shape)), 1.0)
    values = dense_basis(surface) @ coefficients.reshape(-1)
    np.testing.assert_allclose(surface.evaluate(coefficients).reshape(-1), values, atol=1e-12)
    field = np.random.default_rng(1).normal(size=(len(ROWS), len(COLUMNS)))
    np.testing.assert_allclose(
        np.asarray(surface.project(field)).reshape(-1), dense_basis(surface).T @ field.reshape(-1), atol=1e-12
    )


def test_normal_equations_solve_as_dense_ones(surface: SplineSurface) -> None:
    weights = np.random.default_rng(2).uniform(0, 1, size=(len(ROWS), len(COLUMNS)))
    basis = dense_basis(surface)
    bands = surface.normal_matrix(weights)
    dense = basis.T @ (weights.reshape(-1, 1) * basis)
    np.testing.assert_allclose(dense_matrix(surface, bands), dense, atol=1e-12)
    first, second = surface.roughness_bands
    n, m = surface.shape
    rough = 2 * np.kron(surface.rows.roughness, np.eye(m)) + 3 * np.kron(np.eye(n), surface.columns.roughness)
    total = 2 * first + 3 * second
    np.testing.assert_allclose(dense_matrix(surface, total), rough, atol=1e-12)
    spectrum = 2 * surface.roughness_spectra[0][:, None] + 3 * surface.roughness_spectra[1][None]
    np.testing.assert_allclose(np.sort(spectrum.reshape(-1)), np.linalg.eigvalsh(rough), atol=1e-9)
    factor = surface.factorise(bands + total)
    right = np.random.default_rng(3).normal(size=(n, m, 2))
    solved = surface.unpad(factor.solve(surface.pad(right)))
    expected = np.linalg.solve(dense + rough, right.reshape(n * m, 2))
    np.testing.assert_allclose(solved.reshape(n * m, 2), expected, rtol=1e-8)
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(dense + rough)[1])


@pytest.mark.parametrize("spacing", [0.9, 1.3, 2.4])
def test_variances_are_those_of_the_dense_covariance(spacing: float) -> None:
    surface = SplineSurface(SplineAxis.cover(ROWS, spacing), SplineAxis.cover(COLUMNS, 0.7))
    weights = np.random.default_rng(4).uniform(0.5, 1, size=(len(ROWS), len(COLUMNS)))
    bands = (
        surface.normal_matrix(weights) + 0.1 * surface.roughness_bands[0] + 0.2 * surface.roughness_bands[1]
    )
    modes = np.random.default_rng(5).normal(size=(*surface.shape, 3))
    flat = modes.reshape(-1, 3)
    covariance = np.linalg.inv(dense_matrix(surface, bands)) + flat @ flat.T
    basis = dense_basis(surface)
    expected = np.einsum("pi,ij,pj->p", basis, covariance, basis)
    found = surface.variances(surface.covariance_bands(surface.factorise(bands), modes))
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-8)


def test_roughness_leaves_quadratics_free(surface: SplineSurface) -> None:
    for axis, coordinates in ((surface.rows, ROWS), (surface.columns, COLUMNS)):
        quadratic = np.linalg.lstsq(axis.basis.toarray(), 1 + coordinates - 2 * coordinates**2, rcond=None)[0]
        assert abs(quadratic @ axis.roughness @ quadratic) < 1e-16 * (quadratic @ quadratic) * 1e3
