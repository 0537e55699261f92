"""The comparison of reports: the pairing, the coverage of the intervals, and which report is better."""

import json
from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from evaluate import __main__ as command
from evaluate.reports.comparison import Difference, compare_reports, comparison_table

PLANES = 200


def make_report(
    folder: Path, scores: dict[str, np.ndarray], digest: str = "a" * 64, planes: int = PLANES
) -> Path:
    folder.mkdir(parents=True)
    plain = {"format": 2, "provenance": {"stores": {"validation": {"digest": digest, "planes": planes}}}}
    (folder / "report.json").write_text(json.dumps(plain), encoding="utf-8")
    np.savez(folder / "planes.npz", missing_share=np.zeros(planes), **scores)  # type: ignore[arg-type]
    return folder


def of(found: list[Difference], statistic: str, measure: str = "mse") -> Difference:
    [one] = [each for each in found if (each.statistic, each.measure) == (statistic, measure)]
    return one


def test_pairing_finds_a_difference_far_smaller_than_the_spread_of_the_planes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hard = rng.lognormal(-4, 1, PLANES)
    first = make_report(tmp_path / "a", {"network/form_factor/mse": hard})
    second = make_report(tmp_path / "b", {"network/form_factor/mse": 0.97 * hard})
    mean = of(compare_reports(first, second), "mean")
    assert mean.better == 2 and mean.high < 0
    assert mean.first == pytest.approx(hard.mean()) and mean.second == pytest.approx(0.97 * hard.mean())
    assert of(compare_reports(second, first), "mean").better == 1


def test_larger_is_better_where_it_is(tmp_path: Path) -> None:
    likeness = np.linspace(0.5, 0.8, PLANES)
    first = make_report(tmp_path / "a", {"network/form_factor/ssim": likeness})
    second = make_report(tmp_path / "b", {"network/form_factor/ssim": likeness + 0.01})
    assert of(compare_reports(first, second), "median", "ssim").better == 2


def test_the_same_scores_show_no_difference(tmp_path: Path) -> None:
    scores = {"network/form_factor/mse": np.linspace(0.01, 0.02, PLANES)}
    found = compare_reports(make_report(tmp_path / "a", scores), make_report(tmp_path / "b", scores))
    assert {each.better for each in found} == {0}
    assert all(each.low == each.high == 0 for each in found)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    """Paired differences of known mean 0.2: about nine in ten of 60 intervals of 90 % contain it."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        base = rng.normal(5, 2, PLANES)
        scores = [{"network/form_factor/mse": each} for each in (base, base + rng.normal(0.2, 1, PLANES))]
        first, second = (make_report(tmp_path / f"{seed}{n}", each) for n, each in enumerate(scores))
        mean = of(compare_reports(first, second, resamples=400, confidence=0.9, seed=seed), "mean")
        held += mean.low <= 0.2 <= mean.high
    assert 46 <= held <= 60  # binomial: 54 expected, standard deviation 2.3


def test_the_width_is_that_of_the_standard_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    base, difference = rng.normal(5, 2, PLANES), rng.normal(0, 1, PLANES)
    first = make_report(tmp_path / "a", {"network/form_factor/mse": base})
    second = make_report(tmp_path / "b", {"network/form_factor/mse": base + difference})
    mean = of(compare_reports(first, second, resamples=4000), "mean")
    expected = 2 * 1.96 * difference.std(ddof=1) / np.sqrt(PLANES)
    assert mean.high - mean.low == pytest.approx(expected, rel=0.06)


def test_planes_that_lack_a_measure_are_left_out_in_pairs(tmp_path: Path) -> None:
    values = np.linspace(0.01, 0.02, PLANES)
    values[::2] = np.nan
    scores = {"network/form_factor/mse_missing": values}
    found = compare_reports(make_report(tmp_path / "a", scores), make_report(tmp_path / "b", scores))
    assert of(found, "mean", "mse_missing").first == pytest.approx(values[1::2].mean())


def test_two_methods_of_one_report(tmp_path: Path) -> None:
    scores = {
        "network/short_range_order/mse": np.full(PLANES, 0.02),
        "series/short_range_order/mse": np.full(PLANES, 0.01),
    }
    folder = make_report(tmp_path / "a", scores)
    assert of(compare_reports(folder, folder, ("network", "series")), "mean").better == 2
    with pytest.raises(InputError, match="no scores of 'magic'; expected one of network, series"):
        compare_reports(folder, folder, ("network", "magic"))


def test_reports_on_other_planes_are_refused(tmp_path: Path) -> None:
    scores = {"network/form_factor/mse": np.ones(PLANES)}
    first = make_report(tmp_path / "a", scores)
    for folder in (
        make_report(tmp_path / "b", scores, digest="b" * 64),
        make_report(tmp_path / "c", {"network/form_factor/mse": np.ones(10)}, planes=10),
    ):
        with pytest.raises(InputError, match="expected reports on the same planes"):
            compare_reports(first, folder)
    with pytest.raises(InputError, match=r"expected a report of `python -m evaluate`"):
        compare_reports(first, tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = make_report(tmp_path / "a", {"network/form_factor/mse": np.full(PLANES, 0.02)})
    second = make_report(tmp_path / "b", {"network/form_factor/mse": np.full(PLANES, 0.01)})
    out = tmp_path / "differences.json"
    assert command.main(["compare", str(first), str(second), "--out", str(out), "--resamples", "200"]) == 0
    assert "the second is better" in capsys.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))[0]["second"] == pytest.approx(0.01)
    assert command.main(["compare", str(first), str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert command.main(["compare", str(first), str(second), "--confidence", "1.5"]) == 2


def test_the_table_says_it_in_words() -> None:
    difference = Difference("form_factor", "mse", "mean", 0.02, 0.01, -0.012, -0.008, 2)
    assert "the second is better" in comparison_table([difference], 0.95)[-1]
