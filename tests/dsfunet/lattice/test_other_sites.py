"""Signs of several sites in a primitive cell: found on crystals that have them, and on no others, faulty or not."""

import numpy as np
import pytest

from dsfunet.lattice.centring_choice import choose_centring
from dsfunet.lattice.joint_fit import JointFit, fit_plane
from dsfunet.lattice.other_sites import OtherSites, find_other_sites
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName, parse_plane
from tests.virtual_crystals import CRYSTALS, Plane, measure
from tests.virtual_faults import FAULTS, SITE_CRYSTALS, Fault, measure_fault, measure_sites

GOOD: list[tuple[str, tuple[int, int], Centring]] = [
    ("P alloy", (0, 1), "P"),
    ("I alloy", (0, 1), "I"),
    ("F alloy", (0, 1), "F"),
    ("molecule", (0, 2), "P"),
]


def fit_and_find(plane: Plane, name: str, centring: Centring) -> tuple[JointFit, OtherSites]:
    a, b, c, beta = CRYSTALS[name].cell
    grid = PlaneGrid(
        Cell(a, b, c, 90, beta, 90), PlaneName(plane.axes, plane.offset), plane.rows, plane.columns
    )
    fit = fit_plane(plane.counts, plane.mask, grid, centring)
    counts = np.where(plane.mask, plane.counts, np.nan)
    return fit, find_other_sites(fit, counts, plane.mask, grid, centring)


def grid_of_sites(name: str, layer: float, axis: np.ndarray) -> PlaneGrid:
    crystal = SITE_CRYSTALS[name]
    return PlaneGrid(Cell(*crystal.lengths, 90, 90, crystal.gamma), PlaneName((0, 1), layer), axis, axis)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("brightest", "missing"), [(2000.0, False), (2000.0, True), (20.0, False)])
@pytest.mark.parametrize(("name", "axes", "centring"), GOOD)
def test_one_site_in_a_primitive_cell(
    name: str, axes: tuple[int, int], centring: Centring, brightest: float, missing: bool, seed: int
) -> None:
    plane = measure(
        name, seed, axes, reach=3.2, step=1 / 15, brightest=brightest, missing=missing, crystal_seed=seed
    )
    _, found = fit_and_find(plane, name, centring)
    assert not found.found and not len(found.vectors) and found.note == ""


@pytest.mark.parametrize(("brightest", "missing"), [(2000.0, True), (200.0, False)])
@pytest.mark.parametrize("name", [each for each in SITE_CRYSTALS if each != "hcp"])
def test_two_sites(name: str, brightest: float, missing: bool) -> None:
    counts, mask, axis = measure_sites(name, brightest=brightest, missing=missing)
    grid = grid_of_sites(name, 0.0, axis)
    fit = fit_plane(counts, mask, grid)
    found = find_other_sites(fit, np.where(mask, counts, np.nan), mask, grid)
    assert found.found and found.likelihood_gain > 500
    assert found.strength > 5 and found.contrast > 6
    assert "are no lattice vectors (such as" in found.note and "along a and b)" in found.note
    if name in ("one after another", "unlike atoms"):
        away = found.vectors[0] - np.array([[0.38, 0.27], [-0.38, -0.27]])
        assert np.abs(away - np.round(away)).max(axis=1).min() < 0.02


@pytest.mark.parametrize(("fault", "amount"), FAULTS)
@pytest.mark.parametrize(("name", "axes", "centring"), [GOOD[0], GOOD[3]])
def test_other_faults_are_not_taken_for_several_sites(
    name: str, axes: tuple[int, int], centring: Centring, fault: Fault, amount: float
) -> None:
    plane = measure_fault(name, fault, amount, seed=3, axes=axes)
    fit, found = fit_and_find(plane, name, centring)
    assert not found.found
    if amount >= 0.3 and (fault, name) != ("two-fold twin", "P alloy"):  # which is cubic, and no twin
        assert fit.chi_squared > 1.1


def test_hexagonal_close_packing() -> None:
    """On hk0 it repeats as an R lattice does; on hk1 its phases are not those of one."""
    for layer in (0.0, 1.0):
        counts, mask, axis = measure_sites("hcp", layer=layer, reach=3.2, step=1 / 16)
        grid = grid_of_sites("hcp", layer, axis)
        choice = choose_centring(counts, mask, grid)
        assert choice.centring == "R" and choice.fit.chi_squared < 1.03
        found = find_other_sites(choice.fit, counts, mask, grid, "R")
        if layer == 0:
            assert not found.found and found.note.startswith(
                "this layer cannot tell an R lattice from a close"
            )
            assert found.caution.startswith("with this c/a it could as well be hexagonal close packing")
        else:
            assert found.found and found.note.endswith("with phases that no R lattice has")
        primitive = find_other_sites(fit_plane(counts, mask, grid), counts, mask, grid)
        assert primitive.found
        # 1/3 2/3, or its opposite 2/3 1/3 with a lattice vector added
        assert np.abs(np.sort(np.abs(primitive.vectors[0])) - [1 / 3, 2 / 3]).max() < 0.02


@pytest.mark.parametrize(("setting", "layer"), [(1, 1.0), (-1, 1.0), (1, 2.0), (1, 3.0), (1, 0.5)])
def test_an_r_lattice(setting: int, layer: float) -> None:
    axis = np.arange(-36, 37) / 12
    h, k = np.meshgrid(axis, axis, indexing="ij")
    turns = ((2, 1), (-1, 1), (-1, -2))  # 2/3 1/3 1/3 and the vectors equivalent to it, in thirds
    order = 1 + 0.2 * sum(np.cos(2 * np.pi * (setting * (i * h + j * k) + layer) / 3) for i, j in turns)
    counts = np.random.default_rng(2).poisson(400 * np.exp(-(h**2 + h * k + k**2) / 9) * order).astype(float)
    grid = PlaneGrid(Cell(4, 4, 12, 90, 90, 120), PlaneName((0, 1), layer), axis, axis)
    mask = np.full(h.shape, True)
    found = find_other_sites(fit_plane(counts, mask, grid, "R"), counts, mask, grid, "R")
    assert not found.found
    expected = {
        (1, 1.0): "",
        (1, 2.0): "",
        (-1, 1.0): "the phases are those of an R lattice in the reverse setting",
        (1, 0.5): "",
    }
    assert found.caution == ""  # with this axial ratio, it is no close packing of two layers
    if (setting, layer) in expected:
        assert found.note == expected[setting, layer]
    else:
        assert found.note.startswith("this layer cannot tell")


def test_a_plane_along_two_vectors() -> None:
    """Pixels of the plane hhl, where correlations at 0.3 0.4 plus lattice vectors fall off with their length."""
    axis = np.arange(-48, 49) / 16
    u, v = np.meshgrid(axis, axis, indexing="ij")
    order = 1 + 0.2 * np.cos(2 * np.pi * v)
    for i, j in np.ndindex(5, 5):
        p, q = i - 2 + 0.3, j - 2 + 0.4
        order += 0.4 * np.exp(-np.hypot(p, q)) * np.cos(2 * np.pi * (p * u + q * v))
    expected = 2000 * np.exp(-(u**2 + v**2) / 9) * np.maximum(order, 0)
    counts = np.random.default_rng(5).poisson(expected).astype(float)
    grid = PlaneGrid(Cell(4, 4, 4), parse_plane("hhl"), axis, axis)
    mask = np.full(u.shape, True)
    found = find_other_sites(fit_plane(counts, mask, grid), counts, mask, grid)
    assert found.found and "along both axes of the plane" in found.note
    away = found.vectors[0] - np.array([[0.3, 0.4], [-0.3, -0.4]])
    assert np.abs(away - np.round(away)).max(axis=1).min() < 0.02
