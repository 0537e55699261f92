"""The compiled exchanges agree with their slow twin, above and below the limit of the cost."""

from itertools import pairwise

import numpy as np
import pytest

from dsfunet.physics.site_exchange import exchange_sites
from tests.reference_exchange import reference_exchange


@pytest.mark.parametrize("limit", [-1.0, 6.0, 1e9])
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_exchanges_agree_with_the_reference(limit: float, seed: int) -> None:
    """A ring of sites with three groups of neighbours, one of them of two vectors."""
    total, count_a = 24, 9
    steps = [1, -1, 2, -2, 5, -5, 3, -3]
    starts = np.array([0, 2, 6, 8])
    neighbours = np.array([[(s + step) % total for step in steps] for s in range(total)], np.uint32)
    order = np.random.default_rng(seed % 97).permutation(total)
    occupation = np.zeros(total, np.int8)
    occupation[order[:count_a]] = 1
    wanted, weights = np.array([1.2, 5.0, 4.0]), np.array([1.0, 0.25, 0.5])
    pairs = np.array(
        [
            sum(occupation[s] * occupation[neighbours[s, c]] for s in range(total) for c in range(a, b)) / 2
            for a, b in pairwise(starts)
        ]
    )
    expected = reference_exchange(
        occupation.copy(), order.tolist(), neighbours, starts.tolist(), wanted, weights, limit, 60, seed
    )
    found, sites, excess = occupation.copy(), order.copy(), pairs - wanted
    accepted, met = exchange_sites(
        found, sites, count_a, neighbours, starts, excess, weights, np.zeros(3), limit, 60,
        np.array([seed], np.uint64),
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    assert not met and 0 < accepted <= 60 and found.sum() == count_a
    assert set(sites[:count_a].tolist()) == set(np.flatnonzero(found).tolist())
    assert limit < 1e9 or accepted == 60


def test_a_run_ends_when_every_group_is_within_its_slack() -> None:
    total = 24
    neighbours = np.array([[(s + 1) % total, (s - 1) % total] for s in range(total)], np.uint32)
    occupation = np.array([1, 0] * (total // 2), np.int8)
    sites = np.concatenate([np.flatnonzero(occupation), np.flatnonzero(occupation == 0)])
    state = np.array([3], np.uint64)
    arguments = (occupation, sites, total // 2, neighbours, np.array([0, 2]))
    excess = np.array([-4.0])
    _, met = exchange_sites(*arguments, excess, np.ones(1), np.array([0.5]), -1.0, 10_000, state)
    pairs = sum(int(occupation[s]) * int(occupation[s - 1]) for s in range(total))
    assert met and pairs == 4 and excess[0] == 0
