"""Separable sums of harmonics agree with a dense matrix over all pixels, with and without imaginary parts."""

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit import Harmonics, list_harmonics
from dsfunet.lattice.joint_fit.series import HarmonicSeries
from dsfunet.lattice.joint_fit.spline import SplineAxis, SplineSurface
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane

ROWS, COLUMNS = np.linspace(-1.3, 2, 19), np.linspace(0.2, -1.7, 15)


def dense_derivatives(harmonics: Harmonics) -> Array:
    """Return the derivatives of I_SRO by its parameters, shape (pixels, parameters)."""
    h, k = np.meshgrid(ROWS, COLUMNS, indexing="ij")
    phase = 2 * np.pi * (np.outer(h, harmonics.indices[:, 0]) + np.outer(k, harmonics.indices[:, 1]))
    return np.concatenate([2 * np.cos(phase), -2 * np.sin(phase[:, harmonics.with_sine])], axis=1)


@pytest.mark.parametrize(
    ("plane", "centring", "sines"), [("hk0", "F", 0), ("h k 1", "R", 3), ("h k 0.3", "P", 2)]
)
def test_agrees_with_dense_sums(plane: str, centring: str, sines: int) -> None:
    cell = Cell(4, 4, 9, 90, 90, 120) if centring == "R" else Cell(4, 4, 4)
    harmonics = list_harmonics(cell, parse_plane(plane), centring, 4.5)
    assert len(harmonics.with_sine) >= sines and (sines or harmonics.is_real.all())
    series = HarmonicSeries(harmonics, ROWS, COLUMNS)
    derivatives = dense_derivatives(harmonics)
    random = np.random.default_rng(0)
    parameters = random.normal(size=series.count)
    weights = random.uniform(0, 1, (len(ROWS), len(COLUMNS)))
    flat = weights.reshape(-1)
    np.testing.assert_allclose(
        series.evaluate(parameters).reshape(-1), 1 + derivatives @ parameters, atol=1e-9
    )
    np.testing.assert_allclose(series.gradient(weights), derivatives.T @ flat, atol=1e-9)
    np.testing.assert_allclose(
        series.normal_matrix(weights), derivatives.T @ (flat[:, None] * derivatives), atol=1e-9
    )
    surface = SplineSurface(SplineAxis.cover(ROWS, 0.8), SplineAxis.cover(COLUMNS, 0.7))
    basis = np.kron(surface.rows.basis.toarray(), surface.columns.basis.toarray())
    cross = series.cross_matrix(surface, weights)
    assert cross.shape == (*surface.shape, series.count)
    np.testing.assert_allclose(
        cross.reshape(-1, series.count), basis.T @ (flat[:, None] * derivatives), atol=1e-9
    )
    root = random.normal(size=(series.count, series.count))
    variances = np.einsum("pi,ij,pj->p", derivatives, root @ root.T, derivatives)
    np.testing.assert_allclose(series.variances(root @ root.T).reshape(-1), variances, rtol=1e-8)
