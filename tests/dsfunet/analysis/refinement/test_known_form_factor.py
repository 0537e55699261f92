"""Alphas where the species are known: the plane is divided by the form factor of a model, its B refined."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.io import read_result, write_result
from dsfunet.physics import Molecule, form_factor_intensity
from tests.dsfunet.cli.test_refine import ALPHAS, make_result

B_ANGSTROM2 = 1.3


@pytest.fixture
def species(tmp_path: Path) -> str:
    """Two atoms as files, named as a model."""
    for element in ("Au", "Cu"):
        (tmp_path / f"{element}.xyz").write_text(f"1\n\n{element} 0 0 0\n", encoding="utf-8")
    return f"{tmp_path / 'Au.xyz'}+{tmp_path / 'Cu.xyz'}"


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    """Gold and copper on the lattice of `make_result`, with a form factor that is wrong by a cosine of the lattice."""
    result = make_result()
    assert result.grid is not None
    factor = np.exp(-result.grid.plane.q_squared() / 4) + 0.05
    gold, copper = (Molecule((element,), np.zeros((1, 3))) for element in ("Au", "Cu"))
    true = form_factor_intensity(gold, copper, result.grid.plane, debye_waller_b_angstrom2=B_ANGSTROM2)
    random = np.random.default_rng(2)
    noise = 1 + 0.02 * random.normal(size=true.shape)
    wrong = result.form_factor * (1 + 0.3 * np.cos(2 * np.pi * result.grid.rows))[:, None]
    path = tmp_path / "OUT.nxs"
    write_result(path, replace(result, input=result.input / factor * true * noise, form_factor=wrong))
    return path


def refined(file: Path, *arguments: str, more: tuple[str, ...] = ()) -> dict[str, object]:
    """The JSON of `dsfunet refine`."""
    stated = ("--laue", "6/m", "--shells", "3", "--no-order-along-axis", "true")
    assert main(["refine", str(file), *more, *stated, *arguments]) == 0
    found: dict[str, object] = json.loads(file.with_name("OUT.refine.json").read_text(encoding="utf-8"))
    return found


def alphas_of(found: dict[str, object]) -> np.ndarray:
    return np.array([each["value"] for each in found["alphas"]])  # type: ignore[attr-defined]


def test_the_species_form_factor_gives_the_alphas_that_a_wrong_one_does_not(
    result_file: Path, species: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_networks = alphas_of(refined(result_file))
    found = refined(result_file, "--model", species)
    assert np.abs(by_networks - ALPHAS).max() > 0.02
    sigmas = [each["standard_uncertainty"] for each in found["alphas"]]  # type: ignore[attr-defined]
    assert np.all(np.abs(alphas_of(found) - ALPHAS) < 4 * np.array(sigmas)) and max(sigmas) < 0.005
    assert found["settings"]["debye_waller_b_angstrom2"] == pytest.approx(B_ANGSTROM2, abs=0.03)  # type: ignore[index]
    assert "I_FF       of Au.xyz+Cu.xyz (Au, Cu), B = 1.3" in capsys.readouterr().out


def test_a_given_b_is_taken(result_file: Path, species: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = refined(result_file, "--model", species, "--b-iso-angstrom2", "0")
    # Without the damping everything far from the origin comes out too dark, which no cosine describes.
    assert "B = 0 Å² (given)" in capsys.readouterr().out
    free = refined(result_file, "--model", species)
    assert found["quality"]["weighted_r_factor"] > 1.5 * free["quality"]["weighted_r_factor"]  # type: ignore[index]


@pytest.mark.slow
def test_planes_of_one_crystal_share_their_b(tmp_path: Path, result_file: Path, species: str) -> None:
    other = read_result(result_file)
    assert other.grid is not None
    grid = replace(other.grid, name=type(other.grid.name)(other.grid.name.axes, 0.5))
    gold, copper = (Molecule((element,), np.zeros((1, 3))) for element in ("Au", "Cu"))
    before, after = (
        form_factor_intensity(gold, copper, plane, debye_waller_b_angstrom2=B_ANGSTROM2)
        for plane in (other.grid.plane, grid.plane)
    )
    second = tmp_path / "half.nxs"
    write_result(second, replace(other, grid=grid, input=other.input / before * after))
    prefix = str(tmp_path / "OUT")
    found = refined(result_file, "--model", species, "-o", prefix, more=(str(second),))
    np.testing.assert_allclose(alphas_of(found), ALPHAS, atol=0.005)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--b-iso-angstrom2", "1"),
            "--b-iso-angstrom2: found no --model; give the two species with --model",
        ),
        (("--model", "SPECIES", "--b-iso-angstrom2", "-1"), "--b-iso-angstrom2 is -1; expected 0 or more"),
        (
            ("--model", "SPECIES", "--fit-to", "short-range-order"),
            "the form factor of --model; expected --fit-to measured",
        ),
        (("--model", "nothing.xyz+vacancy"), "nothing.xyz: no such file"),
    ],
)
def test_bad_requests(
    result_file: Path,
    species: str,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    given = [species if each == "SPECIES" else each for each in arguments]
    assert main(["refine", str(result_file), "--laue", "6/m", *given]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not result_file.with_name("OUT.refine.json").exists()
