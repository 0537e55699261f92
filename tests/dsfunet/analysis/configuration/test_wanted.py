"""Alphas of refinements, of crystals and of layers, as configurations want them."""

import json
from pathlib import Path
from typing import Any

import pytest

from dsfunet.analysis.configuration import read_wanted
from dsfunet.errors import InputError

CUBIC = [4.0, 4.0, 4.0, 90, 90, 90]
NEAREST = {"vector": [1, 0, 0], "value": -0.1, "standard_uncertainty": 0.002}
LAYER = {
    "vector": [1, 0, 0],
    "equivalents": [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]],
    "projection": [1, 0, "all"],
    "part": "cosine",
    "value": -0.1,
    "standard_uncertainty": 0.002,
}


def write(path: Path, **content: Any) -> Path:
    path.write_text(
        json.dumps({"cell": CUBIC, "laue": "m-3m", "alphas": [NEAREST], **content}), encoding="utf-8"
    )
    return path


def test_equivalents_come_from_the_file_or_the_laue_class(tmp_path: Path) -> None:
    derived = read_wanted(write(tmp_path / "a.json"))
    given = {**NEAREST, "equivalents": [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]}
    in_plane = read_wanted(write(tmp_path / "b.json", alphas=[given]))
    assert len(derived.alphas[0].numerators) == 6 and not derived.notes
    assert len(in_plane.alphas[0].numerators) == 4
    assert "only some of the vectors that the Laue class makes equivalent" in in_plane.notes[0]


def test_planes_and_volumes_are_read_alike(tmp_path: Path) -> None:
    """The records of `dsfunet refine` on planes have names for the cell and the rest among the settings."""
    entry = {
        "vector": ["1/2", "1/2", 0],
        "value": -0.1,
        "standard_uncertainty": None,
        "at_bound": "at lower bound",
    }
    names = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), CUBIC, strict=True))
    settings = {"centring": "F", "laue_class": "m-3m", "unique_axis": None, "layer": False}
    content = {
        "cell": names,
        "settings": settings,
        "quantity": "alpha",
        "alphas": [entry],
        "concentration": 0.3,
    }
    wanted = read_wanted(write(tmp_path / "plane.json", **content, laue=None))
    assert wanted.cell.centring == "F" and wanted.cell.parameters == tuple(CUBIC)
    assert len(wanted.alphas[0].numerators) == 12 and wanted.concentration == 0.3
    assert wanted.alphas[0].name == "1/2 1/2 0" and "without standard uncertainty" in wanted.notes[0]


def test_layer_correlations_are_taken_only_where_the_user_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "layer.json", quantity="layer correlation", alphas=[LAYER])
    with pytest.raises(InputError, match=r"correlations of a single layer.*--assume-two-dimensional"):
        read_wanted(path)
    wanted = read_wanted(path, assume_two_dimensional=True)
    assert len(wanted.alphas[0].numerators) == 4 and "not correlated" in wanted.notes[0]
    # A record without a quantity says in its settings what it is.
    with pytest.raises(InputError, match="correlations of a single layer"):
        read_wanted(write(tmp_path / "old.json", settings={"layer": True}, alphas=[LAYER]))
    with pytest.raises(InputError, match="omit --assume-two-dimensional"):
        read_wanted(write(tmp_path / "crystal.json"), assume_two_dimensional=True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"alphas": "many"}, "has no list of alphas; expected the JSON file of `dsfunet refine`"),
        ({"alphas": []}, "the list of alphas is empty"),
        (
            {"alphas": [{**NEAREST, "vector": ["1/2", 0, 0]}]},
            "vector 1/2 0 0 joins no two sites of centring P",
        ),
        ({"alphas": [{**NEAREST, "vector": [0, 0, 0]}]}, "vector 0 0 0 joins no two sites"),
        ({"alphas": [{**NEAREST, "vector": [1, 0]}]}, "a vector is .*; expected three"),
        ({"alphas": [{**NEAREST, "value": None}]}, "the alpha of vector 1 0 0 is None"),
        (
            {"alphas": [NEAREST, {**NEAREST, "vector": [0, 1, 0]}]},
            "vectors 1 0 0 and 0 1 0 share equivalents",
        ),
        ({"cell": [1, 2, 3]}, "cell is .*; expected a, b, c"),
        ({"centring": "Q"}, "centring is 'Q'; expected one of P"),
        ({"laue": "7/m"}, "Laue class '7/m'"),
        ({"quantity": "beta"}, "quantity is 'beta'"),
    ],
)
def test_bad_content_is_one_sentence(tmp_path: Path, content: dict[str, Any], sentence: str) -> None:
    path = write(tmp_path / "bad.json", **content)
    with pytest.raises(InputError, match=sentence) as caught:
        read_wanted(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"part": "sine"}, "antisymmetric part"),
        ({"vector": [1, 0, "1/2"]}, "belongs to vectors out of the layer"),
    ],
)
def test_layers_that_are_no_two_dimensional_crystal_are_refused(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "layer.json", quantity="layer correlation", alphas=[{**LAYER, **change}])
    with pytest.raises(InputError, match=sentence):
        read_wanted(path, assume_two_dimensional=True)


def test_files_that_are_not_json_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.nxs"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(InputError, match="the file is not JSON"):
        read_wanted(path)
