"""The measurement of work units: each covers some planes of one stage, and its results go into one file."""

import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from evaluate.predictors.registry import NOISE, make_predictors
from evaluate.runs.plan import Plan, Stage, WorkUnit

Arrays = dict[str, npt.NDArray[Any]]

SECONDS = "seconds/"
"""Prefix of the names of running times; these never reach a report."""


def read_arrays(path: Path) -> Arrays:
    """Read the arrays of an .npz file without pickle.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged or is not an .npz file.
    """
    try:
        # Opened here because numpy does not close a file that turns out to be invalid.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        AttributeError,
    ) as error:  # an .npy array has no `files`
        raise ValueError(str(error)) from error


class UnitWorker:
    """A worker that measures work units; it makes predictors, stores and the feature space when first needed.

    Args:
        plan: the plan of the evaluation.
        device: where this process runs networks, as torch names it.
        folder: folder for the files of the work units.
    """

    def __init__(self, plan: Plan, device: str, folder: Path) -> None:
        self._plan = plan
        self._device = device
        self._folder = folder
        self._predictors: dict[str, Any] = {}
        self._readers: dict[str, CaseReader] = {}
        self._space: FeatureSpace | None = None

    def measure(self, unit: WorkUnit) -> int:
        """Measure a work unit and write its arrays; returns the number of its planes.

        Raises:
            InputError: if a plane is damaged or cannot be split, or an answer is not linear intensity in [0, 1].
        """
        stage = self._plan.stages[unit.stage]
        with replacing(self._plan.file(self._folder, unit)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **self._arrays_of(stage, unit))  # type: ignore[arg-type]
        return unit.stop - unit.start

    def _arrays_of(self, stage: Stage, unit: WorkUnit) -> Arrays:
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
                    answers, cases, truths, true if name in stage.fully_measured else None
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
    """Return measures of n answers, each (n,), and their binned deviations (n, bins) if they have any.

    If the truths are given `stacked` as well, the slow measures are included.
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
