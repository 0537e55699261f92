"""Tests of what the uncertainties say about order that no zone shows."""

import numpy as np

from dsfunet.lattice.volume_fit.series import LatticeVectors
from dsfunet.lattice.volume_fit.unseen import find_unseen_directions

_REACH = 4


def _list_half(reach: int) -> LatticeVectors:
    steps = np.arange(-reach, reach + 1)
    every = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    h, k, l = every.T  # noqa: E741
    half = every[(l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))]
    return LatticeVectors(half, 1, np.linalg.norm(half, axis=1))


def _series_of(information: np.ndarray, terms: LatticeVectors) -> np.ndarray:
    """Return the series of information on a grid of one zone."""
    waves = np.fft.fftn(information).real / information.size
    return np.concatenate([[waves[0, 0, 0]], waves[tuple(terms.numerators.T)]])


def test_a_hole_at_bragg_positions_changes_all_correlations_alike() -> None:
    vectors, terms = _list_half(_REACH), _list_half(2 * _REACH)
    size = 4 * _REACH + 1
    information = np.full((size,) * 3, 1e4)
    information[0, 0, 0] = 1.0
    found = find_unseen_directions(vectors, np.zeros(vectors.count), terms, _series_of(information, terms))
    assert found.shape == (1, vectors.count)
    # S is 1 there and uncertain by 6 %, in one of the points of the zone.
    np.testing.assert_allclose(found[0], 0.06 / size**3, rtol=1e-9)


def test_holes_with_friedel_mates_across_the_edge_are_one() -> None:
    vectors, terms = _list_half(_REACH), _list_half(2 * _REACH)
    size = 4 * _REACH + 1
    information = np.full((size,) * 3, 1e4)
    for place in ((3, 0, 0), (-3, 0, 0), (3, 0, -1), (-3, 0, 1)):
        information[place] = 1.0
    found = find_unseen_directions(vectors, np.zeros(vectors.count), terms, _series_of(information, terms))
    assert len(found) == 1
    first = np.flatnonzero((vectors.numerators == (0, 1, 0)).all(axis=1))[0]
    expected = 0.06 * (2 + 2 * np.cos(2 * np.pi * 0 / size)) / size**3
    np.testing.assert_allclose(found[0, first], expected, rtol=1e-9)


def test_a_volume_without_holes_has_no_such_directions() -> None:
    vectors, terms = _list_half(_REACH), _list_half(2 * _REACH)
    information = np.random.default_rng(0).uniform(1, 2, (4 * _REACH + 1,) * 3)
    information += np.roll(information[::-1, ::-1, ::-1], 1, axis=(0, 1, 2))
    found = find_unseen_directions(vectors, np.zeros(vectors.count), terms, _series_of(information, terms))
    assert found.shape == (0, vectors.count)
