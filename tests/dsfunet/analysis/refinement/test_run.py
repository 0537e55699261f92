"""Alphas from results in one call from Python: the same as on the command line, and settings that are checked."""

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsfunet.analysis.refinement import RefinementSettings, refine_alphas, run
from dsfunet.analysis.refinement.vectors import parse_vectors
from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import read_result, write_result
from dsfunet.physics import Cell
from tests.dsfunet.cli.test_refine import ALPHAS, make_result


def test_one_call_gives_what_the_command_line_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hk1.nxs"
    write_result(path, make_result(noise=0.01))
    refinement = refine_alphas(read_result(path), RefinementSettings(laue="6/m", shells=3))
    assert capsys.readouterr().out == "" and list(tmp_path.iterdir()) == [path]
    assert [alpha.vector for alpha in refinement.alphas] == [(1, 0, 0), (2, 1, 0), (2, 0, 0)]
    for alpha, truth in zip(refinement.alphas, ALPHAS, strict=True):
        assert abs(alpha.value - truth) < 4 * alpha.standard_uncertainty
        assert len(alpha.equivalents) == 6 and alpha.vector in alpha.equivalents and alpha.at_bound == 0
    assert refinement.r_factors[0] < 0.05 and refinement.reduced_chi_squared < 2

    assert main(["refine", str(path), "--laue", "6/m", "--shells", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(str(refinement).replace("read       result:", f"read       {path}:"))
    written = json.loads(path.with_name("hk1.refine.json").read_text(encoding="utf-8"))
    assert [each["value"] for each in written["layer_correlations"]] == [
        alpha.value for alpha in refinement.alphas
    ]
    record = json.loads(json.dumps(refinement.as_record()))
    different = {"settings": None, "verdicts": None}
    assert record | different == written | different
    assert refinement.as_csv() == path.with_name("hk1.refine.csv").read_text(encoding="utf-8")


def test_the_example_of_the_documentation_runs() -> None:
    found = doctest.testmod(run)
    assert found.attempted > 10 and found.failed == 0


def test_texts_of_options_become_typed_settings() -> None:
    measured = Cell(14.12, 14.12, 6.934, 90, 90, 120)
    settings = RefinementSettings.from_options(
        laue="6/m", measured_cell=measured, cell="14 14 7 90 90 120", vectors="1 0 0, 2 1 0"
    )
    assert settings == RefinementSettings(
        laue="6/m", cell=Cell(14, 14, 7, 90, 90, 120), vectors=((1, 0, 0), (2, 1, 0))
    )
    listed: Any = [np.array([1, 0, 0])]
    assert RefinementSettings(laue="6/m", vectors=listed).vectors == ((1, 0, 0),)
    assert parse_vectors("-1 0 3") == ((-1, 0, 3),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"laue": "7/m"}, "Laue class '7/m': expected one of"),
        (
            {"laue": "6/m", "vectors": ((1, 0.5, 0),), "centring": "P"},
            "vector 1 0.5 0: expected three integers",
        ),
        (
            {"laue": "6/m", "vectors": ((1, 0.41, 0),)},
            "vector 1 0.41 0: expected three integers or fractions",
        ),
        ({"laue": "6/m", "vectors": ((1, 0),), "layer": False}, "vector 1 0: expected three integers"),
        ({"laue": "6/m", "vectors": ((1,),)}, "vector 1: expected three integers"),
        ({"laue": "6/m", "vectors": ((1, 0, -51),)}, "vector 1 0 -51: expected indices from -50 to 50"),
        ({"laue": "6/m", "exclude_below": -0.1}, "--exclude-below is -0.1; expected a fraction"),
        ({"laue": "6/m", "floor": float("nan"), "fit_to": "short-range-order"}, "--floor is nan; expected 0"),
    ],
)
def test_settings_are_checked_when_they_are_made(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RefinementSettings(**settings)


def test_results_are_named_in_errors() -> None:
    settings = RefinementSettings(laue="6/m")
    with pytest.raises(InputError, match="found no results; expected one or more"):
        refine_alphas([], settings)
    with pytest.raises(InputError, match=r"^result: the result has no unit cell and axes"):
        refine_alphas(make_result(grid=None), settings)
    with pytest.raises(InputError, match=r"^result 1 and result 2: found plane hk1 twice"):
        refine_alphas([make_result(), make_result()], settings)
