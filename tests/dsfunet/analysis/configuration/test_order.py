"""Configurations have the correlations of the virtual crystal whose alphas they were given, and those alone."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.analysis.configuration import (
    Configuration,
    WantedAlpha,
    WantedCorrelations,
    order_configuration,
)
from dsfunet.analysis.configuration.reports import notes_on
from dsfunet.analysis.configuration.sites import Supercell
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import Orbit, laue_rotations, nearest_shells, symmetric_metric
from tests.virtual_crystals import CRYSTALS, HALVES, correlate


def cubic_shells(number: int, centring: Any, edge: float = 4.0) -> tuple[Cell, list[Orbit]]:
    cell = Cell(edge, edge, edge, centring=centring)
    return cell, nearest_shells(
        number, laue_rotations("m-3m"), symmetric_metric(cell, "m-3m"), centring=centring
    )


def want(cell: Cell, orbits: list[Orbit], values: Any, sigma: float = 0.002) -> WantedCorrelations:
    alphas = zip(orbits, values, strict=True)
    return WantedCorrelations(
        cell, "m-3m", tuple(WantedAlpha(o.representative, o.vectors, float(v), sigma) for o, v in alphas)
    )


def count_alpha(found: Configuration, vector: npt.NDArray[np.int64]) -> float:
    """Count unlike pairs at a vector, in units of 1 / denominator, site by site with periodic boundaries."""
    places = {tuple(place): int(held) for place, held in zip(
        found.supercell.positions.tolist(), found.occupation.tolist(), strict=True
    )}  # fmt: skip
    unlike = 0
    for place, held in places.items():
        other = tuple(
            (x + v) % n for x, v, n in zip(place, vector.tolist(), found.supercell.grid, strict=True)
        )
        unlike += places[other] != held
    share = sum(places.values()) / len(places)
    return 1 - unlike / len(places) / (2 * share * (1 - share))


@pytest.mark.parametrize(
    ("name", "cells", "shells"), [("P alloy", 24, 2), ("I alloy", 18, 2), ("F alloy", 15, 2)]
)
def test_two_shells_of_a_virtual_crystal_give_back_all_of_its_correlations(
    name: str, cells: int, shells: int
) -> None:
    """Its pair energies reach two shells, so that the most disordered crystal with these two is the crystal itself."""
    crystal, truth = CRYSTALS[name], correlate(name, 0, 24, 40)
    cell, orbits = cubic_shells(shells + 7, crystal.centring, crystal.cell[0])
    halves = [orbit.vectors * (2 // orbit.denominator) for orbit in orbits]
    # By |Fourier sum|^2, which counts all pairs; `count_pairs` counts those of one vector.
    expected = np.array([truth.alphas[tuple(each.T)].mean() for each in halves])
    assert expected[0] == pytest.approx(
        np.mean([truth.count_pairs(tuple(each)) for each in halves[0][::2].tolist()]), abs=1e-9
    )
    asked = [
        number
        for number, orbit in enumerate(orbits)
        if orbit.length_angstrom <= orbits[shells - 1].length_angstrom
    ]
    wanted = want(cell, [orbits[n] for n in asked], expected[asked])
    runs = [
        order_configuration(wanted, (cells,) * 3, concentration=crystal.share, seed=seed) for seed in range(3)
    ]
    values = []
    for found in runs:
        assert found.is_met and found.chi < 0.2 and found.share_a == pytest.approx(crystal.share, abs=1e-4)
        every = found.supercell.measure_alphas(found.occupation)
        values.append([every[tuple((orbit.vectors % found.supercell.grid).T)].mean() for orbit in orbits])
        np.testing.assert_allclose(np.array(values[-1])[asked], found.alphas, atol=1e-12)
    found = runs[0]
    for number in asked:
        counted = np.mean([count_alpha(found, vector) for vector in orbits[number].vectors[::2]])
        assert counted == pytest.approx(expected[number], abs=0.002)
    # Beyond the two shells: both crystals are samples, with about this scatter of independent sites each.
    pairs = np.array([len(orbit.vectors) / 2 for orbit in orbits])
    sites = len(found.occupation)
    sampled = 24 * np.prod(crystal.cells) * len(HALVES[crystal.centring])
    scatter = 1.5 * np.sqrt(1 / (3 * sites * pairs) + 1 / (sampled * pairs))
    free = [number for number in range(len(orbits)) if number not in asked]
    pulls = (np.mean(values, axis=0) - expected)[free] / scatter[free]
    assert np.sqrt(np.mean(pulls**2)) < 1.5 and np.abs(pulls).max() < 4


def test_rhombohedral_sites_and_equivalents() -> None:
    cell = Cell(4, 4, 10, 90, 90, 120, centring="R")
    orbits = nearest_shells(2, laue_rotations("-3m1"), symmetric_metric(cell, "-3m1"), centring="R")
    wanted = want(cell, orbits, [-0.1] + [0.05] * (len(orbits) - 1))
    found = order_configuration(wanted, (12, 12, 8), concentration=0.4)
    assert len(found.occupation) == 3 * 12 * 12 * 8 and found.is_met
    for orbit, value in zip(orbits, wanted.values, strict=True):
        assert np.mean([count_alpha(found, v) for v in orbit.vectors]) == pytest.approx(value, abs=0.002)


def test_neighbours_are_those_of_a_search() -> None:
    supercell = Supercell(Cell(4, 5, 6, centring="C"), (3, 4, 2))
    places = {tuple(place): number for number, place in enumerate(supercell.positions.tolist())}
    assert len(places) == 3 * 4 * 2 * 2
    vectors = np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2], [2, 0, 2]])
    table = supercell.neighbours(vectors)
    for place, number in places.items():
        for column, vector in enumerate(vectors.tolist()):
            other = tuple((x + v) % n for x, v, n in zip(place, vector, (6, 8, 4), strict=True))
            assert table[number, column] == places[other]


def test_a_seed_gives_one_configuration() -> None:
    cell, orbits = cubic_shells(1, "P")
    wanted = want(cell, orbits, [0.1])
    first, second, third = (
        order_configuration(wanted, (8, 8, 8), concentration=0.5, seed=seed, sweeps=20) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.occupation, second.occupation)
    assert (first.occupation != third.occupation).any()


@pytest.mark.parametrize(
    ("centring", "value", "share", "nearest"),
    [("F", -0.9, 0.5, -1 / 3), ("P", -0.6, 0.2, -0.25), ("I", -1.2, 0.5, -1.0)],
)
def test_alphas_that_no_crystal_has_are_called_so(
    centring: Any, value: float, share: float, nearest: float
) -> None:
    """A triangle of three sites cannot have three unlike pairs, nor has an A more B around it than there are."""
    cell, orbits = cubic_shells(1, centring)
    found = order_configuration(want(cell, orbits, [value]), (8, 8, 8), concentration=share, sweeps=60)
    assert not found.is_met and not found.is_possible
    assert found.possible[0] == pytest.approx(nearest, abs=0.01)
    assert found.alphas[0] >= nearest - 1e-9
    notes = notes_on(found)
    assert any(
        "no configuration has these alphas" in note and f"instead of {value:.4f}" in note for note in notes
    )


def test_possible_alphas_are_not_called_impossible() -> None:
    cell, orbits = cubic_shells(2, "F")
    found = order_configuration(want(cell, orbits, [-1 / 3, 1.0]), (8, 8, 8), concentration=0.5, sweeps=30)
    assert found.is_possible


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"concentration": None}, "add --concentration"),
        ({"concentration": 1.2}, "--concentration is 1.2; expected"),
        ({"concentration": 1e-6}, "--concentration is 1e-06; expected"),
        ({"cells": (2, 8, 8)}, "--cells 2 8 8: vector 1 0 0 .* expected at least 3 3 3 cells"),
        ({"cells": (0, 8, 8)}, "--cells is 0 8 8; expected three"),
        ({"cells": (4000, 4000, 4000)}, "these are 6.4e.10 sites"),
        ({"cells": (560, 560, 150)}, "do not fit in 4 GiB"),
        ({"sweeps": 0}, "--sweeps is 0"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_bad_requests_are_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    cell, orbits = cubic_shells(3, "P") if "560" in str(changes) else cubic_shells(1, "P")
    arguments: dict[str, Any] = {"cells": (8, 8, 8), "concentration": 0.5, **changes}
    with pytest.raises(InputError, match=sentence):
        order_configuration(want(cell, orbits, [0.1] * len(orbits)), **arguments)


def test_without_numba_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "dsfunet.physics.site_exchange", raising=False)
    cell, orbits = cubic_shells(1, "P")
    with pytest.raises(InputError, match="numba is not installed; install it with pip"):
        order_configuration(want(cell, orbits, [0.1]), (8, 8, 8), concentration=0.5)
