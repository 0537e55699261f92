"""What a refinement does where the user leaves it open, by what the results record."""

import json
from typing import Any

import pytest

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
from dsfunet.analysis.refinement.defaults import SettledSettings, settle_settings
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.resolution import Resolution
from dsfunet.physics import Cell
from dsfunet.planes.result import Result
from tests.dsfunet.analysis.test_answers import with_both
from tests.dsfunet.cli.test_refine import make_result
from tests.dsfunet.structural_models import amide


def recorded(answer: str = "joint fit", centring: str | None = "P", origin: str = "file") -> Result:
    content = {"answer": answer, "centring": centring, "centring_from": origin}
    return make_result(noise=0.01, process={"lattice": json.dumps(content)})


def settle(*results: Result, **settings: Any) -> SettledSettings:
    names = [f"{number}.nxs" for number in range(len(results))]
    return settle_settings(RefinementSettings(**({"laue": "6/m"} | settings)), results, names)


@pytest.mark.parametrize(
    ("asked", "form_factor", "layer"),
    [
        ({}, "data", True),
        ({"form_factor": "data"}, "data", True),
        ({"layer": True}, "data", True),
        ({"vectors": ((1, 0),)}, "data", True),
        ({"answer": "lattice"}, "data", True),
        ({"form_factor": "result"}, "result", True),
        ({"no_order_along_axis": True}, "data", False),
        ({"form_factor": "result", "layer": True}, "result", True),
        ({"out_of_plane": True, "laue": "m-3m"}, "result", False),
        ({"bounds": True, "concentration": 0.5, "no_order_along_axis": True}, "result", False),
        ({"fit_to": "short-range-order"}, "result", True),
        ({"errors_from": "pixels"}, "result", True),
        ({"answer": "networks"}, "result", True),
        ({"model": ModelPair("same", amide(), amide())}, "result", True),
    ],
)
def test_one_plane_on_its_lattice(asked: dict[str, Any], form_factor: str, layer: bool) -> None:
    for answer in ("joint fit", "cosine series"):
        found = settle(recorded(answer), **asked).settings
        assert (found.form_factor, found.layer) == (form_factor, layer)
    # Results of the networks alone, those of older versions, and several: as before, unless data are asked for.
    other = recorded("networks"), make_result()
    for result in other:
        if "answer" not in asked and asked.get("form_factor") != "data" and "vectors" not in asked:
            found = settle(result, **asked).settings
            assert (found.form_factor, found.layer) == ("result", layer)


def test_layers_on_scales_of_their_own_determine_no_alphas() -> None:
    two = recorded(), recorded()
    with pytest.raises(InputError, match=r"^found 2 layers of one orientation, each on a scale of its own"):
        settle(*two)
    with pytest.raises(InputError, match=r"^--out-of-plane true: Laue class 6/m maps c onto itself"):
        settle(*two, out_of_plane=True)
    assert settle(*two, out_of_plane=True, laue="m-3m").settings.layer is False
    assert settle(*two, no_order_along_axis=True).settings.layer is False
    with pytest.raises(
        InputError, match=r"^--bounds true: the bounds are those of alphas, and one layer gives"
    ):
        settle(recorded(), bounds=True, concentration=0.5)
    with pytest.raises(InputError, match=r"^--layer false: a layer does not determine alphas of its vectors"):
        settle(recorded(), layer=False)


def test_the_answer_on_the_lattice_that_was_not_chosen() -> None:
    result = with_both("networks", lattice='{"answer": "networks", "centring": "P"}')
    assert settle(result).settings.form_factor == "result"
    assert settle(result, answer="lattice").settings.form_factor == "data"


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("file", "as the measured file states it"),
        ("data", "as `dsfunet factorize` found it from the plane"),
        ("option", "as it was given to `dsfunet factorize`"),
    ],
)
def test_the_centring_of_the_result_is_taken(origin: str, words: str) -> None:
    found = settle(recorded(centring="H", origin=origin))
    assert (found.settings.centring, found.centring_from) == ("H", "result")
    assert found.notes == (f"centring H, {words}; --centring chooses another",)
    given = settle(recorded(centring="H", origin=origin), centring="P")
    assert (given.settings.centring, given.centring_from) == ("P", "option")
    assert given.notes == ("centring P replaces H of the result",)
    assert not settle(recorded(centring="H", origin=origin), centring="H").notes


@pytest.mark.parametrize("result", [make_result(), recorded(origin="assumed"), recorded("networks", None)])
def test_without_a_centring_p_is_assumed(result: Result) -> None:
    found = settle(result)
    assert (found.settings.centring, found.centring_from) == ("P", "assumed")
    assert found.notes[0].startswith("centring P is assumed; give the lattice type of the sites")


def test_resolution_and_thickness_are_those_of_the_result_unless_they_are_given() -> None:
    content = {"answer": "joint fit", "centring": "P", "resolution_rlu": [0.04, 0.05], "thickness_rlu": 0.2}
    result = make_result(process={"lattice": json.dumps(content)})
    assert settle(result).settings.resolution == Resolution((0.04, 0.05), thickness=0.2)
    sharp = settle(result, resolution=Resolution((0.0, 0.0)), thickness_rlu=0.0).settings.resolution
    assert sharp == Resolution((0.0, 0.0))
    thick = settle(recorded(), thickness_rlu=0.1).settings.resolution
    assert thick == Resolution(thickness=0.1) and settle(recorded()).settings.resolution is None
    # The form factor of the result has no place for them.
    assert settle(result, form_factor="result").settings.resolution is None
    for each in ({"thickness_rlu": 0.1}, {"resolution": Resolution((0.1, 0.1))}):
        with pytest.raises(InputError, match="--resolution and --thickness: they enter only the joint fit"):
            settle(make_result(), **each)
    with pytest.raises(InputError, match="--thickness is -1; expected 0 or more"):
        settle(recorded(), thickness_rlu=-1.0)


def test_options_of_the_resolution() -> None:
    options: Any = {"laue": "6/m", "measured_cell": Cell(4, 4, 4)}
    found = RefinementSettings.from_options(**options, resolution="0.04 0.06", thickness="+-0.125")
    assert (found.resolution, found.thickness_rlu) == (Resolution((0.04, 0.06)), 0.25)
    with pytest.raises(
        InputError, match="--resolution auto: `dsfunet factorize` estimates it from the plane"
    ):
        RefinementSettings.from_options(**options, resolution="auto")


def test_what_cannot_be_settled() -> None:
    with pytest.raises(InputError, match=r"^0\.nxs and 1\.nxs: found centrings P and H; expected the same"):
        settle(recorded(), recorded(centring="H"), no_order_along_axis=True)
    with pytest.raises(
        InputError, match=r"^centring F of the result: Laue class 6/m: its operations do not keep lattice"
    ):
        settle(recorded(centring="F"))
    with pytest.raises(InputError, match="vector 1/2 1/2 0: expected three integers in a primitive lattice"):
        settle(recorded(), vectors=((0.5, 0.5, 0),))
    with pytest.raises(InputError, match="--form-factor data: found 2 results; refine each layer by itself"):
        settle(recorded(), recorded(), form_factor="data")
    with pytest.raises(InputError, match=r"^0\.nxs: the record of the lattice is damaged"):
        settle(make_result(process={"lattice": "?"}))
    with pytest.raises(InputError, match=r"^--answer networks: result holds only the answer on the lattice"):
        refine_alphas(recorded(), RefinementSettings(laue="6/m", answer="networks"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"form_factor": "data", "answer": "networks"},
            "--form-factor data: it uses no answer of the networks",
        ),
        (
            {"form_factor": "data", "out_of_plane": True},
            "--form-factor data and --out-of-plane true: found both",
        ),
        (
            {"form_factor": "data", "bounds": True, "concentration": 0.5},
            "--form-factor data and --bounds true: found both",
        ),
        (
            {"answer": "lattice", "model": ModelPair("same", amide(), amide())},
            "--answer lattice and --model: found both; the model replaces the form factor",
        ),
    ],
)
def test_settings_that_contradict_each_other(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RefinementSettings(laue="6/m", **asked)


@pytest.mark.slow
def test_either_answer_is_refined() -> None:
    """The networks' form factor, here the square root of the true one, moves the values of its own fit alone."""
    result = with_both("lattice", lattice='{"answer": "joint fit", "centring": "P"}')
    found = {
        answer: refine_alphas(
            result, RefinementSettings(laue="6/m", shells=3, form_factor="result", answer=answer)
        )
        for answer in ("lattice", "networks")
    }
    assert abs(found["lattice"].alphas[0].value + 0.15) < 0.01
    assert found["networks"].r_factors[0] > 2 * found["lattice"].r_factors[0]
    corrected = {
        answer: any("two to four times too small" in note for note in each.notes)
        for answer, each in found.items()
    }
    assert corrected == {"lattice": True, "networks": False}
    assert found["networks"].as_record()["settings"]["answer"] == "networks"
