"""Checks that planes are a fair test of the weights."""

from pathlib import Path

import pytest

from dsfunet.data.store import Store, open_store
from dsfunet.errors import InputError
from evaluate.runs.provenance import check_trained, check_unseen, describe_store, recipe_warnings
from tests.evaluate.conftest import RECIPE, make_store


def test_species_that_were_trained_on_are_refused(store: Store) -> None:
    with pytest.raises(
        InputError,
        match=r"the planes show 1 of the species that the weights were trained on \(ether\); use planes",
    ):
        check_unseen({"species": ["ether", "adamantane"]}, store, 12, allowed=False)
    [warning] = check_unseen({"species": ["ether", "adamantane"]}, store, 12, allowed=True)
    assert "say nothing about species" in warning


def test_only_the_planes_that_are_scored_count(store: Store) -> None:
    # Plane 0 shows ethanol and ether, plane 1 benzene and toluene.
    assert check_unseen({"species": ["toluene"]}, store, 1, allowed=False) == []


def test_weights_that_do_not_say_what_they_saw(store: Store) -> None:
    [warning] = check_unseen({}, store, 12, allowed=False)
    assert "do not say which species" in warning


def test_another_recipe_is_named_entry_by_entry(tmp_path: Path, store: Store) -> None:
    other = {"rotated_share": 0.7, "seed": 4, "signal": {"share_counts": 0.3}, "new": 1}
    changed = open_store(make_store(tmp_path / "other.zarr", recipe=other))
    [warning] = recipe_warnings({"recipe": RECIPE}, changed)
    # The seed is not named; an entry that the first recipe lacks is marked.
    assert "they differ in new (not on record for both), rotated_share, signal.share_counts." in warning
    assert recipe_warnings({"recipe": RECIPE}, store) == []
    assert recipe_warnings({}, store) == []


def test_training_planes_that_are_none(store: Store, tmp_path: Path) -> None:
    known = {"species": ["benzene", "ethanol", "ether", "toluene", "adamantane"]}
    assert "is of the split 'validation'" in check_trained(known, store, 12)[0]
    training = open_store(make_store(tmp_path / "train.zarr", "train"))
    assert check_trained(known, training, 12) == []
    assert "such as benzene" in check_trained({"species": ["ether", "ethanol"]}, training, 12)[0]


def test_the_store_in_a_report(store: Store) -> None:
    found = describe_store(store, 5)
    assert found["digest"] == store.digest and found["planes"] == 5 and found["planes_of_the_store"] == 12
    assert found["name"] == "validation.zarr"
