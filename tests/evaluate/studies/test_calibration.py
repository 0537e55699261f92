"""The calibration: known coefficients are recovered, the halves share no pair of molecules, reports repeat."""

import json
from pathlib import Path

import numpy as np
import pytest

from dsfunet.data.store import Store
from dsfunet.networks.calibration import FEATURES, Calibration
from dsfunet.networks.weights import load_folder
from evaluate.__main__ import main
from evaluate.studies.calibration import CalibrationRequest, calibrate, fitting_half
from evaluate.studies.calibration_fit import ONE_SIGMA, fit_coefficients
from evaluate.studies.calibration_report import REPORT_FILES, calibration_tables, write_calibration


def test_coefficients_that_made_the_errors_come_out() -> None:
    """With 40,000 Gaussian errors, coefficients are precise to about 0.01, and the scale to 0.5 %."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(FEATURES), 40_000))
    features[0], features[3] = 1, 7.0
    true = np.array([-3.0, 0.5, 0.2, 0.0, -0.3, 0.1, 0.0, 0.05])
    found = fit_coefficients(features, np.exp(true @ features) * rng.normal(size=40_000))
    np.testing.assert_allclose(found, true, atol=0.03)
    assert found[3] == 0  # this feature does not vary


def test_a_few_planes_that_are_all_wrong_do_not_decide() -> None:
    rng = np.random.default_rng(1)
    features = np.vstack([np.ones(20_000), rng.normal(size=(len(FEATURES) - 1, 20_000))])
    error = 0.05 * rng.normal(size=20_000)
    error[:600] *= 30
    found = fit_coefficients(features, error)
    assert np.exp(found[0]) == pytest.approx(0.05, rel=0.08)
    assert np.abs(found[1:]).max() < 0.05
    assert (np.abs(error) < np.exp(found @ features)).mean() == pytest.approx(ONE_SIGMA, abs=0.01)


def test_halves_share_no_pair_of_molecules(store: Store) -> None:
    numbers = np.arange(len(store))
    half = fitting_half(store, numbers)
    pairs = [frozenset(each) for each in store.metadata("species").tolist()]
    assert half.any() and not half.all()
    assert not {pair for pair, of in zip(pairs, half, strict=True) if of} & {
        pair for pair, of in zip(pairs, half, strict=True) if not of
    }


@pytest.mark.slow
def test_the_report_repeats_and_its_calibration_can_be_read(
    store: Store, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Starting processes takes far longer than six planes.
    monkeypatch.setattr("evaluate.studies.workers.default_processes", lambda device: 1)
    request = CalibrationRequest(str(small_weights), str(store.path), 6, progress=False)
    for name in ("first", "second"):
        calibration, plain, timing = calibrate(request)
        write_calibration(calibration, plain, timing, tmp_path / name)
    for name in REPORT_FILES:
        if name != "timing.json":
            first, second = ((tmp_path / each / name).read_bytes() for each in ("first", "second"))
            assert first == second, name
    kept = json.loads((tmp_path / "first" / "calibration.json").read_text(encoding="utf-8"))
    again = Calibration.from_plain(kept, "x")
    assert again.digest == load_folder(small_weights).digest
    for key, values in calibration.coefficients.items():
        np.testing.assert_array_equal(again.coefficients[key], values)
    text = (tmp_path / "first" / "report.md").read_text(encoding="utf-8")
    assert text == "\n".join([*calibration_tables(plain), ""])
    table = plain["coverage"]["networks"]["form_factor"]["4"]
    assert table["all"]["pixels"] == table["measured"]["pixels"] + table["missing"]["pixels"] > 0


def test_what_the_command_refuses(
    store: Store, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for samples, said in (("13", "expected 1 to 12"), ("2", "expected 6 or more")):
        arguments = ["--weights", str(small_weights), "--shards", str(store.path), "--samples", samples]
        assert main(["calibration", *arguments, "--out", str(tmp_path / "out")]) == 2
        assert said in capsys.readouterr().err
