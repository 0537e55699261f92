"""The joint fit on a lattice that is turned against the pixels, against a plane made from its definition."""

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import fit_found_lattice, list_found_harmonics

TURN = np.radians(23.0)
VECTORS = np.array([[0.055, 0.0], [0.012, 0.048]]) @ np.array(
    [[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]]
)
ALPHAS = {(1, 0): -0.15, (0, 1): 0.1, (1, 1): 0.06, (1, -1): -0.04, (2, 0): 0.03}


def make_plane(phase: float) -> tuple[Array, Array, Array]:
    """Return counts, form factor and order; the phase turns the first harmonic's cosine towards a sine."""
    x, y = np.meshgrid(np.arange(160.0) - 80, np.arange(150.0) - 75, indexing="ij")
    order = np.ones(x.shape)
    for (m, n), alpha in ALPHAS.items():
        p = m * VECTORS[0] + n * VECTORS[1]
        order += 2 * alpha * np.cos(2 * np.pi * (p[0] * x + p[1] * y) + (phase if (m, n) == (1, 0) else 0))
    form_factor = 700 * np.exp(-(x**2 + y**2) / 70**2) * (1.2 + np.cos(0.04 * x + 0.02 * y)) + 10
    return np.random.default_rng(1).poisson(form_factor * order).astype(np.float64), form_factor, order


@pytest.mark.parametrize("phase", [0.0, 0.8], ids=["centred", "not centred"])
def test_a_turned_lattice(phase: float) -> None:
    counts, form_factor, order = make_plane(phase)
    mask = np.full(counts.shape, True)
    mask[60:80, 30:90] = False
    fit = fit_found_lattice(counts, mask, VECTORS, is_centred=phase == 0, most_harmonics=60)
    assert fit.chi_squared == pytest.approx(1, abs=0.06) and fit.noise.ratio == pytest.approx(1, abs=0.1)
    real, sines = fit.alphas, fit.parameters[fit.harmonics.count :]
    assert (len(sines) == 0) == (phase == 0)
    for place, (m, n) in enumerate(np.round(fit.harmonics.vectors[:, :2]).astype(int).tolist()):
        for sign in (1, -1):
            alpha = ALPHAS.get((sign * m, sign * n))
            if alpha is not None:
                turn = sign * (phase if (sign * m, sign * n) == (1, 0) else 0.0)
                error = real[place] - alpha * np.cos(turn)
                assert abs(error) < 4 * fit.alpha_sigmas[place] and fit.alpha_sigmas[place] < 0.004
                if len(sines):
                    assert sines[place] == pytest.approx(alpha * np.sin(turn), abs=0.004)
    for found, truth, sigma in (
        (fit.form_factor, form_factor, fit.form_factor_sigma),
        (fit.short_range_order, order, fit.short_range_order_sigma),
    ):
        assert 0.5 < np.mean((np.abs(found - truth) < sigma)[mask]) < 0.9


def test_harmonics_are_half_of_the_vectors_of_the_lattice() -> None:
    found = list_found_harmonics(VECTORS, 0.2, is_real=True)
    assert found.is_real.all() and (np.diff(found.lengths) >= -1e-8).all()
    np.testing.assert_allclose(found.vectors[:, :2] @ VECTORS, found.indices)
    every = {
        (m, n)
        for m in range(-30, 31)
        for n in range(-30, 31)
        if 0 < np.linalg.norm(np.array([m, n]) @ VECTORS) <= 0.2
    }
    half = {(int(v[0]), int(v[1])) for v in np.round(found.vectors)}
    assert half | {(-m, -n) for m, n in half} == every and len(every) == 2 * len(half)


def test_bad_lattices_are_one_sentence() -> None:
    counts, _, _ = make_plane(0.0)
    mask = np.full(counts.shape, True)
    with pytest.raises(InputError, match="parallel or zero; expected two vectors in different directions"):
        fit_found_lattice(counts, mask, np.array([[0.1, 0.0], [0.2, 0.0]]))
    with pytest.raises(InputError, match=r"it shows 0\.2 zones"):
        fit_found_lattice(counts, mask, 0.003 * np.eye(2))
    with pytest.raises(InputError, match="expected more than two pixels in a zone"):
        fit_found_lattice(counts, mask, 0.6 * np.eye(2))
