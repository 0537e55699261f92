"""R beyond noise, and the verdict of a result, travel with refined values."""

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest

from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.analysis.refinement.misfit import note_misfit, r_factor_beyond_noise
from dsfunet.analysis.verdicts import check_explained, read_verdict
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import write_result
from tests.dsfunet.analysis.test_answers import with_both
from tests.dsfunet.cli.test_refine import make_result

SENTENCES = {
    "explained": "Explained: all is well.",
    "doubtful": "Doubtful: a background is left.",
    "not explained": "Not explained: Bragg peaks are left; remove them.",
}


def test_r_of_noise_alone_is_estimated_and_the_rest_is_judged() -> None:
    right = make_result(noise=0.02)
    wrong = make_result(noise=0.02, form_factor=np.sqrt(right.form_factor))
    settings = RefinementSettings(laue="6/m", shells=3)
    good, bad = refine_alphas(right, settings), refine_alphas(wrong, settings)
    (fitted,) = good.fit.planes
    # The estimate is for noise that grows with the intensity; this noise is the same everywhere.
    assert fitted.noise_r_factor == pytest.approx(fitted.r_factor, rel=0.25)
    assert not any("leaves more than noise" in note for note in good.notes)
    (note,) = [note for note in bad.notes if "leaves more than noise" in note]
    assert "the usual cause is the form factor of the networks" in note
    assert good.as_record()["quality"]["noise_r_factor"] == fitted.noise_r_factor


def test_r_factors_add_in_squares() -> None:
    assert r_factor_beyond_noise(0.05, 0.03) == pytest.approx(0.04)
    assert r_factor_beyond_noise(0.02, 0.03) == 0 and r_factor_beyond_noise(0.4, None) == 0.4
    assert (
        note_misfit(0.41, 0.4, "model", "hk0") is not None and note_misfit(0.41, 0.41, "model", "hk0") is None
    )
    text = note_misfit(0.43, None, "data", "hk0")
    assert text is not None and text.startswith(
        "R of hk0 is 43.0 %: the fit leaves more than noise; usual causes are"
    )


@pytest.mark.parametrize("level", SENTENCES)
def test_the_verdict_travels_with_the_values(
    level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = SENTENCES[level]
    path = tmp_path / "a.nxs"
    process = {**make_result().process, "verdict": sentence, "verdict_level": level}
    write_result(path, make_result(noise=0.01, process=process))
    command = ["refine", str(path), "--laue", "6/m", "--shells", "2"]
    if level == "not explained":
        assert main(command) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1 and list(tmp_path.iterdir()) == [path]
        assert "Bragg peaks are left; remove them; mend that, or add --despite-verdict true" in captured.err
        command += ["--despite-verdict", "true"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"verdict    {sentence}" in printed
    assert ("WARNING" in printed) == (level != "explained")
    found = json.loads((tmp_path / "a.refine.json").read_text(encoding="utf-8"))
    (verdict,) = found["verdicts"]
    assert verdict["sentence"] == sentence and (verdict["warning"] is None) == (level == "explained")
    block = gemmi.cif.read(str(tmp_path / "a.refine.cif")).sole_block()
    assert gemmi.cif.as_string(block.find_value("_dsfunet_verdict")) == sentence
    assert (block.find_value("_dsfunet_warning") == ".") == (level == "explained")


def test_only_the_chosen_answer_has_a_verdict() -> None:
    result = with_both("lattice", verdict="Doubtful: x.", verdict_level="doubtful")
    assert read_verdict(result, "a.nxs", "lattice").level == "doubtful"
    other = read_verdict(result, "a.nxs", "networks")
    assert (
        other.level is None and other.warning is None and "--answer networks was not judged" in other.sentence
    )
    check_explained([other, read_verdict(result, "a.nxs")])
    damaged = with_both("lattice", verdict="?", verdict_level="fine")
    with pytest.raises(
        InputError, match=r"^a\.nxs: the verdict of the result is 'fine'; expected one of explained"
    ):
        read_verdict(damaged, "a.nxs")
