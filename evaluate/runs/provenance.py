"""The provenance of a report, and checks that its planes are a fair test of the weights."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dsfunet.data.store import Store
from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError

_LIBRARIES = ("numpy", "scipy", "torch", "torch-fidelity", "torchmetrics", "zarr")
# Entries of a recipe that decide which planes are drawn and how they are stored, not what planes look like.
_NOT_ABOUT_PLANES = {"samples", "samples_per_shard", "seed", "monte_carlo_sets"}


def describe_store(store: Store, planes: int) -> dict[str, Any]:
    """Describe the first `planes` planes of a store in plain values."""
    kept = ("split", "recipe_digest", "species_digest", "code_version")
    return {
        "name": store.path.name,
        "digest": store.digest,
        "planes": planes,
        "planes_of_the_store": len(store),
        **{key: store.attributes.get(key) for key in kept},
    }


def describe_surroundings(device: str) -> dict[str, Any]:
    """Describe machine, code and versions of libraries; only where these agree is a report the same byte for byte."""
    return {
        "machine": describe_machine(device),
        "code": describe_code(),
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def check_unseen(trained: Mapping[str, Any], store: Store, planes: int, allowed: bool) -> list[str]:
    """Refuse to score planes of species that the weights were trained on; returns warnings.

    Args:
        trained: description of the training data in the model card; empty if there is no card.
        store: the planes.
        planes: how many planes are scored, from the first.
        allowed: score these planes anyway and return a warning.

    Raises:
        InputError: if a species was used in training and that is not allowed.
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
            f"{store.path}: the planes show {len(seen)} of the species that the weights were trained on ({some});"
            " use planes of other species, or --allow-trained-species true"
        )
    return [
        f"{store.path.name} shows {len(seen)} of the species that the weights were trained on ({some}): these"
        " scores say nothing about species they have not seen."
    ]


def check_trained(trained: Mapping[str, Any], store: Store, planes: int) -> list[str]:
    """Return a warning if planes given as training planes are not of the species that the weights were trained on."""
    known, split = trained.get("species"), store.attributes.get("split")
    others = [] if known is None else sorted({*store.species(planes)} - {*known})
    if split == "train" and not others:
        return []
    found = f"shows species they never saw, such as {others[0]}" if others else f"is of the split {split!r}"
    return [f"{store.path.name}, given as planes the weights were trained on, {found}."]


def recipe_warnings(trained: Mapping[str, Any], store: Store) -> list[str]:
    """Return a warning if planes were made by another recipe than the training data of the weights."""
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
    for name in {*used, *given} - (set() if prefix else _NOT_ABOUT_PLANES):
        if name not in used or name not in given:
            # The recipe of an older version lacks the entries that were added later.
            found.append(f"{prefix}{name} (not on record for both)")
            continue
        before, after = used[name], given[name]
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name}")
    return found


def digest_of(content: object) -> str:
    """Return the SHA-256 of plain values."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_code() -> str:
    """Return the SHA-256 of the sources of dsfunet and evaluate, so that results of different code are not mixed."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for package in ("dsfunet", "evaluate"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
