"""Manifests of shards: small JSON files with digests, written when a shard is complete."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MANIFEST_FOLDER = "manifest"


def manifest_file(path: Path, shard: int) -> Path:
    """Return the path of a shard's manifest, a small JSON file with its digest, written when the shard is complete."""
    return path / MANIFEST_FOLDER / f"{shard:06d}.json"


def read_manifest(path: Path, shard: int) -> dict[str, Any] | None:
    """Read the manifest of a shard; None if the shard is not complete or the manifest is damaged."""
    try:
        manifest = json.loads(manifest_file(path, shard).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "sha256" in manifest else None


def digest_arrays(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and bytes of arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def digest_shards(manifests: Iterable[dict[str, Any]]) -> str:
    """Return the digest of a store: the SHA-256 of the digests of all shards, in their order."""
    return hashlib.sha256("".join(manifest["sha256"] for manifest in manifests).encode()).hexdigest()
