"""A tiny store of real physics, small weights, and a stand-in for the networks whose errors are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dsfunet.data.layout import LAYOUT
from dsfunet.data.manifests import digest_arrays, manifest_file
from dsfunet.data.store import Store, create_store, open_store, shard_count
from dsfunet.factorize.factorizer import Components
from dsfunet.files import write_json
from dsfunet.lattice.mode import split_on_lattice
from dsfunet.networks import SpectralUNet
from dsfunet.networks.weights import Generators, save_folder
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.short_range_order import ALPHA_SHAPE, short_range_order_intensity
from dsfunet.planes.preprocessing import normalise, spread, unspread
from evaluate.runs.evaluation import Report, evaluate
from evaluate.runs.request import EvaluationRequest

SAMPLES = 12
SAMPLES_PER_SHARD = 8
RECIPE = {"rotated_share": 0.5, "seed": 3, "signal": {"share_counts": 0.0}}


def _alphas(index: int) -> npt.NDArray[np.float64]:
    """Correlations of nearest neighbours along a and c only: the series stays positive and is therefore exact."""
    alphas = np.zeros(ALPHA_SHAPE)
    alphas[5, 5, 5] = 1.0
    for neighbour, value in (((1, 0, 0), 0.2 - 0.03 * index), ((0, 0, 1), -0.15)):
        for sign in (1, -1):
            alphas[tuple(5 + sign * step for step in neighbour)] = value
    return alphas


def _arrays() -> dict[str, npt.NDArray[np.generic]]:
    """Planes h0l; every third one hexagonal; shares of missing pixels 0, 1/8 or 1/2; no two alike."""
    drawn: dict[str, list[npt.ArrayLike]] = {name: [] for name in LAYOUT}
    for index in range(SAMPLES):
        cell = Cell(6 + 0.1 * index, 7, 8, 90, 120 if index % 3 == 2 else 90, 90)
        plane = plane_through(cell, (0, 2), 0.0, 7.0)
        order = short_range_order_intensity(_alphas(index), cell, plane)
        form_factor = np.exp(-plane.q_squared() / (8 + 2 * index))
        mask = np.ones((256, 256), bool)
        mask[: (0, 32, 128)[index % 3]] = False
        values = {
            "form_factor": normalise(form_factor)[0],
            "short_range_order": normalise(order)[0],
            "mask": np.packbits(mask, axis=-1),
            "cell": cell.parameters,
            "plane": [plane.origin, plane.step_u, plane.step_v],
            "plane_axes": (0, 2),
            "order_kind": index % 2,
            "species": (2 * (index % 2), 2 * (index % 2) + 1),
            "alphas": _alphas(index),
            "form_factor_floor": float(form_factor.min() / np.ptp(form_factor)),
            "short_range_order_floor": float(order.min() / np.ptp(order)),
        }
        for name, layout in LAYOUT.items():
            drawn[name].append(values.get(name, np.zeros(layout.shape)))
    return {name: np.stack(values).astype(LAYOUT[name].dtype) for name, values in drawn.items()}


def make_store(path: Path, split: str | None = "validation", recipe: Any = RECIPE) -> Path:
    """A finished store of SAMPLES planes in two shards, as the simulator would leave it."""
    given = {"split": split, "recipe": recipe, "recipe_digest": "r" * 64, "species_digest": "s" * 64}
    given |= {
        "order_kinds": ["monte_carlo", "cubic"],
        "species_groups": ["chains", "chains", "rings", "rings"],
    }
    given |= {"species_names": ["ethanol", "ether", "benzene", "toluene"], "code_version": "0.1.0"}
    group = create_store(path, SAMPLES, SAMPLES_PER_SHARD, given)
    arrays = _arrays()
    for name, values in arrays.items():
        group[name][:] = values  # type: ignore[index]
    for shard in range(shard_count(SAMPLES, SAMPLES_PER_SHARD)):
        write_json(manifest_file(path, shard), {"samples": SAMPLES_PER_SHARD})
    group.attrs.update({"digest": digest_arrays(arrays), "complete": True})
    return path


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "validation.zarr")


@pytest.fixture(scope="session")
def store(store_path: Path) -> Store:
    return open_store(store_path)


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder of two tiny untrained networks; its card names species that are not in the store."""
    torch.manual_seed(1)
    networks = [
        SpectralUNet(channels=[8, 8], blocks=[1, 1], fourier_channels=[2, 2]).eval() for _ in range(2)
    ]
    card = {"data": {"species": ["adamantane"], "recipe": RECIPE}}
    folder = tmp_path_factory.mktemp("weights") / "small"
    save_folder(Generators(networks[0], networks[1], "small", "d" * 64, card), folder, card)
    return folder


class KnownFactorizer:
    """A stand-in for the networks with known errors: 0.01 k (I_FF) and 0.02 k (I_SRO) in s for plane k.

    The step goes towards 0, so that the answer stays in [-1, 1]: the MSE is 1e-4 k^2 and 4e-4 k^2 exactly.
    """

    device = torch.device("cpu")
    batch_size = 4

    def __init__(self, store: Store, card: dict[str, Any] | None = None) -> None:
        self._known = [store.sample(index) for index in range(len(store))]
        nothing = torch.nn.Identity()
        card = {"data": {"species": ["adamantane"], "recipe": RECIPE}} if card is None else card
        self.generators = Generators(nothing, nothing, "known", "w" * 64, card)

    def __call__(self, planes: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Components:
        outputs = np.stack([self._answer(*each) for each in zip(planes, mask, strict=True)], axis=1)
        return Components(outputs[0], outputs[1], mask)

    split_on_lattice = staticmethod(split_on_lattice)

    def _answer(self, plane: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        # Planes may be rotated copies, so all samples and rotations are tried.
        for index, sample in enumerate(self._known):
            for turn in range(8):
                first, second = (
                    _turned(each, turn) for each in (np.where(sample.mask, sample.scattering, 0), sample.mask)
                )
                if np.array_equal(second, mask) and np.array_equal(first.astype(np.float32), plane):
                    return np.stack(
                        [
                            _turned(_off(sample.form_factor, 0.01 * index), turn),
                            _turned(_off(sample.short_range_order, 0.02 * index), turn),
                        ]
                    )
        raise AssertionError("not a plane of the store")


def _turned(plane: npt.NDArray[Any], which: int) -> npt.NDArray[Any]:
    rotated = np.rot90(plane, which % 4)
    return rotated.T if which >= 4 else rotated


def _off(truth: npt.NDArray[np.float32], offset: float) -> npt.NDArray[np.float32]:
    value = spread(truth.astype(np.float64))
    moved: npt.NDArray[np.float64] = unspread(value - offset * np.where(value > 0, 1, -1))
    return moved.astype(np.float32)


@pytest.fixture
def known_networks(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the networks of any weights by a `KnownFactorizer`, in this process."""

    def put(card: dict[str, Any] | None = None) -> None:
        factorizer = KnownFactorizer(store, card)
        monkeypatch.setattr("dsfunet.factorize.loading.load_factorizer", lambda *_, **__: factorizer)

    return put


@pytest.fixture(scope="session")
def measured(store: Store, store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report on networks with known errors and on the cosine series."""
    request = EvaluationRequest(
        weights="release",
        shards=str(store_path),
        baselines=("series_levelled", "noise"),
        features="statistics",
        counts=(),
        uncertainty_samples=2,
        uncertainty_mode="turns:2",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsfunet.factorize.loading.load_factorizer", lambda *_, **__: KnownFactorizer(store))
        return evaluate(request, tmp_path_factory.mktemp("work") / "parts", "cpu", 1, progress=False)
