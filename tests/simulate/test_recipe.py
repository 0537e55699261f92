"""The recipe: the paper's numbers, refused values, and a digest that depends on every field."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from dsfunet.errors import InputError
from simulate.__main__ import build_parser
from simulate.artefacts.degradation import SignalRecipe
from simulate.artefacts.masks import MaskRecipe
from simulate.correlations.monte_carlo import MonteCarloRecipe
from simulate.correlations.oscillators import OscillatorRecipe
from simulate.recipe import SPLITS, Counts, Recipe

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "simulate").glob("*.yaml"))
COUNTS = Counts(10, 5)

# One other value for every field.
OTHER: dict[str, Any] = {
    "samples": Counts(11, 5),
    "seed": 1,
    "samples_per_shard": 128,
    "planes_per_crystal": 12,
    "monte_carlo_share": 0.25,
    "monte_carlo_sets": Counts(12000, 999),
    "monte_carlo": MonteCarloRecipe(tolerance=0.01),
    "oscillator": OscillatorRecipe(frequency_range=(0.0, 1.0)),
    "monte_carlo_q_max_inv_angstrom": (7.0, 8.0),
    "oscillator_q_max_inv_angstrom": (7.0, 8.0),
    "max_layer_inv_angstrom": 3.0,
    "strongest_layer_share": 0.5,
    "rotated_share": 0.5,
    "orientation_share": 0.5,
    "balance_groups": True,
    "triclinic_share": 0.1,
    "debye_waller_b_angstrom2": (0.0, 1.0),
    "mask": MaskRecipe(share_unmasked=0.2),
    "signal": SignalRecipe(share_counts=0.5, brightest_counts=(50.0, 500.0)),
    "species_folder": "molecules",
}


def test_defaults_are_the_papers() -> None:
    recipe = Recipe(COUNTS)
    assert recipe.monte_carlo_sets == Counts(12000, 1000)
    assert recipe.monte_carlo_q_max_inv_angstrom == (8.0, 8.0)
    assert recipe.oscillator_q_max_inv_angstrom == (6.0, 8.0)
    assert recipe.debye_waller_b_angstrom2 == (0.0, 0.0)
    assert recipe.orientation_share == recipe.triclinic_share == recipe.monte_carlo.symmetric_share == 0.0
    assert not recipe.signal.is_on
    assert recipe.optional_arrays == ()
    assert recipe.mask.missing_fraction == (0.07, 0.55)


def test_random_streams_of_the_splits_keep_their_numbers() -> None:
    """Another order would change the planes of every recipe."""
    assert SPLITS == ("train", "validation")


def test_the_digest_is_that_of_the_content() -> None:
    assert Recipe(COUNTS).digest == Recipe(Counts(10, 5), seed=0).digest
    assert len(Recipe(COUNTS).digest) == 64


@pytest.mark.parametrize("field", dataclasses.fields(Recipe), ids=lambda field: field.name)
def test_the_digest_sees_every_field(field: "dataclasses.Field[Any]", tmp_path: Path) -> None:
    value = OTHER[field.name]
    if field.name == "species_folder":
        value = str(tmp_path)
    assert dataclasses.replace(Recipe(COUNTS), **{field.name: value}).digest != Recipe(COUNTS).digest


@pytest.mark.parametrize(
    "changed",
    [
        *(
            SignalRecipe(**{field.name: 0.25})
            for field in dataclasses.fields(SignalRecipe)
            if field.type is float
        ),
        *(
            SignalRecipe(**{field.name: (0.5, 0.75) if field.name != "brightest_counts" else (40.0, 50.0)})
            for field in dataclasses.fields(SignalRecipe)
            if field.type is not float
        ),
        MonteCarloRecipe(symmetric_share=0.5),
    ],
    ids=str,
)
def test_the_digest_sees_every_setting_of_signal_and_of_symmetry(
    changed: SignalRecipe | MonteCarloRecipe,
) -> None:
    name = "signal" if isinstance(changed, SignalRecipe) else "monte_carlo"
    assert dataclasses.replace(Recipe(COUNTS), **{name: changed}).digest != Recipe(COUNTS).digest


@pytest.mark.parametrize("name", ["share_background", "share_bragg", "share_counts"])
def test_degraded_planes_are_stored(name: str) -> None:
    assert Recipe(COUNTS, signal=SignalRecipe(**{name: 0.1})).optional_arrays == ("scattering",)


def test_the_digest_sees_that_there_is_a_species_folder_but_not_where() -> None:
    """The store's digest of species depends on the contents of the folder."""
    assert Recipe(COUNTS, species_folder="here").digest == Recipe(COUNTS, species_folder="there").digest
    assert Recipe(COUNTS, species_folder="here").digest != Recipe(COUNTS).digest


def test_the_recipe_in_the_attributes_is_the_recipe_again() -> None:
    """The recipe stored with a data set can be used as a config file and gives the same recipe."""
    recipe = dataclasses.replace(
        Recipe(COUNTS), **{key: OTHER[key] for key in OTHER if key != "species_folder"}
    )
    plain = recipe.as_plain()
    assert json.loads(json.dumps(plain)) == plain
    parser = build_parser()
    namespace = parser.parse_object({**plain, "out": "anywhere"})
    for name in set(vars(namespace)) - set(plain):
        namespace.pop(name)
    assert Recipe(**vars(parser.instantiate(namespace))) == recipe


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_recipes_of_this_repository_are_valid(path: Path) -> None:
    parser = build_parser()
    namespace = parser.parse_args(["--config", str(path), "--out", "anywhere"])
    for name in set(vars(namespace)) - {field.name for field in dataclasses.fields(Recipe)}:
        namespace.pop(name)
    assert Recipe(**vars(parser.instantiate(namespace))).samples.train > 0


def test_there_are_recipes_to_check() -> None:
    assert {"smoke.yaml", "release.yaml", "paper.yaml"} <= {path.name for path in CONFIGS}


@pytest.mark.parametrize(("train", "validation"), [(-1, 5), (5, -1)])
def test_negative_counts_are_refused(train: int, validation: int) -> None:
    with pytest.raises(InputError, match=r"^counts are .*expected 0 or more$"):
        Counts(train, validation)


def test_a_recipe_for_no_plane_is_refused_but_one_without_monte_carlo_sets_is_not() -> None:
    with pytest.raises(InputError, match=r"expected at least one plane$"):
        Recipe(Counts(0, 0))
    assert Recipe(COUNTS, monte_carlo_share=0.0, monte_carlo_sets=Counts(0, 0)).monte_carlo_sets.train == 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("seed", -1),
        ("max_layer_inv_angstrom", -1.0),
        ("max_layer_inv_angstrom", float("inf")),
        ("oscillator_q_max_inv_angstrom", (6.0, float("inf"))),
    ],
)
def test_values_that_would_fail_later_are_refused_now(name: str, wrong: object) -> None:
    with pytest.raises(InputError, match=f"^{name} is"):
        Recipe(COUNTS, **{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["monte_carlo_share", "strongest_layer_share", "rotated_share", "orientation_share", "triclinic_share"],
)
@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_shares_beyond_their_bounds_are_refused(name: str, wrong: float) -> None:
    with pytest.raises(InputError, match=f"^{name} is {wrong}; expected a share from 0 to 1$"):
        Recipe(COUNTS, **{name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("monte_carlo_q_max_inv_angstrom", (8.0, 7.0)),
        ("oscillator_q_max_inv_angstrom", (0.1, 8.0)),
        ("oscillator_q_max_inv_angstrom", (float("nan"), 8.0)),
        ("debye_waller_b_angstrom2", (-1.0, 0.0)),
    ],
)
def test_ranges_out_of_order_are_refused(name: str, wrong: tuple[float, float]) -> None:
    with pytest.raises(
        InputError, match=rf"^{name} is \(.*\); expected .* <= lowest <= highest, both finite$"
    ):
        Recipe(COUNTS, **{name: wrong})  # type: ignore[arg-type]


def test_shards_without_samples_are_refused() -> None:
    with pytest.raises(InputError, match=r"^samples_per_shard is 0; expected at least 1$"):
        Recipe(COUNTS, samples_per_shard=0)


def test_monte_carlo_planes_need_monte_carlo_sets() -> None:
    with pytest.raises(
        InputError,
        match=r"^monte_carlo_sets\.validation is 0 and monte_carlo_share is 0\.5; expected at least one",
    ):
        Recipe(COUNTS, monte_carlo_sets=Counts(5, 0))
    assert Recipe(Counts(10, 0), monte_carlo_sets=Counts(5, 0)).samples.validation == 0
    assert Recipe(COUNTS, monte_carlo_share=0.0, monte_carlo_sets=Counts(1, 0)).monte_carlo_share == 0.0
