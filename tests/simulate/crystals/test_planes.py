"""One plane from its random stream: what is drawn and how often; the same seed gives the same plane."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import simulate.crystals.planes
from dsfunet.data.layout import LAYOUT
from dsfunet.data.sample import scattering_plane
from dsfunet.errors import InputError
from dsfunet.physics import Cell, plane_through, short_range_order_intensity
from simulate.artefacts.degradation import SignalRecipe
from simulate.correlations.sets import CorrelationSet
from simulate.crystals.draw import ORDER_KINDS, Population, build_population, draw_crystal, vegard_cell
from simulate.crystals.planes import (
    NEAR_DUPLICATE,
    crystal_stream,
    draw_layers,
    draw_sample,
    draw_samples,
    is_near_duplicate,
    strongest_offset,
)
from simulate.recipe import Counts, Recipe
from simulate.rotations import random_rotation
from simulate.species import Species, load_catalogue

# Nothing but oscillators: no Monte Carlo has to run.
RECIPE = Recipe(Counts(100, 100), seed=5, monte_carlo_share=0.0)
SPECIES = {species.name: species for species in load_catalogue()}
DRAWN = 24


def alphas_of(pairs: dict[tuple[int, int, int], float]) -> npt.NDArray[np.float64]:
    """Return a full set with some correlated vectors and their opposites."""
    alphas = np.zeros((11, 11, 11))
    alphas[5, 5, 5] = 1.0
    for (i, j, k), value in pairs.items():
        alphas[5 + i, 5 + j, 5 + k] = alphas[5 - i, 5 - j, 5 - k] = value
    return alphas


def drawn(population: Population, index: int) -> dict[str, npt.NDArray[Any]]:
    """One sample, its scalars as arrays without axes."""
    return {name: np.asarray(values) for name, values in draw_sample(population, index).items()}


@pytest.fixture(scope="module")
def worlds() -> dict[str, Population]:
    return {split: build_population(RECIPE, split, ()) for split in ("train", "validation")}


@pytest.fixture(scope="module")
def samples(worlds: dict[str, Population]) -> list[dict[str, npt.NDArray[Any]]]:
    return [drawn(worlds["train"], index) for index in range(DRAWN)]


def random_set(kind: str, converged: bool) -> CorrelationSet:
    """Return a Monte Carlo set like one from a run."""
    nearest = np.array([-0.3, 0.0, 0.0])
    return CorrelationSet(alphas_of({(1, 0, 0): -0.3}), 0.4, kind, converged, nearest, nearest)


# --- by hand


@pytest.mark.parametrize("axis", range(3))
def test_alternation_along_an_axis_scatters_half_way(axis: int) -> None:
    neighbour = tuple(int(axis == each) for each in range(3))
    second = tuple(2 * each for each in neighbour)
    alternating = alphas_of({neighbour: -0.5, second: 0.25})  # type: ignore[dict-item]
    assert strongest_offset(alternating, axis) == 0.5
    assert strongest_offset(alphas_of({neighbour: 0.5}), axis) == 0.0  # type: ignore[dict-item]
    for other in {0, 1, 2} - {axis}:
        assert strongest_offset(alternating, other) == 0.0


def test_a_period_of_three_scatters_at_a_third() -> None:
    # 1 + 2 (-0.25 cos x - 0.25 cos 2x + 0.5 cos 3x) is highest where x = 2 pi / 3.
    alphas = alphas_of({(0, 0, 1): -0.25, (0, 0, 2): -0.25, (0, 0, 3): 0.5})
    assert strongest_offset(alphas, 2) == pytest.approx(1 / 3, abs=0.01)


def test_order_inside_the_layer_does_not_move_the_layer() -> None:
    assert strongest_offset(alphas_of({(1, 0, 0): -0.5, (0, 1, 1): -0.5}), 2) == 0.0


def test_cells_are_averaged_by_concentration() -> None:
    first, second = SPECIES["copper"], SPECIES["silver"]
    expected = 0.25 * 3.615 + 0.75 * 4.086
    assert first.cell_edges_angstrom == (3.615, 3.615, 3.615)
    assert second.cell_edges_angstrom == (4.086, 4.086, 4.086)
    assert vegard_cell(first, second, 0.25).parameters == pytest.approx((expected,) * 3 + (90.0,) * 3)


def test_aromatic_cells_are_hexagonal_about_b() -> None:
    first, second = SPECIES["naphthalene"], SPECIES["toluene"]
    cell = vegard_cell(first, second, 0.5)
    assert (
        cell.a == cell.c == pytest.approx((first.cell_edges_angstrom[0] + second.cell_edges_angstrom[0]) / 2)
    )
    assert (cell.alpha, cell.beta, cell.gamma) == (90.0, 120.0, 90.0)


def test_random_rotations_are_rotations() -> None:
    rng = np.random.default_rng(0)
    rotations = np.array([random_rotation(rng) for _ in range(2000)])
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.eye(3) + np.zeros((2000, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    # Over SO(3) the mean is 0, and the trace 1 + 2 cos(angle) has mean 0 and variance 1.
    assert np.abs(rotations.mean(axis=0)).max() < 4 / np.sqrt(3 * 2000)
    traces = np.trace(rotations, axis1=1, axis2=2)
    assert traces.var() == pytest.approx(1.0, abs=0.15)


# --- streams


def test_every_crystal_has_a_stream_of_its_own() -> None:
    other_seed = dataclasses.replace(RECIPE, seed=6)
    streams = [
        (RECIPE, "train", 0),
        (RECIPE, "train", 1),
        (RECIPE, "validation", 0),
        (other_seed, "train", 0),
    ]
    assert len({crystal_stream(*each).integers(2**62) for each in streams}) == 4
    assert crystal_stream(*streams[0]).integers(2**62) == crystal_stream(*streams[0]).integers(2**62)


def test_a_sample_does_not_depend_on_the_others(
    worlds: dict[str, Population], samples: list[dict[str, npt.NDArray[Any]]]
) -> None:
    for index in (7, 2):
        again = drawn(build_population(RECIPE, "train", ()), index)
        for name, values in again.items():
            np.testing.assert_array_equal(values, samples[index][name], err_msg=name)


# --- what is drawn


def test_samples_have_the_layout_of_the_store(samples: list[dict[str, npt.NDArray[Any]]]) -> None:
    for sample in samples:
        assert sample.keys() == LAYOUT.keys()  # and no optional array
        for name, layout in LAYOUT.items():
            assert (sample[name].shape, sample[name].dtype) == (layout.shape, layout.dtype), name
            assert layout.dtype.startswith("int") or np.isfinite(sample[name].astype(np.float64)).all(), name


def test_pairs_are_of_one_group_and_split(
    worlds: dict[str, Population], samples: list[dict[str, npt.NDArray[Any]]]
) -> None:
    catalogue = worlds["train"].catalogue
    for sample in samples:
        first, second = (catalogue[number] for number in sample["species"])
        assert first is not second
        assert first.group == second.group
        assert first.split == second.split == "train"
        expected = vegard_cell(first, second, float(sample["concentration"]))
        np.testing.assert_allclose(sample["cell"], expected.parameters, rtol=1e-6)


def test_planes_keep_to_their_ranges(samples: list[dict[str, npt.NDArray[Any]]]) -> None:
    q_max = []
    for sample in samples:
        cell = Cell(*sample["cell"].tolist())
        axes = tuple(sample["plane_axes"].tolist())
        offset = float(sample["plane_offset"])
        q_max.append(128 * float(np.linalg.norm(sample["plane"][1])))
        plane = plane_through(cell, axes, offset, q_max[-1])
        np.testing.assert_allclose(sample["plane"], [plane.origin, plane.step_u, plane.step_v], atol=1e-12)
        # Layers up to 4 1/Angstrom, and from there at most half a layer to where scattering is strongest.
        spacing = float(np.linalg.norm(cell.reciprocal[3 - axes[0] - axes[1]]))
        assert 0 <= offset * spacing <= 4.0 + 0.5 * spacing
    assert 6.0 <= min(q_max) < 6.6
    assert 7.4 < max(q_max) <= 8.0


def test_masks_leave_something_to_see(samples: list[dict[str, npt.NDArray[Any]]]) -> None:
    for sample in samples:
        measured = np.unpackbits(sample["mask"], axis=-1).astype(bool)
        seen = (sample["form_factor"].astype(np.float32) * sample["short_range_order"])[measured]
        assert np.ptp(seen) > 5e-4


def test_order_has_the_symmetry_of_its_lattice(samples: list[dict[str, npt.NDArray[Any]]]) -> None:
    kinds = {ORDER_KINDS[int(sample["order_kind"])] for sample in samples}
    assert len(kinds) >= 3
    for sample in samples:
        kind = ORDER_KINDS[int(sample["order_kind"])]
        assert kind.startswith("hexagonal_") == (sample["cell"][4] == 120.0)
        assert sample["concentration"] == 0.5
        assert sample["alphas"][5, 5, 5] == 1.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rotated_share(share: float) -> None:
    population = build_population(dataclasses.replace(RECIPE, rotated_share=share), "train", ())
    for index in range(4):
        rotations = drawn(population, index)["rotations"]
        np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), [np.eye(3)] * 2, atol=1e-6)
        assert all(np.array_equal(each, np.eye(3)) == (share == 0.0) for each in rotations)


def test_two_orientations_of_one_species() -> None:
    population = build_population(
        dataclasses.replace(RECIPE, orientation_share=1.0, rotated_share=0.0), "train", ()
    )
    for index in range(6):
        sample = drawn(population, index)
        first, second = sample["species"]
        if len(population.catalogue[first].elements) > 1:
            assert first == second
            assert np.array_equal(sample["rotations"][0], np.eye(3))
            assert not np.allclose(sample["rotations"][1], np.eye(3), atol=0.01)


def test_balanced_groups_are_drawn_alike() -> None:
    """There are few perovskites: they are rare in proportion to pairs, but a fifth of balanced groups."""
    counts = {}
    unmasked = dataclasses.replace(RECIPE, mask=dataclasses.replace(RECIPE.mask, share_unmasked=1.0))
    for balance in (False, True):
        recipe = dataclasses.replace(unmasked, balance_groups=balance)
        population = build_population(recipe, "train", ())
        groups = [population.catalogue[drawn(population, index)["species"][0]].group for index in range(40)]
        counts[balance] = groups.count("perovskite")
    assert counts[True] >= 4
    assert counts[False] < counts[True]


def test_debye_waller_dims_the_edges() -> None:
    def edge_over_whole(b: float) -> npt.NDArray[np.float64]:
        population = build_population(
            dataclasses.replace(RECIPE, debye_waller_b_angstrom2=(b, b)), "train", ()
        )
        planes = [drawn(population, index)["form_factor"].astype(np.float64) for index in range(6)]
        return np.array([plane[:16].mean() / plane.mean() for plane in planes])

    assert np.all(edge_over_whole(3.0) < 0.5 * edge_over_whole(0.0))


def test_sets_that_missed_their_targets_are_not_used() -> None:
    sets = (
        random_set("monte_carlo", False),
        random_set("monte_carlo", True),
        random_set("monte_carlo", False),
    )
    recipe = dataclasses.replace(RECIPE, monte_carlo_share=1.0)
    population = build_population(recipe, "train", sets)
    assert population.monte_carlo_sets == {"orthogonal": (sets[1],), "hexagonal": (sets[1],)}
    sample = drawn(population, 0)
    assert ORDER_KINDS[int(sample["order_kind"])] == "monte_carlo"
    assert sample["concentration"] == np.float32(0.4)
    np.testing.assert_array_equal(sample["alphas"], sets[1].alphas.astype(np.float32))
    # Monte Carlo planes have their own range of Q, and a concentration that the cell must follow.
    assert 128 * np.linalg.norm(sample["plane"][1]) == pytest.approx(8.0)
    first, second = (population.catalogue[number] for number in sample["species"])
    assert first.cell_edges_angstrom != second.cell_edges_angstrom
    np.testing.assert_allclose(sample["cell"], vegard_cell(first, second, 0.4).parameters)


def test_tied_sets_go_with_their_lattice() -> None:
    sets = tuple(random_set(kind, True) for kind in ("monte_carlo_cubic", "monte_carlo_hexagonal"))
    recipe = dataclasses.replace(RECIPE, monte_carlo_share=1.0, triclinic_share=1.0, balance_groups=True)
    population = build_population(recipe, "train", sets)
    kinds = set()
    for index in range(12):
        sample = drawn(population, index)
        kind = ORDER_KINDS[int(sample["order_kind"])]
        assert (kind == "monte_carlo_hexagonal") == (sample["cell"][4] == 120.0)
        # Order with a symmetry stays in a cell that has it.
        assert sample["cell"][3] == sample["cell"][5] == 90.0
        assert 128 * np.linalg.norm(sample["plane"][1]) == pytest.approx(8.0)
        kinds.add(kind)
    assert len(kinds) == 2


def test_triclinic_cells_behind_their_switch() -> None:
    sets = (random_set("monte_carlo", True),)
    recipe = dataclasses.replace(RECIPE, monte_carlo_share=1.0, triclinic_share=1.0)
    population = build_population(recipe, "train", sets)
    for index in range(4):
        sample = drawn(population, index)
        assert 90.0 not in sample["cell"][3:] and 120.0 not in sample["cell"][3:]
        first, second = (population.catalogue[number] for number in sample["species"])
        edges = vegard_cell(first, second, 0.4).parameters[:3]
        np.testing.assert_allclose(sample["cell"][:3], edges)
        cell, axes = Cell(*sample["cell"].tolist()), tuple(sample["plane_axes"].tolist())
        plane = plane_through(cell, axes, float(sample["plane_offset"]), 8.0)
        np.testing.assert_allclose(sample["plane"], [plane.origin, plane.step_u, plane.step_v], atol=1e-12)
        expected = short_range_order_intensity(sample["alphas"].astype(np.float64), cell, plane)
        expected = (expected - expected.min()) / np.ptp(expected)
        np.testing.assert_allclose(sample["short_range_order"].astype(np.float64), expected, atol=1e-3)


def test_degraded_planes_are_stored_beside_the_components() -> None:
    noisy = dataclasses.replace(RECIPE, signal=SignalRecipe(share_counts=1.0, brightest_counts=(50.0, 50.0)))
    plain, population = (build_population(recipe, "train", ()) for recipe in (RECIPE, noisy))
    for index in range(3):
        sample, clean = drawn(population, index), drawn(plain, index)
        # The noise is drawn last, so all else is as without it.
        for name, values in clean.items():
            np.testing.assert_array_equal(sample[name], values, err_msg=name)
        assert sample["scattering"].dtype == np.float16 and sample["scattering"].shape == (256, 256)
        shown, exact = sample["scattering"].astype(np.float64), product_of(clean)
        # Poisson's law: the variance of x = counts / maximum is x / 50; the maximum of noise is above 50.
        scale = float((shown * exact).sum() / np.square(exact).sum())
        assert 0.6 < scale <= 1.02
        deviation = np.square(shown - scale * exact)
        assert float(deviation.mean()) == pytest.approx(scale * float(shown.mean()) / 50, rel=0.15)


def test_a_recipe_without_contrast_says_so() -> None:
    copper = SPECIES["copper"]
    population = dataclasses.replace(build_population(RECIPE, "train", ()), pairs=((copper, copper),))
    with pytest.raises(
        InputError, match=r"^train crystal 0: 20 crystals in a row gave no plane with contrast; use pairs"
    ):
        drawn(population, 0)


def test_a_crystal_gives_several_planes_that_differ() -> None:
    recipe = dataclasses.replace(RECIPE, planes_per_crystal=6)
    population = build_population(recipe, "train", ())
    samples = [
        {name: np.asarray(values) for name, values in each.items()}
        for each in draw_samples(population, 0, 12)
    ]
    for planes in (samples[:6], samples[6:]):
        # One crystal, or two where the first had not six layers to show.
        assert len({sample["cell"].tobytes() for sample in planes}) <= 2
        shown = [
            (sample["cell"].tobytes(), int(sample["plane_axes"].sum()), float(sample["plane_offset"]))
            for sample in planes
        ]
        assert len(set(shown)) == 6
        spread = [2 * np.sqrt(product_of(sample)) - 1 for sample in planes]
        for number, plane in enumerate(spread):
            for other in spread[:number]:
                # The criterion looks at every fourth pixel either way.
                assert np.square(plane - other).mean() > 0.8 * NEAR_DUPLICATE
    assert not np.array_equal(samples[0]["cell"], samples[6]["cell"])


def product_of(sample: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """Scattering of a sample, normalised."""
    return scattering_plane(
        sample["form_factor"].astype(np.float32),
        sample["short_range_order"].astype(np.float32),
        float(sample["form_factor_floor"]),
        float(sample["short_range_order_floor"]),
    )


@pytest.mark.parametrize("dropped", [True, False])
def test_layers_that_symmetry_makes_alike_are_shown_once(
    dropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two atoms in a cubic cell with the same order along all axes, so that h0l, hk0 and 0kl are equal."""
    alphas = alphas_of({vector: -0.3 for vector in ((1, 0, 0), (0, 1, 0), (0, 0, 1))})
    nearest = np.full(3, -0.3)
    order = CorrelationSet(alphas, 0.5, "monte_carlo", True, nearest, nearest)
    recipe = dataclasses.replace(RECIPE, planes_per_crystal=3, monte_carlo_share=1.0, rotated_share=0.0)
    population = build_population(recipe, "train", (order,))
    population = dataclasses.replace(population, pairs=((SPECIES["copper"], SPECIES["silver"]),))
    if not dropped:
        monkeypatch.setattr(simulate.crystals.planes, "is_near_duplicate", lambda *_: False)
    shown = [float(np.asarray(sample["plane_offset"])) for sample in draw_samples(population, 0, 3)]
    assert (len(set(shown)) == 3) == dropped


def test_every_axis_shows_its_strongest_offset_first() -> None:
    order = random_set("monte_carlo", True)  # neighbours along a avoid each other: strongest half-way
    recipe = dataclasses.replace(RECIPE, planes_per_crystal=12, monte_carlo_share=1.0)
    population = build_population(recipe, "train", (order,))
    crystal = draw_crystal(population, np.random.default_rng(1))
    layers = list(draw_layers(recipe, np.random.default_rng(2), crystal))
    assert {3 - sum(axes) for axes, _ in layers[:3]} == {0, 1, 2}
    assert [offset % 1 for axes, offset in layers[:3] if 3 - sum(axes) == 0] == [0.5]
    assert all(offset % 1 == 0 for axes, offset in layers if 3 - sum(axes) != 0)
    named = {(3 - sum(axes), offset) for axes, offset in layers}
    assert len(named) == len(layers)
    without = dataclasses.replace(recipe, strongest_layer_share=0.0)
    integers = {(3 - sum(axes), o) for axes, o in draw_layers(without, np.random.default_rng(2), crystal)}
    assert integers == {each for each in named if each[1] % 1 == 0}


def test_samples_do_not_depend_on_where_one_starts() -> None:
    population = build_population(dataclasses.replace(RECIPE, planes_per_crystal=4), "train", ())
    whole = list(draw_samples(population, 0, 9))
    for start, stop in ((0, 1), (3, 6), (7, 9), (5, 5)):
        part = list(draw_samples(population, start, stop))
        assert len(part) == stop - start
        for index, sample in zip(range(start, stop), part, strict=True):
            for name, values in sample.items():
                np.testing.assert_array_equal(values, whole[index][name], err_msg=name)


def test_near_duplicates_by_hand() -> None:
    rng = np.random.default_rng(2)
    plane, other = rng.uniform(-1, 1, (2, 64, 64)).astype(np.float32)
    just_below = plane + np.float32(0.99 * np.sqrt(NEAR_DUPLICATE))
    just_above = plane + np.float32(1.01 * np.sqrt(NEAR_DUPLICATE))
    assert not is_near_duplicate(plane, [])
    assert not is_near_duplicate(plane, [other])
    assert is_near_duplicate(just_below, [other, plane])
    assert is_near_duplicate(just_below.T, [other, plane])
    assert not is_near_duplicate(just_above, [other, plane])
    assert not is_near_duplicate(plane[::-1], [other, plane])


def test_species_of_the_validation_split_are_never_trained_on(worlds: dict[str, Population]) -> None:
    def shown(population: Population) -> set[Species]:
        return {species for pair in population.pairs for species in pair}

    assert not {species.name for species in shown(worlds["train"])} & {
        species.name for species in shown(worlds["validation"])
    }
    assert worlds["train"].species_names == worlds["validation"].species_names
