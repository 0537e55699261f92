"""Selections of planes: which planes and which layers of a volume a text selects."""

import pytest

from dsfunet.errors import InputError
from dsfunet.io.plane_lists import parse_plane_selection
from dsfunet.io.volume import VolumeAxes

# h and k in tenths from -4 to 4, l in quarters from -2 to 2.
AXES = VolumeAxes((-4.0, -4.0, -2.0), (0.1, 0.1, 0.25), (81, 81, 17))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("hk1", ["hk1"]),
        ("(h, k, 1)", ["hk1"]),
        ("hk0,hk1, h0l", ["hk0", "hk1", "h0l"]),
        ("(h,k,1);(h,0,l)", ["hk1", "h0l"]),
        ("hhl,[1 1 0],[1 -1 0]", None),
        ("hhl;[1 1 0],[1 -1 0]", ["hhl", "[1 1 0] [1 -1 0]"]),
        ("[1,1,0] [1,-1,0] + [0,0,1], hk0", ["[1 1 0] [1 -1 0] + [0 0 1]", "hk0"]),
        ("hk:all", ["hk-2", "hk-1", "hk0", "hk1", "hk2"]),
        ("hk:half", ["h k -1.5", "h k -0.5", "h k 0.5", "h k 1.5"]),
        ("hl:0..3", ["h0l", "h1l", "h2l", "h3l"]),
        ("KL: -1 .. 1", ["-1kl", "0kl", "1kl"]),
        ("hk:0..1/0.25", ["hk0", "h k 0.25", "h k 0.5", "h k 0.75", "hk1"]),
        # Layers outside the volume and between its layers are not listed.
        ("hk:1..9", ["hk1", "hk2"]),
        ("hk:0..0.5/0.125", ["hk0", "h k 0.25", "h k 0.5"]),
        ("hk:all,hk0,hk:half", ["hk-2", "hk-1", "hk0", "hk1", "hk2", "h k -1.5", "h k -0.5", "h k 0.5", "h k 1.5"]),
    ],
)  # fmt: skip
def test_lists(text: str, names: list[str] | None) -> None:
    if (
        names is None
    ):  # a comma between two vectors separates two items, unless the vectors are the whole text
        with pytest.raises(InputError, match="expected two of h, k, l"):
            parse_plane_selection(text).list_planes(AXES)
        return
    assert [str(name) for name in parse_plane_selection(text).list_planes(AXES)] == names


def test_only_layers_need_a_volume() -> None:
    by_name = parse_plane_selection("hk0, hhl, hk0")
    assert not by_name.needs_volume and str(by_name) == "hk0, hhl, hk0"
    assert [str(name) for name in by_name.list_planes()] == ["hk0", "hhl"]
    with_layers = parse_plane_selection("hhl;hk:0..1")
    assert with_layers.needs_volume
    assert [str(name) for name in with_layers.list_planes(AXES)] == ["hhl", "hk0", "hk1"]
    with pytest.raises(
        InputError, match=r"planes 'hk:0\.\.1': this selects layers of a volume; the file has no layers"
    ):
        with_layers.list_planes()


def test_a_volume_whose_limits_are_a_little_short_of_its_layers() -> None:
    short = VolumeAxes((-1.9999998, 0, 0), (0.4999999, 1, 1), (9, 5, 5))
    names = parse_plane_selection("kl:all").list_planes(short)
    assert [str(name) for name in names] == ["-2kl", "-1kl", "0kl", "1kl", "2kl"]


def test_layers_too_far_from_those_of_the_volume_are_not_listed() -> None:
    # 0.13 from the nearest layer, where the limit is 0.05.
    between = VolumeAxes((0, 0, 0.13), (0.1, 0.1, 1.0), (11, 11, 4))
    with pytest.raises(
        InputError, match=r"'hk:all': the volume has no such layer; its l runs from 0.13 to 3.13"
    ):
        parse_plane_selection("hk:all").list_planes(between)


def test_a_single_layer_lists_itself() -> None:
    single = VolumeAxes((-1, -1, 1.0), (0.1, 0.1, 0.0), (21, 21, 1))
    assert [str(name) for name in parse_plane_selection("hk:all").list_planes(single)] == ["hk1"]
    with pytest.raises(InputError, match="the volume has no such layer"):
        parse_plane_selection("hl:all").list_planes(single)  # lines of voxels


@pytest.mark.parametrize("text", ["hk:some", "lk:all", "hk:1", "h:all", "1..2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected hk:all"):
        parse_plane_selection(text).list_planes(AXES)


def test_ranges_run_upwards() -> None:
    for text in ("hk:3..1", "hk:0..1/0", "hk:0..1e9"):
        with pytest.raises(
            InputError, match=r"the range does not run upwards.*; expected a range|expected hk:all"
        ):
            parse_plane_selection(text).list_planes(AXES)
