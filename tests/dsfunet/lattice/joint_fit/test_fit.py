"""Both factors of virtual crystals that another forward model made, from one plane and the lattice."""

from functools import lru_cache

import numpy as np
import pytest

from dsfunet._typing import Array
from dsfunet.lattice.joint_fit import JointFit, fit_both_factors, fit_plane, list_harmonics
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import CRYSTALS, Plane, correlate, measure

AXES = {"P alloy": (0, 1), "I alloy": (0, 1), "F alloy": (0, 1), "molecule": (0, 2)}
REACH = {"P alloy": 4.2, "I alloy": 4.2, "F alloy": 4.2, "molecule": 7.0}


def grid_of(name: str, plane: Plane) -> PlaneGrid:
    a, b, c, beta = CRYSTALS[name].cell
    return PlaneGrid(
        Cell(a, b, c, 90, beta, 90), PlaneName(plane.axes, plane.offset), plane.rows, plane.columns
    )


@lru_cache(maxsize=32)
def fitted(name: str, missing: bool = False, seed: int = 0, count: int = 100) -> tuple[Plane, JointFit]:
    plane = measure(name, seed, AXES[name], reach=REACH[name], missing=missing)
    fit = fit_plane(
        plane.counts, plane.mask, grid_of(name, plane), CRYSTALS[name].centring, most_harmonics=count
    )
    return plane, fit


def truths(name: str, fit: JointFit, count: int) -> Array:
    """Return counted correlations of the layer for the shortest harmonics."""
    vectors = np.round(2 * fit.harmonics.indices[:count]).astype(int).tolist()
    return np.array([correlate(name).layer_value((v[0], v[1]), AXES[name], 0.0) for v in vectors])


@pytest.mark.slow
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "a third missing"])
@pytest.mark.parametrize("name", AXES)
def test_correlations_of_a_layer_are_right_within_their_errors(name: str, missing: bool) -> None:
    plane, fit = fitted(name, missing, count=400 if name == "F alloy" else 200)
    assert (not missing) == plane.mask.all()
    count = 12
    errors = fit.alphas[:count] - truths(name, fit, count)
    sigmas = fit.alpha_sigmas[:count]
    assert (np.abs(errors) <= np.maximum(3 * sigmas, 0.004)).all()
    assert sigmas.max() <= 0.02
    assert fit.chi_squared == pytest.approx(1, abs=0.1)
    assert fit.noise_ratio == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_pulls_over_twenty_seeds_are_those_of_their_errors() -> None:
    for name, crystals in (("P alloy", 7), ("I alloy", 7), ("F alloy", 6)):
        pulls, covered = [], []
        for seed in range(crystals):
            plane = measure(name, seed, crystal_seed=seed, missing=seed % 2 == 1, step=1 / 14)
            grid = grid_of(name, plane)
            harmonics = list_harmonics(grid.cell, grid.name, CRYSTALS[name].centring, 7 * grid.cell.a)
            fit = fit_both_factors(plane.counts, plane.mask, plane.rows, plane.columns, harmonics)
            vectors = np.round(2 * fit.harmonics.indices[:8]).astype(int).tolist()
            truth = [correlate(name, seed).layer_value((v[0], v[1]), (0, 1), 0.0) for v in vectors]
            pulls.append((fit.alphas[:8] - truth) / fit.alpha_sigmas[:8])
            away = np.abs(fit.form_factor - plane.form_factor)[plane.mask] / fit.form_factor_sigma[plane.mask]
            covered.append([np.mean(away < 1), np.mean(away < 2)])
        assert 0.7 <= np.sqrt(np.mean(np.square(pulls))) <= 1.4, name
        one, two = np.mean(covered, axis=0)
        assert 0.6 <= one <= 0.82 and 0.9 <= two <= 1, name
