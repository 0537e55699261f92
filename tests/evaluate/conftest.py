"""A tiny store with known planes, and a factorizer whose errors are known."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet import shards
from dsfunet.preprocessing import normalise, spread, unspread
from dsfunet.sample import Sample
from dsfunet.shards import Store, open_store
from evaluate.scoring import AnyFactorizer

SAMPLES = 12
SAMPLES_PER_SHARD = 8


def _arrays() -> dict[str, npt.NDArray[np.generic]]:
    """Smooth planes, no two alike; every third one hexagonal; shares of missing pixels 0, 1/8 or 1/2."""
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 256), indexing="ij")
    drawn: dict[str, list[npt.ArrayLike]] = {name: [] for name in shards.LAYOUT}
    for index in range(SAMPLES):
        width = rng.uniform(0.2, 1.0)
        form_factor = np.exp(-(x**2 + y**2 + x * y * rng.uniform(-1, 1)) / width)
        order = np.cos(2 * np.pi * x * rng.uniform(3, 6)) + np.cos(2 * np.pi * y * rng.uniform(3, 6))
        mask = np.ones((256, 256), bool)
        mask[: (0, 32, 128)[index % 3]] = False
        drawn["form_factor"].append(normalise(form_factor)[0])
        drawn["short_range_order"].append(normalise(order)[0])
        drawn["mask"].append(np.packbits(mask, axis=-1))
        drawn["cell"].append([5, 6, 7, 90, 120 if index % 3 == 2 else 90, 90])
        drawn["order_kind"].append(index % 2)
        for name in ("form_factor_floor", "short_range_order_floor"):
            drawn[name].append(0.05)
        for name in set(shards.LAYOUT) - {key for key, values in drawn.items() if len(values) > index}:
            drawn[name].append(np.zeros(shards.LAYOUT[name].shape))
    return {name: np.stack(values).astype(shards.LAYOUT[name].dtype) for name, values in drawn.items()}


def _make_store(path: Path, split: str | None) -> Path:
    """A finished store of SAMPLES planes in two shards, as the simulator would leave it."""
    given = {"split": split, "recipe_digest": "r" * 64, "order_kinds": ["monte_carlo", "cubic"]}
    given |= {"species_groups": ["chains", "rings"]}
    group = shards.create(path, SAMPLES, SAMPLES_PER_SHARD, given)
    arrays = _arrays()
    for name, values in arrays.items():
        group[name][:] = values  # type: ignore[index]
    for shard in range(shards.shard_count(SAMPLES, SAMPLES_PER_SHARD)):
        shards.write_json(shards.manifest_file(path, shard), {"samples": SAMPLES_PER_SHARD})
    group.attrs.update({"digest": shards.digest_arrays(arrays), "complete": True})
    return path


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_store(tmp_path_factory.mktemp("store") / "validation.zarr", "validation")


@pytest.fixture(scope="session")
def store(store_path: Path) -> Store:
    return open_store(store_path)


@pytest.fixture
def store_of_split(tmp_path: Path) -> Callable[[str | None], Store]:
    """Makes the same planes again, as another split."""
    return lambda split: open_store(_make_store(tmp_path / "other.zarr", split))


@dataclass(frozen=True)
class KnownAnswer:
    """Both components, (n, 256, 256)."""

    form_factor: npt.NDArray[np.float32]
    short_range_order: npt.NDArray[np.float32]


class OffsetFactorizer:
    """Knows the truth of a store and answers it off by 0.01 k (I_FF) and 0.02 k (I_SRO) in s for plane k.

    The step goes towards 0, so that the answer stays in [-1, 1]: the MSE is 1e-4 k^2 and 4e-4 k^2 exactly.
    """

    def __init__(self, store: Store) -> None:
        self.description: dict[str, Any] = {"name": "offset", "digest": "w" * 64}
        self._by_input: dict[str, tuple[int, Sample]] = {}
        for index in range(len(store)):
            sample = store.sample(index)
            self._by_input[_key(np.where(sample.mask, sample.scattering, 0), sample.mask)] = (index, sample)

    def __call__(self, planes: npt.NDArray[np.float32], *, mask: npt.NDArray[np.bool_]) -> KnownAnswer:
        found = [self._by_input[_key(*each)] for each in zip(planes, mask, strict=True)]
        return KnownAnswer(
            form_factor=np.stack([_off(sample.form_factor, 0.01 * index) for index, sample in found]),
            short_range_order=np.stack(
                [_off(sample.short_range_order, 0.02 * index) for index, sample in found]
            ),
        )


def _key(plane: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> str:
    return hashlib.sha256(plane.astype(np.float32).tobytes() + mask.tobytes()).hexdigest()


def _off(truth: npt.NDArray[np.float32], offset: float) -> npt.NDArray[np.float32]:
    value = spread(truth.astype(np.float64))
    moved: npt.NDArray[np.float64] = unspread(value - offset * np.where(value > 0, 1, -1))
    return moved.astype(np.float32)


@pytest.fixture(scope="session")
def factorizer(store: Store) -> AnyFactorizer:
    return OffsetFactorizer(store)
