"""The work of a report cut into units: some planes of one stage, measured in some process, kept in one file.

What a unit yields follows from its stage and its planes alone: not from the number of processes, not from the
order of units, and not from where an interrupted run went on.
"""

import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.planes.preprocessing import COMPONENTS
from evaluate.metrics.errors import spread_mse
from evaluate.metrics.feature_spaces import FeatureSpace, choose_feature_space
from evaluate.metrics.measures import measure_answer, measure_deviation, structural_similarity
from evaluate.predictors.cases import Case, CaseReader, Prediction, Truth
from evaluate.predictors.registry import NOISE, PredictorSettings, make_predictors

Arrays = dict[str, npt.NDArray[Any]]

SECONDS = "seconds/"
"""Names of times begin so; they never reach a report."""


@dataclass(frozen=True)
class Stage:
    """Planes of one store that are measured in one way.

    Attributes:
        name: short, fit for a file name.
        store: path of the store.
        planes: how many, from the first.
        predictors: names of those that are asked.
        full: names of those that get every measure.
        counts: counts expected in the brightest pixel of a plane measured anew; None takes it as it is stored.
        features: whether features of truths, answers of the first predictor and noise are kept.
    """

    name: str
    store: str
    planes: int
    predictors: tuple[str, ...]
    full: tuple[str, ...]
    counts: float | None = None
    features: bool = False


@dataclass(frozen=True)
class Unit:
    """Planes `start` to `stop` of stage number `stage`."""

    stage: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """All that decides what the units of a report yield.

    Attributes:
        stages: what is measured.
        settings: of the predictors.
        planes_per_unit: planes in one unit, a multiple of the batch size.
        seed: of counting noise.
        space: the feature space, `inception` or `statistics`.
        inception_weights: file of the Inception weights; None takes those that torch keeps.
    """

    stages: tuple[Stage, ...]
    settings: PredictorSettings
    planes_per_unit: int
    seed: int
    space: Literal["inception", "statistics"]
    inception_weights: str | None

    def units(self) -> list[Unit]:
        """All units, in order."""
        step = self.planes_per_unit
        return [
            Unit(number, start, min(start + step, stage.planes))
            for number, stage in enumerate(self.stages)
            for start in range(0, stage.planes, step)
        ]

    def file(self, folder: Path, unit: Unit) -> Path:
        """Where the arrays of a unit are kept."""
        return folder / f"{self.stages[unit.stage].name}-{unit.start:06d}.npz"


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, read without pickle.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged, or no such file.
    """
    try:
        # Opened here: numpy leaves a file open whose beginning it does not like.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError) as error:  # a lone array has no `files`
        raise ValueError(str(error)) from error


class Workshop:
    """What a process needs to do units: predictors, stores and the feature space, each made when first needed.

    Args:
        plan: of the report.
        device: where this process runs networks, as torch names it.
        folder: where the files of units go.
    """

    def __init__(self, plan: Plan, device: str, folder: Path) -> None:
        self._plan = plan
        self._device = device
        self._folder = folder
        self._predictors: dict[str, Any] = {}
        self._readers: dict[str, CaseReader] = {}
        self._space: FeatureSpace | None = None

    def do(self, unit: Unit) -> int:
        """Measure a unit and keep its arrays; returns the number of its planes.

        Raises:
            InputError: a plane is damaged, cannot be split, or was answered by what is not intensity.
        """
        stage = self._plan.stages[unit.stage]
        with replacing(self._plan.file(self._folder, unit)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **self._measure(stage, unit))  # type: ignore[arg-type]
        return unit.stop - unit.start

    def _measure(self, stage: Stage, unit: Unit) -> Arrays:
        reader = self._reader(stage.store)
        pairs = [reader(number, stage.counts, self._plan.seed) for number in range(unit.start, unit.stop)]
        cases, truths = [case for case, _ in pairs], [truth for _, truth in pairs]
        true = _stacked(truths)
        arrays: Arrays = {
            "missing_share": np.array([1 - case.mask.mean() for case in cases]),
            "signal": np.array([case.scattering[case.mask].mean() for case in cases], np.float64),
        }
        for name in stage.predictors:
            answers, seconds = self._answers(name, cases, stage)
            arrays[f"{SECONDS}{name}"] = np.array([seconds])
            arrays |= {
                f"{name}/{key}": values
                for key, values in _scores(
                    answers, cases, truths, true if name in stage.full else None
                ).items()
            }
            if name == NOISE:
                arrays[f"{name}/against_noise/mse"] = spread_mse(
                    answers.form_factor, answers.short_range_order
                )
            if stage.features and name in (stage.predictors[0], NOISE):
                arrays |= self._features(name, answers)
        if stage.features:
            arrays |= self._features("truth", true)
        return arrays

    def _answers(self, name: str, cases: Sequence[Case], stage: Stage) -> tuple[Prediction, float]:
        if name not in self._predictors:
            settings = replace(self._plan.settings, device=self._device)
            self._predictors |= make_predictors(settings, stage.predictors)
        began = time.perf_counter()
        try:
            answers: Prediction = self._predictors[name](cases)
        except InputError as error:
            raise InputError(
                f"{name}, planes {cases[0].number} to {cases[-1].number} of {Path(stage.store).name}: {error}"
            ) from error
        return answers, time.perf_counter() - began

    def _reader(self, store: str) -> CaseReader:
        if store not in self._readers:
            self._readers[store] = CaseReader(open_store(store))
        return self._readers[store]

    def _features(self, whose: str, planes: Prediction) -> Arrays:
        if self._space is None:
            weights = self._plan.inception_weights
            path = None if weights is None else Path(weights)
            self._space, _ = choose_feature_space(path, self._device, self._plan.space)
        return {f"features/{whose}/{name}": self._space(getattr(planes, name)) for name in COMPONENTS}


def _stacked(truths: Sequence[Truth]) -> Prediction:
    return Prediction(*(np.stack([getattr(truth, name) for truth in truths]) for name in COMPONENTS))


def _scores(
    answers: Prediction, cases: Sequence[Case], truths: Sequence[Truth], stacked: Prediction | None
) -> Arrays:
    """Measures of n answers, each (n,), and where they know how sure they are, (n, bins) of that.

    With the truths `stacked` as well, it is every measure.
    """
    rows: list[dict[str, Any]] = []
    for place, (case, truth) in enumerate(zip(cases, truths, strict=True)):
        outputs = {name: getattr(answers, name)[place] for name in COMPONENTS}
        form_factor, short_range_order = outputs.values()
        row: dict[str, Any] = measure_answer(form_factor, short_range_order, case, truth, stacked is not None)
        for name, output in outputs.items():
            deviation = getattr(answers, f"{name}_deviation")
            if deviation is not None:
                sums = measure_deviation(output, deviation[place], getattr(truth, name))
                row |= {f"{name}/deviation_{key}": value for key, value in sums.items()}
        rows.append(row)
    scores: Arrays = {key: np.array([row[key] for row in rows], np.float64) for key in rows[0]}
    if stacked is not None:
        for name in COMPONENTS:
            scores[f"{name}/ssim"] = structural_similarity(getattr(answers, name), getattr(stacked, name))
    return scores
