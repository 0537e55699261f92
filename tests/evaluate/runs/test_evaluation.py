"""The numbers of a report for networks with known errors, and wrong requests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsfunet.errors import InputError
from evaluate.reports.tables import paper_table
from evaluate.runs.evaluation import Report, evaluate
from evaluate.runs.request import EvaluationRequest
from tests.evaluate.conftest import RECIPE, KnownFactorizer, make_store

pytestmark = pytest.mark.slow

FEW = {
    "baselines": ("series_levelled", "mean_plane", "noise"),
    "features": "statistics",
    "counts": (),
    "curve_samples": 0,
}


def run(store_path: Path, parts: Path, **options: Any) -> Report:
    settings = {**FEW, "uncertainty_samples": 0, **options}
    request = EvaluationRequest(weights="release", shards=str(store_path), **settings)
    return evaluate(request, parts, "cpu", 1, progress=False)


@pytest.fixture
def report(store_path: Path, tmp_path: Path, known_networks: Callable[..., None]) -> Report:
    known_networks()
    return run(store_path, tmp_path / "parts")


def test_numbers_of_the_form_factor(report: Report) -> None:
    # Scores are 1e-4 k^2 for k = 0..11: the sum of k^2 is 506, the middle two are 25 and 36, and the 90th
    # percentile lies 0.9 of the way from 81 (k = 9) to 100 (k = 10). All are under 0.014 = 140e-4.
    scores = report.plain["predictors"]["network"]["measures"]["form_factor"]["mse"]
    assert scores["mean"] == pytest.approx(506e-4 / 12, rel=1e-4)
    assert scores["median"] == pytest.approx(30.5e-4, rel=1e-4)
    assert scores["percentile_90"] == pytest.approx(98.1e-4, rel=1e-4)
    assert scores["share_under_paper_mark"] == 1.0
    table = report.plain["table"]["validation"]["form_factor"]
    assert table["score"]["mse"] == pytest.approx(scores["mean"], rel=1e-9)
    assert table["noise_against_noise"]["mse"] == pytest.approx(2 / 3, abs=0.005)


def test_numbers_of_the_short_range_order(report: Report) -> None:
    # Scores are 4e-4 k^2: under 0.032 = 80 * 4e-4 for k <= 8, under 0.04 = 100 * 4e-4 for k <= 9 and, as
    # float32 rounds, perhaps for k = 10, which lies on the mark.
    measures = report.plain["predictors"]["network"]["measures"]
    scores = measures["short_range_order"]["mse"]
    assert scores["share_under_paper_mark"] == pytest.approx(9 / 12)
    assert scores["share_under_common_mark"] in (pytest.approx(10 / 12), pytest.approx(11 / 12))
    assert measures["short_range_order"]["mse_unit"]["mean"] == pytest.approx(scores["mean"] / 4)
    # Planes without a missing pixel have no error under the mask: k = 0, 3, 6, 9.
    assert measures["short_range_order"]["mse_missing"]["planes"] == 8


def test_classes_of_planes(report: Report) -> None:
    # Hexagonal are k = 2, 5, 8, 11: squares 4 + 25 + 64 + 121 = 214.
    by = report.plain["by"]
    assert by["lattice"]["hexagonal"]["form_factor"]["planes"] == 4
    assert by["lattice"]["hexagonal"]["form_factor"]["mean"] == pytest.approx(214e-4 / 4, rel=1e-4)
    assert set(by["lattice"]) == {"orthogonal", "hexagonal"}
    assert [each["form_factor"]["planes"] for each in by["missing pixels"].values()] == [4, 4, 4]
    assert {name: each["form_factor"]["planes"] for name, each in by["species group"].items()} == {
        "chains": 6,
        "rings": 6,
    }
    assert sum(point["planes"] for point in report.plain["missing_curve"]) == 12


def test_distances_tell_the_networks_from_noise(report: Report) -> None:
    for rows in report.plain["table"]["validation"].values():
        assert 0 <= rows["score"]["fid"] < 0.1 * rows["noise_against_truth"]["fid"]
        # Twelve planes make subsets of six, few for a kernel distance, but noise is still farther away.
        assert abs(rows["score"]["kid"]) < 0.5 * rows["noise_against_truth"]["kid"]
    limits = {each["name"]: each["kept"] for each in report.plain["limits"]}
    # The paper's distances are in Inception's space, so distances in this space are not compared with them.
    assert not any("FID" in name or "KID" in name for name in limits)
    assert limits["form_factor: 90th percentile of the MSE"]
    assert not limits["short_range_order: 90th percentile of the MSE"]  # 4e-4 * 98.1 = 0.039


def test_the_mean_plane_and_the_series_are_what_they_are(report: Report) -> None:
    planes = report.planes
    # The mean of the truths has the smallest mean error of all constants: the variance.
    assert planes["mean_plane/form_factor/mse"].mean() > 1e-4
    assert np.median(planes["series_levelled/short_range_order/mse"]) < 5e-3
    # In lattice mode I_SRO follows from the plane itself, not from the networks.
    assert np.median(planes["lattice_mode/short_range_order/mse"]) < 1e-3
    assert "lattice_mode/short_range_order/correlation_rms" in planes and "network/form_factor/ssim" in planes
    assert "mean_plane/short_range_order/correlation_rms" not in planes


def test_the_gallery_ranks_by_error(report: Report) -> None:
    gallery = report.plain["gallery"]["form_factor"]
    assert (gallery["best"]["plane"], gallery["median"]["plane"], gallery["worst"]["plane"]) == (0, 5, 11)
    assert len(report.gallery) == 6


def test_curves_and_uncertainty(
    store_path: Path, tmp_path: Path, known_networks: Callable[..., None]
) -> None:
    known_networks()
    # The stand-in does not know planes with new noise, so only the rotated copies are tested.
    report = run(store_path, tmp_path / "parts", samples=3, uncertainty_samples=3, uncertainty_mode="turns:2")
    found = report.plain["uncertainty"]
    assert found["planes"] == 3 and found["mode"] == "turns:2"
    # Both passes give the same answer: no spread, the same error, and no factor that corrects it.
    assert found["mse"]["form_factor"] == pytest.approx(5e-4 / 3, rel=1e-3)
    calibration = found["calibration"]["short_range_order"]
    assert sum(each["share_of_pixels"] for each in calibration["bins"]) == pytest.approx(1)
    assert calibration["factor"] is None or calibration["factor"] > 1e3


def test_noise_makes_scores_worse(store_path: Path, small_weights: Path, tmp_path: Path) -> None:
    request = EvaluationRequest(
        weights=str(small_weights),
        shards=str(store_path),
        samples=4,
        counts=(1000.0, 20.0),
        curve_samples=4,
        uncertainty_samples=0,
        features="statistics",
    )
    curve = evaluate(request, tmp_path / "parts", "cpu", 1, progress=False).plain["noise_curve"]
    assert [point["counts"] for point in curve] == [20.0, 1000.0, None]
    errors = [point["mse"]["series_levelled"]["short_range_order"] for point in curve]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_training_planes_make_a_column_of_their_own(
    store_path: Path, tmp_path: Path, known_networks: Callable[..., None]
) -> None:
    known_networks()
    training = make_store(tmp_path / "train.zarr", "train")
    known_networks({"data": {"species": ["adamantane"], "recipe": RECIPE}})
    report = run(store_path, tmp_path / "parts", training_shards=str(training), training_samples=6)
    score = report.plain["table"]["training"]["form_factor"]["score"]
    assert score["mse"] == pytest.approx(55e-4 / 6, rel=1e-4)  # 0 + 1 + 4 + 9 + 16 + 25
    assert report.plain["provenance"]["stores"]["training"]["planes"] == 6
    # Distances only over equal numbers of planes; these training planes are not of what was trained on.
    sets = report.plain["table"].values()
    assert {each["form_factor"]["score"]["distance_planes"] for each in sets} == {6}
    assert "given as planes the weights were trained on" in report.plain["warnings"][0]


def test_one_plane_has_an_error_and_no_distance(
    store_path: Path, tmp_path: Path, known_networks: Callable[..., None]
) -> None:
    known_networks()
    report = run(store_path, tmp_path / "parts", samples=1)
    assert "fid" not in report.plain["table"]["validation"]["form_factor"]["score"]
    assert any(line.startswith("| FID") and "| - " in line for line in paper_table(report.plain))


def test_where_a_report_comes_from(report: Report, store_path: Path) -> None:
    provenance = report.plain["provenance"]
    assert provenance["weights"]["digest"] == "w" * 64 and provenance["weights"]["mode"] == "deterministic"
    assert provenance["settings"]["seed"] == 0
    assert {"machine", "code", "python", "torch", "numpy", "torch-fidelity"} <= set(
        provenance["surroundings"]
    )
    assert str(store_path.parent) not in str(report.plain)
    assert report.plain["warnings"] == []


@pytest.mark.parametrize(
    ("card", "options", "message"),
    [
        ({"data": {"species": ["ether"]}}, {}, "weights were trained on"),
        (None, {"samples": 13}, "expected 1 to 12"),
        (None, {"mode": "best"}, "expected deterministic"),
        (None, {"uncertainty_mode": "deterministic"}, "expected several passes"),
        (None, {"baselines": ("magic", "noise")}, "expected some of"),
        (None, {"baselines": ("series",)}, "expected noise too"),
        (None, {"counts": (0.5,)}, "expected 1 to 1e15"),
        (None, {"counts": (float("nan"),)}, "expected 1 to 1e15"),
    ],
)
def test_what_cannot_be_evaluated(
    card: dict[str, Any] | None,
    options: dict[str, Any],
    message: str,
    store_path: Path,
    tmp_path: Path,
    known_networks: Callable[..., None],
) -> None:
    known_networks(card)
    with pytest.raises(InputError, match=message):
        run(store_path, tmp_path / "parts", **options)
    assert not (tmp_path / "parts").exists()


def test_species_that_were_trained_on_are_scored_when_told_to(
    store_path: Path, tmp_path: Path, known_networks: Callable[..., None]
) -> None:
    known_networks({"data": {"species": ["ether"], "recipe": {**RECIPE, "rotated_share": 0.9}}})
    report = run(store_path, tmp_path / "parts", samples=2, allow_trained_species=True)
    assert ["trained on (ether)" in warning for warning in report.plain["warnings"]] == [True, False]
    assert "rotated_share" in report.plain["warnings"][1]


def test_an_output_that_is_not_a_number_stops_the_evaluation(
    store_path: Path, tmp_path: Path, known_networks: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_networks()
    answer = KnownFactorizer._answer

    def broken(*arguments: Any) -> Any:
        planes = answer(*arguments)
        planes[1, 100, 100] = np.nan
        return planes

    monkeypatch.setattr(KnownFactorizer, "_answer", broken)
    with pytest.raises(InputError, match=r"short_range_order of plane 0: 1 pixels are outside \[0, 1\]"):
        run(store_path, tmp_path / "parts")
