"""The centring from the repeat of a plane, on crystals of another forward model; what the plane cannot say."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.centring_candidates import group_centrings, list_candidates, list_signature
from dsfunet.lattice.centring_choice import (
    choose_centring,
    find_contradiction,
)
from dsfunet.lattice.other_sites import find_other_sites
from dsfunet.physics import Cell
from dsfunet.physics.centring import CENTRINGS
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName, parse_plane
from tests.virtual_crystals import CRYSTALS, Plane, measure
from tests.virtual_faults import SITE_CRYSTALS, measure_fault, measure_sites
from tests.virtual_lattices import CELLS, Shape, measure_lattice


def grid_of(name: str, plane: Plane) -> PlaneGrid:
    a, b, c, beta = CRYSTALS[name].cell
    return PlaneGrid(
        Cell(a, b, c, 90, beta, 90), PlaneName(plane.axes, plane.offset), plane.rows, plane.columns
    )


@pytest.mark.parametrize("brightest", [2000.0, 20.0])
@pytest.mark.parametrize(
    ("name", "axes", "centring"),
    [
        ("P alloy", (0, 1), "P"),
        ("I alloy", (0, 1), "I"),
        ("F alloy", (0, 1), "F"),
        ("molecule", (0, 2), "P"),
    ],
)
def test_the_centring_is_found(name: str, axes: tuple[int, int], centring: str, brightest: float) -> None:
    plane = measure(name, axes=axes, reach=2.6, step=1 / 15, brightest=brightest, missing=True)
    found = choose_centring(plane.counts, plane.mask, grid_of(name, plane))
    assert found.centring == centring and found.found == (centring != "P")
    assert found.gains["P"] == 0 and 0.8 < found.fit.chi_squared < 1.2
    if found.found:
        assert found.note.startswith(f"centring {centring} was found from the data (log evidence")
        assert found.gains[centring] == max(found.gains.values())
    else:
        assert found.note.startswith("centring P is used: ")
        assert max(found.gains.values()) < 10


def test_a_given_centring_is_contradicted_by_a_shorter_repeat_only() -> None:
    plane = measure("F alloy", reach=2.6, step=1 / 15)
    grid = grid_of("F alloy", plane)
    said = find_contradiction(plane.counts, plane.mask, grid, "P")
    assert said is not None
    assert said.startswith(
        "centring P: the plane does not repeat that way; centring F explains it better (log evid"
    )
    assert find_contradiction(plane.counts, plane.mask, grid, "I") is not None
    assert find_contradiction(plane.counts, plane.mask, grid, "F") is None
    # The correlations of a primitive crystal at the other vectors of an F lattice would merely be 0.
    plane = measure("P alloy", reach=2.6, step=1 / 15)
    assert find_contradiction(plane.counts, plane.mask, grid_of("P alloy", plane), "F") is None


def test_centrings_that_a_layer_cannot_tell_apart() -> None:
    axis = np.linspace(-3, 3, 61)
    cell = Cell(4, 5, 6)
    every = tuple(each for each in CENTRINGS if each not in ("R", "H"))
    assert list_candidates(cell) == every
    assert list_candidates(Cell(4, 4, 4)) == ("P", "I", "F")
    assert list_candidates(Cell(4, 4, 6, 90, 90, 120)) == ("P", "R")
    groups = group_centrings(PlaneGrid(cell, parse_plane("hk0"), axis, axis), every)
    assert groups == [("P",), ("A",), ("B",), ("C", "I"), ("F",)]
    assert len(group_centrings(PlaneGrid(cell, parse_plane("h k 0.5"), axis, axis), every)) == 6


def test_a_layer_between_half_way() -> None:
    """At l = 1/2 the vectors 1/2 0 1/2 of an F lattice have phases i and -i, so I and C would do; I cannot."""
    axis = np.arange(-45, 46) / 15
    h, k = np.meshgrid(axis, axis, indexing="ij")
    order = 1 - 0.5 * np.cos(np.pi * h) * np.cos(np.pi * k)
    counts = np.random.default_rng(1).poisson(900 * np.exp(-(h**2 + k**2) / 9) * order).astype(float)
    mask = np.full(h.shape, True)
    cubic = choose_centring(counts, mask, PlaneGrid(Cell(4, 4, 4), parse_plane("h k 0.5"), axis, axis))
    assert (cubic.centring, cubic.alike) == ("F", ()) and "I" not in cubic.gains
    other = choose_centring(counts, mask, PlaneGrid(Cell(4, 5, 6), parse_plane("h k 0.5"), axis, axis))
    assert (other.centring, other.alike) == ("C", ("F",))
    assert "this layer cannot tell it from F" in other.note


def test_an_r_lattice() -> None:
    axis = np.arange(-36, 37) / 12
    h, k = np.meshgrid(axis, axis, indexing="ij")
    turns = ((2, 1), (-1, 1), (-1, -2))  # 2/3 1/3 and the equivalent projections
    order = 1 + 0.2 * sum(np.cos(2 * np.pi * (i * h + j * k) / 3) for i, j in turns)
    counts = np.random.default_rng(2).poisson(300 * np.exp(-(h**2 + h * k + k**2) / 9) * order).astype(float)
    grid = PlaneGrid(Cell(4, 4, 12, 90, 90, 120), parse_plane("hk0"), axis, axis)
    found = choose_centring(counts, np.full(h.shape, True), grid)
    assert found.centring == "R" and "hexagonal close packing" in found.note


def test_centrings_that_the_plane_cannot_test_are_passed_over() -> None:
    """This plane shows three cells, and less than one repeat of an F lattice."""
    axis = np.arange(-10, 11) / 12
    h, k = np.meshgrid(axis, axis, indexing="ij")
    order = 1 + 0.4 * np.cos(2 * np.pi * h)
    counts = np.random.default_rng(3).poisson(500 * np.exp(-(h**2 + k**2) / 9) * order).astype(float)
    mask = np.full(h.shape, True)
    found = choose_centring(counts, mask, PlaneGrid(Cell(4, 4, 4), parse_plane("hk0"), axis, axis))
    assert found.centring == "P" and set(found.gains) == {"P"}
    assert found.note == "centring P is used: the plane cannot test another one"
    small = PlaneGrid(Cell(4, 4, 4), parse_plane("hk0"), axis / 2, axis / 2)
    with pytest.raises(InputError, match="zones in which short-range order repeats; expected two or more"):
        choose_centring(counts, mask, small)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("shape", "centring"), [("cubic", "P"), ("cubic", "I"), ("orthorhombic", "C"), ("hexagonal", "R")]
)
def test_a_centring_does_not_make_up_for_the_form_factor_of_a_molecule(
    shape: Shape, centring: str, seed: int
) -> None:
    """An F lattice gains much evidence on two of these planes, though its further vectors are not correlated."""
    plane = measure_lattice(shape, centring, seed, molecular=True, missing=True, step=1 / 18)
    a, b, c, gamma = CELLS[shape]
    grid = PlaneGrid(Cell(a, b, c, 90, 90, gamma), PlaneName((0, 1), 0.0), plane.rows, plane.columns)
    found = choose_centring(plane.counts, plane.mask, grid)
    assert list_signature(grid, found.centring) == list_signature(grid, centring)  # type: ignore[arg-type]


def test_two_sites_are_no_centring() -> None:
    """F explains this plane better than P, but far from well."""
    counts, mask, axis = measure_sites("oblique", crystal_seed=1, seed=1)
    crystal = SITE_CRYSTALS["oblique"]
    grid = PlaneGrid(Cell(*crystal.lengths, 90, 90, crystal.gamma), parse_plane("hk0"), axis, axis)
    found = choose_centring(counts, mask, grid)
    assert found.centring == "P" and max(found.gains.values()) > 500
    assert found.note.endswith("but leaves correlations over vectors that it lacks")
    assert find_contradiction(counts, mask, grid, "P", found.fit) is None


def test_a_twin_of_a_centred_crystal_keeps_its_centring() -> None:
    plane = measure_fault("I alloy", "twin", 0.4, seed=1)
    found = choose_centring(plane.counts, plane.mask, grid_of("I alloy", plane))
    assert found.centring == "I" and found.fit.chi_squared > 1.2
    sites = find_other_sites(found.fit, plane.counts, plane.mask, grid_of("I alloy", plane), "I")
    assert not sites.found and sites.contrast < 3
