"""Runs a factorizer over the planes of a store and scores every plane beside the baselines.

`predictions` is the one loop over a store: a metric of the whole set (a distance between distributions, say)
is another consumer of it, a further metric of single planes one more entry of `metrics.PLANE_METRICS`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dsfunet.errors import InputError
from dsfunet.preprocessing import COMPONENTS
from dsfunet.sample import Sample
from dsfunet.shards import Store
from evaluate.baselines import Baseline, standard_baselines, truth_of
from evaluate.metrics import PLANE_METRICS

Scores = dict[str, npt.NDArray[np.float64]]
"""Component -> one score for each plane."""

GALLERY_RANKS = ("best", "median", "worst")
GALLERY_METRIC = "mse"
_LATTICES = ("orthogonal", "hexagonal", "oblique")
_MISSING_BINS = ("none", "under 10 %", "10-25 %", "25-40 %", "40 % and more")


class Answer(Protocol):
    """What a factorizer gives back: both components, (n, 256, 256), linear in [0, 1]."""

    @property
    def form_factor(self) -> npt.NDArray[np.float32]:
        """I_FF."""
        ...

    @property
    def short_range_order(self) -> npt.NDArray[np.float32]:
        """I_SRO."""
        ...


class AnyFactorizer(Protocol):
    """Whatever splits planes; `dsfunet.factorize.Factorizer` is one."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What the report says about it: name, digest of the weights and so on, plain values."""
        ...

    def __call__(self, planes: npt.NDArray[np.float32], /, *, mask: npt.NDArray[np.bool_]) -> Answer:
        """Split planes (n, 256, 256); mask is True where measured."""
        ...


@dataclass(frozen=True)
class Prediction:
    """Consecutive planes of a store: number of the first, the samples, and the output for each component."""

    start: int
    samples: list[Sample]
    outputs: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Breakdown:
    """One way of sorting planes into classes: `index` (n,) points into `labels`."""

    name: str
    labels: tuple[str, ...]
    index: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Picture:
    """One plane of the gallery: whose rank it shows, its number in the store, its score, input and output."""

    component: str
    rank: str
    plane: int
    score: float
    sample: Sample
    output: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Report:
    """Everything measured in one evaluation.

    `scores` and `baselines` are scores of single planes, by metric (and baseline) and component; `provenance`
    holds plain values that do not change from run to run, `seconds` holds those that do.
    """

    planes: int
    scores: dict[str, Scores]
    baselines: dict[str, dict[str, Scores]]
    missing_share: npt.NDArray[np.float64]
    breakdowns: tuple[Breakdown, ...]
    gallery: tuple[Picture, ...]
    provenance: dict[str, Any]
    warnings: tuple[str, ...]
    seconds: dict[str, float]


def evaluate(
    factorizer: AnyFactorizer,
    store: Store,
    samples: int | None = None,
    batch_size: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """Score a factorizer on the first `samples` planes of a store (None: all), beside the baselines.

    The seed drives the noise baselines alone; each plane has a random stream of its own, so that scores do
    not depend on the batch size.

    Raises:
        InputError: the store holds fewer planes, or an output is not planes in [0, 1].
    """
    count = len(store) if samples is None else samples
    if not 1 <= count <= len(store):
        raise InputError(f"{count} planes asked of {store.path.name}: expected 1 to {len(store)}")
    if batch_size < 1:
        raise InputError(f"batch size is {batch_size}: expected at least 1")
    started = time.perf_counter()
    baselines = standard_baselines(store, count)
    scores = {metric: {component: np.empty(count) for component in COMPONENTS} for metric in PLANE_METRICS}
    beside = {
        baseline: {
            metric: {component: np.empty(count) for component in COMPONENTS} for metric in PLANE_METRICS
        }
        for baseline in baselines
    }
    missing_share = np.empty(count)
    seconds = {"factorizer": 0.0}
    for prediction in predictions(factorizer, store, count, batch_size, seconds, progress):
        _score(prediction, store.path.name, scores)
        for index, sample in enumerate(prediction.samples, start=prediction.start):
            missing_share[index] = 1 - sample.mask.mean()
            _score_baselines(index, sample, baselines, seed, beside)
    gallery = _gallery(factorizer, store, scores[GALLERY_METRIC])
    seconds["total"] = time.perf_counter() - started
    seconds["factorizer_per_plane"] = seconds["factorizer"] / count
    return Report(
        planes=count,
        scores=scores,
        baselines=beside,
        missing_share=missing_share,
        breakdowns=_breakdowns(store, missing_share),
        gallery=gallery,
        provenance={
            # Not the card: it holds a report itself.
            "factorizer": {key: value for key, value in factorizer.description.items() if key != "card"},
            "seed": seed,
            "planes": count,
            "store": {
                "name": store.path.name,
                "digest": store.digest,
                "planes": len(store),
                **{key: store.attributes.get(key) for key in ("split", "recipe_digest", "code_version")},
            },
        },
        warnings=_warnings(store),
        seconds=seconds,
    )


def predictions(
    factorizer: AnyFactorizer,
    store: Store,
    count: int,
    batch_size: int,
    seconds: dict[str, float],
    progress: bool,
) -> Iterator[Prediction]:
    """The first `count` planes in batches, factorised; adds the time this took to `seconds["factorizer"]`."""
    with tqdm(total=count, desc="evaluating", unit="plane", disable=not progress, smoothing=0.1) as bar:
        for start in range(0, count, batch_size):
            drawn = [store.sample(index) for index in range(start, min(start + batch_size, count))]
            began = time.perf_counter()
            try:
                outputs = _factorise(factorizer, drawn)
            except InputError as error:
                raise InputError(
                    f"batch that starts at plane {start} of {store.path.name}: {error}"
                ) from error
            seconds["factorizer"] += time.perf_counter() - began
            yield Prediction(start, drawn, outputs)
            bar.update(len(drawn))


def _factorise(factorizer: AnyFactorizer, samples: Sequence[Sample]) -> dict[str, npt.NDArray[np.float32]]:
    mask = np.stack([sample.mask for sample in samples])
    # What lies under the mask is taken away here, so that no factorizer can be scored on having seen it.
    planes = np.where(mask, np.stack([sample.scattering for sample in samples]), np.float32(0))
    answer = factorizer(planes, mask=mask)
    return {component: np.asarray(getattr(answer, component)) for component in COMPONENTS}


def _score(prediction: Prediction, store_name: str, scores: dict[str, Scores]) -> None:
    stop = prediction.start + len(prediction.samples)
    for component, output in prediction.outputs.items():
        truth = np.stack([truth_of(sample, component) for sample in prediction.samples])
        for name, metric in PLANE_METRICS.items():
            try:
                scores[name][component][prediction.start : stop] = metric(output, truth)
            except InputError as error:
                raise InputError(
                    f"{component}, batch that starts at plane {prediction.start} of {store_name}: {error}"
                ) from error


def _score_baselines(
    index: int,
    sample: Sample,
    baselines: Mapping[str, Baseline],
    seed: int,
    beside: dict[str, dict[str, Scores]],
) -> None:
    for number, component in enumerate(COMPONENTS):
        for name, baseline in baselines.items():
            # A fresh stream for each, so that one more baseline does not change the others.
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, number)))
            answer, reference = baseline(sample, component, rng)
            for metric_name, metric in PLANE_METRICS.items():
                beside[name][metric_name][component][index] = metric(answer[None], reference[None])[0]


def _gallery(factorizer: AnyFactorizer, store: Store, scores: Scores) -> tuple[Picture, ...]:
    """The best, median and worst plane of each component.

    They are factorised once more: keeping all outputs until the ranks are known would take gigabytes.
    """
    pictures = []
    for component in COMPONENTS:
        order = np.argsort(scores[component], kind="stable")
        for rank, place in zip(GALLERY_RANKS, (0, (len(order) - 1) // 2, len(order) - 1), strict=True):
            plane = int(order[place])
            sample = store.sample(plane)
            output = _factorise(factorizer, [sample])[component][0]
            pictures.append(Picture(component, rank, plane, float(scores[component][plane]), sample, output))
    return tuple(pictures)


def _breakdowns(store: Store, missing_share: npt.NDArray[np.float64]) -> tuple[Breakdown, ...]:
    count = len(missing_share)
    groups = tuple(sorted(set(store.attributes["species_groups"])))
    # Both species of a pair are of one group, so the first tells.
    first = store.metadata("species")[:count, 0]
    group_of_species = np.array([groups.index(group) for group in store.attributes["species_groups"]])
    return (
        Breakdown("species group", groups, group_of_species[first].astype(np.intp)),
        Breakdown(
            "order kind",
            tuple(store.attributes["order_kinds"]),
            store.metadata("order_kind")[:count].astype(np.intp),
        ),
        Breakdown("lattice", _LATTICES, lattice_index(store.metadata("cell")[:count])),
        Breakdown("missing pixels", _MISSING_BINS, missing_index(missing_share)),
    )


def lattice_index(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Cells (n, 6), angles in degrees -> 0 all angles 90, 1 hexagonal (b unique, beta = 120), 2 any other."""
    angles = cells[:, 3:]
    orthogonal = np.isclose(angles, 90.0).all(axis=1)
    hexagonal = np.isclose(angles, (90.0, 120.0, 90.0)).all(axis=1)
    return np.select([orthogonal, hexagonal], [0, 1], default=2).astype(np.intp)


def missing_index(missing_share: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Shares in [0, 1] of missing pixels -> 0 none, 1 under 10 %, 2 to 25 %, 3 to 40 %, 4 more."""
    index = 1 + np.digitize(missing_share, (0.10, 0.25, 0.40))
    return np.where(missing_share == 0, 0, index).astype(np.intp)


def _warnings(store: Store) -> tuple[str, ...]:
    split = store.attributes.get("split")
    if split == "train":
        return (
            "These are scores on training planes: a network may know them by heart, and they say nothing"
            " about species it has not seen.",
        )
    if split is None:
        return (
            "The store does not say which split it is: the network may have been trained on these planes.",
        )
    return ()
