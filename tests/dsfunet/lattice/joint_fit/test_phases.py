"""Sums of harmonics one by one agree with the sums of all pairs of indices, and with dense sums."""

import numpy as np

from dsfunet.lattice.joint_fit.phases import ListedPhases, SeparablePhases, combine_indices, phases_of
from dsfunet.lattice.joint_fit.spline import SplineAxis, SplineSurface

ROWS, COLUMNS = np.linspace(-1.3, 2, 57), np.linspace(0.2, -1.7, 63)


def test_both_kinds_agree_with_dense_sums() -> None:
    indices = np.array([[0.0, 0.5], [0.5, 0.0], [0.5, -0.5], [1.0, 0.5], [1.0, 0.0]])
    separable = phases_of(indices, ROWS, COLUMNS)
    assert isinstance(separable, SeparablePhases)
    listed = ListedPhases(indices[:, 0], indices[:, 1], ROWS, COLUMNS)
    random = np.random.default_rng(0)
    field = random.normal(size=(len(ROWS), len(COLUMNS)))
    coefficients = random.normal(size=5) + 1j * random.normal(size=5)
    h, k = np.meshgrid(ROWS, COLUMNS, indexing="ij")
    dense = np.exp(2j * np.pi * (indices[:, 0, None, None] * h + indices[:, 1, None, None] * k))
    surface = SplineSurface(SplineAxis.cover(ROWS, 0.8), SplineAxis.cover(COLUMNS, 0.7))
    sines = np.array([1, 3])
    for phases in (separable, listed):
        np.testing.assert_allclose(
            phases.transform(field), np.sum(field * dense.conj(), axis=(1, 2)), atol=1e-9
        )
        expected = np.tensordot(coefficients, dense, 1).real
        np.testing.assert_allclose(phases.evaluate(coefficients), expected, atol=1e-9)
        cross = phases.cross(surface, field, sines)
        waves = np.concatenate([dense.real, -dense[sines].imag])
        projected = np.stack([np.asarray(surface.project(field * wave)) for wave in waves], axis=-1)
        np.testing.assert_allclose(cross, projected, atol=1e-9)


def test_turned_lattices_are_summed_one_by_one() -> None:
    numbers = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    turned = numbers @ np.array([[0.31, 0.12], [-0.1, 0.29]])
    assert isinstance(phases_of(turned, ROWS, COLUMNS), ListedPhases)
    for indices in (numbers, turned):
        different, (minus, plus) = combine_indices(indices)
        np.testing.assert_allclose(different[minus], indices[:, None] - indices[None], atol=1e-9)
        np.testing.assert_allclose(different[plus], indices[:, None] + indices[None], atol=1e-9)
        assert len(np.unique(np.round(different, 6), axis=0)) == len(different)
