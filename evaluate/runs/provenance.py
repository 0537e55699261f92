"""Where a report comes from, and whether its planes can judge its weights at all."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from dsfunet.data.store import Store
from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError

_LIBRARIES = ("numpy", "scipy", "torch", "torch-fidelity", "torchmetrics", "zarr")
# Which planes of a recipe are drawn and how they are stored, not what they are like.
_NOT_THE_WORLD = {"samples", "samples_per_shard", "seed", "monte_carlo_sets"}


def describe_store(store: Store, planes: int) -> dict[str, Any]:
    """Which planes are scored, in plain values."""
    kept = ("split", "recipe_digest", "species_digest", "code_version")
    return {
        "name": store.path.name,
        "digest": store.digest,
        "planes": planes,
        "planes_of_the_store": len(store),
        **{key: store.attributes.get(key) for key in kept},
    }


def describe_surroundings(device: str) -> dict[str, Any]:
    """Machine, code and versions: the same report comes out only where they are the same."""
    return {
        "machine": describe_machine(device),
        "code": describe_code(),
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def check_unseen(trained: Mapping[str, Any], store: Store, planes: int, allowed: bool) -> list[str]:
    """Refuse to score planes of species that weights were trained on; returns warnings.

    Args:
        trained: what the weights' card says of their training data; empty where there is no card.
        store: the planes.
        planes: how many of them, from the first.
        allowed: score them all the same, with a warning.

    Raises:
        InputError: a species was trained on and that is not allowed.
    """
    known = trained.get("species")
    if known is None:
        return [
            "The weights do not say which species they were trained on: these may be planes they know by heart."
        ]
    seen = sorted({*store.species(planes)} & {*known})
    if not seen:
        return []
    some = ", ".join(seen[:3]) + (" and others" if len(seen) > 3 else "")
    if not allowed:
        raise InputError(
            f"{store.path}: shows {len(seen)} of the species that the weights were trained on ({some}); expected"
            " planes of others, or --allow-trained-species true"
        )
    return [
        f"{store.path.name} shows {len(seen)} of the species that the weights were trained on ({some}): these"
        " scores say nothing about species they have not seen."
    ]


def check_trained(trained: Mapping[str, Any], store: Store, planes: int) -> list[str]:
    """Warn where planes that are given as training planes are not of what the weights were trained on."""
    known, split = trained.get("species"), store.attributes.get("split")
    others = [] if known is None else sorted({*store.species(planes)} - {*known})
    if split == "train" and not others:
        return []
    found = f"shows species they never saw, such as {others[0]}" if others else f"is of the split {split!r}"
    return [f"{store.path.name}, given as planes the weights were trained on, {found}."]


def recipe_warnings(trained: Mapping[str, Any], store: Store) -> list[str]:
    """Warn where planes were made by another recipe than the weights' training data."""
    given, used = store.attributes.get("recipe"), trained.get("recipe")
    if not isinstance(given, dict) or not isinstance(used, dict):
        return [] if used is None else [f"{store.path.name} does not say by which recipe it was made."]
    differing = sorted(_differences(used, given))
    if not differing:
        return []
    return [
        f"{store.path.name} was made by another recipe than the data of the weights; they differ in"
        f" {', '.join(differing)}."
    ]


def _differences(used: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name in {*used, *given} - (set() if prefix else _NOT_THE_WORLD):
        if name not in used or name not in given:
            # A recipe of an older version has no entry for what came later.
            found.append(f"{prefix}{name} (not on record for both)")
            continue
        before, after = used[name], given[name]
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name}")
    return found
