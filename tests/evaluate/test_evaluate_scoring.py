"""The loop over a store, with a factorizer whose errors are known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.errors import InputError
from dsfunet.shards import Store
from evaluate.scoring import Answer, AnyFactorizer, Report, evaluate, lattice_index, missing_index

PLANES = np.arange(12)


@pytest.fixture(scope="module")
def report(factorizer: AnyFactorizer, store: Store) -> Report:
    return evaluate(factorizer, store, batch_size=5, progress=False)


def test_scores_are_the_offsets_squared(report: Report) -> None:
    np.testing.assert_allclose(report.scores["mse"]["form_factor"], 1e-4 * PLANES**2, atol=1e-9)
    np.testing.assert_allclose(report.scores["mse"]["short_range_order"], 4e-4 * PLANES**2, atol=1e-9)


def test_gallery_holds_best_median_and_worst(report: Report) -> None:
    # Twelve planes in order of their error: the lower of the two in the middle is number 5.
    expected = [(component, rank, plane) for component in ("form_factor", "short_range_order")
                for rank, plane in (("best", 0), ("median", 5), ("worst", 11))]  # fmt: skip
    assert [(each.component, each.rank, each.plane) for each in report.gallery] == expected
    assert report.gallery[2].score == pytest.approx(121e-4, abs=1e-8)


def test_breakdowns_sort_planes_as_they_were_made(report: Report) -> None:
    classes = {
        breakdown.name: [breakdown.labels[number] for number in breakdown.index]
        for breakdown in report.breakdowns
    }
    assert classes["order kind"] == ["monte_carlo", "cubic"] * 6
    assert classes["lattice"] == ["orthogonal", "orthogonal", "hexagonal"] * 4
    assert classes["missing pixels"] == ["none", "10-25 %", "40 % and more"] * 4
    assert report.missing_share[:3].tolist() == [0.0, 0.125, 0.5]


def test_scores_do_not_depend_on_the_batch_size(
    factorizer: AnyFactorizer, store: Store, report: Report
) -> None:
    other = evaluate(factorizer, store, samples=7, batch_size=1, progress=False)
    assert other.planes == 7
    for baseline in ("noise_against_truth", "noise_against_noise", "input_as_is"):
        for component in ("form_factor", "short_range_order"):
            np.testing.assert_array_equal(
                other.baselines[baseline]["mse"][component], report.baselines[baseline]["mse"][component][:7]
            )


def test_planes_of_one_report_see_different_noise(report: Report) -> None:
    scores = report.baselines["noise_against_noise"]["mse"]
    assert len(set(np.concatenate(list(scores.values())))) == 24


class Changed:
    """A factorizer whose I_SRO is changed on its way out, and which remembers what it was shown."""

    def __init__(self, inner: AnyFactorizer, change: Callable[[Any], Any] = lambda planes: planes) -> None:
        self.description = inner.description
        self.shown: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]] = []
        self._inner, self._change = inner, change

    def __call__(self, planes: npt.NDArray[np.float32], /, *, mask: npt.NDArray[np.bool_]) -> Answer:
        self.shown.append((planes, mask))
        answer: Any = self._inner(planes, mask=mask)
        return replace(answer, short_range_order=self._change(answer.short_range_order))  # type: ignore[no-any-return]


def test_the_factorizer_never_sees_under_the_mask(factorizer: AnyFactorizer, store: Store) -> None:
    watched = Changed(factorizer)
    evaluate(watched, store, samples=3, progress=False)
    assert sum(int((~mask).sum()) for _, mask in watched.shown) > 0
    assert not any(planes[~mask].any() for planes, mask in watched.shown)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda planes: np.where(planes > 0.9, np.nan, planes),
            "short_range_order, .* plane 0 .* is nan",
        ),
        (lambda planes: planes * 1.5, r"outside \[0, 1\]"),
        (lambda planes: planes[:, ::2], r"output is \(4, 128, 256\), target \(4, 256, 256\)"),
    ],
)
def test_an_output_that_is_not_intensity_fails(
    factorizer: AnyFactorizer, store: Store, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(Changed(factorizer, change), store, batch_size=4, progress=False)


@pytest.mark.parametrize("samples", [0, 13])
def test_more_planes_than_there_are(factorizer: AnyFactorizer, store: Store, samples: int) -> None:
    with pytest.raises(InputError, match="expected 1 to 12"):
        evaluate(factorizer, store, samples=samples, progress=False)


def test_provenance_names_weights_store_and_seed(report: Report, store: Store) -> None:
    assert report.provenance["factorizer"] == {"name": "offset", "digest": "w" * 64}
    assert report.provenance["store"]["digest"] == store.digest
    assert report.provenance["store"]["recipe_digest"] == "r" * 64
    assert report.provenance["seed"] == 0
    assert report.warnings == ()


@pytest.mark.parametrize(("split", "word"), [("train", "training planes"), (None, "does not say")])
def test_planes_that_may_be_known_by_heart_are_warned_of(
    factorizer: AnyFactorizer, store_of_split: Callable[[str | None], Store], split: str | None, word: str
) -> None:
    warnings = evaluate(factorizer, store_of_split(split), samples=2, progress=False).warnings
    assert len(warnings) == 1 and word in warnings[0]


def test_lattice_classes() -> None:
    angles = [(90, 90, 90), (90, 120, 90), (90, 100, 90), (80, 120, 90), (120, 90, 90)]
    cells = np.array([(5, 6, 7, *each) for each in angles], float)
    assert lattice_index(cells).tolist() == [0, 1, 2, 2, 2]


def test_missing_classes() -> None:
    assert missing_index(np.array([0, 1e-5, 0.0999, 0.10, 0.2499, 0.25, 0.3999, 0.40, 1.0])).tolist() == [
        0, 1, 1, 2, 2, 3, 3, 4, 4,
    ]  # fmt: skip
