"""Tails of correlations: more is fitted than reported, and order has a length."""

import numpy as np
import pytest

from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import refine
from dsfunet.analysis.refinement.reach import describe_reach, find_reach
from dsfunet.analysis.refinement.terms import orbit_series
from dsfunet.analysis.refinement.truncation import refine_until_settled
from dsfunet.analysis.refinement.zones import zones_of
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import laue_rotations, nearest_shells, symmetric_metric
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import parse_plane_name

CELL = Cell(4, 4, 4)
ROTATIONS, METRIC = laue_rotations("4/mmm"), symmetric_metric(CELL, "4/mmm")
LENGTH_ANGSTROM = 5.0


def test_a_series_that_is_cut_short_grows_until_its_values_settle() -> None:
    """alpha = 0.3 (-1)^(i + j) exp(-r / xi), without pixels at Bragg positions, so that cosines are not orthogonal."""
    grid = PlaneGrid(CELL, parse_plane_name("hk0"), np.linspace(-3.5, 3.5, 106), np.linspace(-3.5, 3.5, 106))
    every = nearest_shells(60, ROTATIONS, METRIC, 2)
    truth = np.array(
        [
            0.3 * (-1) ** sum(map(int, each.representative)) * np.exp(-each.length_angstrom / LENGTH_ANGSTROM)
            for each in every
        ]
    )
    order = 1 + sum(alpha * orbit_series(orbit, grid) for alpha, orbit in zip(truth, every, strict=True))
    random = np.random.default_rng(0)
    weights = np.ones(grid.shape)
    h, k = np.meshgrid(grid.rows, grid.columns, indexing="ij")
    weights[(h - np.round(h)) ** 2 + (k - np.round(k)) ** 2 < 0.01] = 0
    data = [
        PlaneData(grid, zones_of(grid, ROTATIONS), order + 0.02 * random.normal(size=grid.shape), weights)
    ]
    asked = every[:4]
    cut = refine(data, asked)
    settled = refine_until_settled(
        lambda orbits: refine(data, orbits),
        asked,
        lambda n: nearest_shells(n, ROTATIONS, METRIC, 2),
        grid.rows.size**2,
    )
    error = settled.fit.alphas - truth[:4]
    assert settled.fitted > 10 and settled.drift.max() > 0
    assert np.all(np.abs(error) < 3 * settled.fit.uncertainties)
    assert settled.fit.uncertainties.max() < cut.uncertainties.max() / 2
    assert settled.reach.correlation_length_angstrom == pytest.approx(LENGTH_ANGSTROM, rel=0.4)


def test_the_length_of_order_comes_with_its_uncertainty() -> None:
    orbits = nearest_shells(40, ROTATIONS, METRIC, 2)
    lengths = np.array([orbit.length_angstrom for orbit in orbits])
    pulls = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        alphas = 0.4 * np.exp(-lengths / LENGTH_ANGSTROM) * random.normal(size=len(orbits))
        sigma = np.full(len(orbits), 1e-3)
        reach = find_reach(orbits, alphas + sigma * random.normal(size=len(orbits)), sigma)
        assert reach.correlation_length_angstrom is not None and reach.standard_uncertainty is not None
        pulls.append((reach.correlation_length_angstrom - LENGTH_ANGSTROM) / reach.standard_uncertainty)
        assert f"xi = {reach.length_text} Å" in describe_reach(reach, len(orbits))
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.4
