"""Names of planes: which texts are parsed and which are refused."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import PlaneName, parse_plane_name
from dsfunet.planes.names import SpannedPlaneName, parse_plane


@pytest.mark.parametrize(
    ("text", "axes", "offset"),
    [
        ("hk1", (0, 1), 1.0),
        ("h0l", (0, 2), 0.0),
        ("1kl", (1, 2), 1.0),
        ("h k 1.5", (0, 1), 1.5),
        ("hk-1", (0, 1), -1.0),
        ("-2kl", (1, 2), -2.0),
        ("h-0.5l", (0, 2), -0.5),
        ("HK0", (0, 1), 0.0),
        (" (h, k, +1) ", (0, 1), 1.0),
        ("hk1/2", (0, 1), 0.5),
        ("h .25 l", (0, 2), 0.25),
        ("hk\N{MINUS SIGN}3", (0, 1), -3.0),
        ("hk12", (0, 1), 12.0),
        ("hk-0", (0, 1), 0.0),
    ],
)
def test_names_are_understood(text: str, axes: tuple[int, int], offset: float) -> None:
    assert parse_plane_name(text) == PlaneName(axes, offset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hkl",
        "hk",
        "h12",
        "kh1",
        "lk1",
        "hhl",
        "xy1",
        "hk1e3",
        "hk1.2.3",
        "hknan",
        "hkinf",
        "1 2 3",
        "hk1l",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(
        InputError, match="not the name of a plane along two axes; expected two of h, k, l and a number"
    ):
        parse_plane_name(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("hk1/0", "is not a finite number"), ("hk" + "9" * 400, r"9\.\.\.': .*; expected two of h, k, l")],
)
def test_numbers_must_be_finite(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_plane_name(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("h k 1.0", "hk1"),
        ("h -1 l", "h-1l"),
        ("hk1.5", "h k 1.5"),
        ("hk10", "hk10"),
        ("hk-0", "hk0"),
        ("0kl", "0kl"),
    ],
)
def test_names_are_written_short_and_read_back(text: str, written: str) -> None:
    name = parse_plane_name(text)
    assert str(name) == written
    assert parse_plane_name(str(name)) == name


def test_labels() -> None:
    name = parse_plane_name("h1l")
    assert (name.labels, name.fixed_label, name.fixed_axis) == (("h", "l"), "k", 1)


def test_axes_are_checked() -> None:
    with pytest.raises(InputError, match=r"the axes of the plane are \(1, 0\); expected"):
        PlaneName((1, 0), 0.0)


@pytest.mark.parametrize(
    ("text", "first", "second", "through", "written"),
    [
        ("hhl", (1, 1, 0), (0, 0, 1), (0, 0, 0), "hhl"),
        ("HHL", (1, 1, 0), (0, 0, 1), (0, 0, 0), "hhl"),
        ("h -h l", (1, -1, 0), (0, 0, 1), (0, 0, 0), "h -h l"),
        ("h\N{MINUS SIGN}hl", (1, -1, 0), (0, 0, 1), (0, 0, 0), "h -h l"),
        ("h2hl", (1, 2, 0), (0, 0, 1), (0, 0, 0), "h 2h l"),
        ("h 1.5h l", (1, 1.5, 0), (0, 0, 1), (0, 0, 0), "h 1.5h l"),
        ("hkk", (1, 0, 0), (0, 1, 1), (0, 0, 0), "hkk"),
        ("h k -h", (1, 0, -1), (0, 1, 0), (0, 0, 0), "h k -h"),
        ("[1 1 0] [0 0 1]", (1, 1, 0), (0, 0, 1), (0, 0, 0), "hhl"),
        ("[110][001]", (1, 1, 0), (0, 0, 1), (0, 0, 0), "hhl"),
        ("[1-10], [001]", (1, -1, 0), (0, 0, 1), (0, 0, 0), "h -h l"),
        ("[1,1,0] [1,-1,0] + [0,0,1/2]", (1, 1, 0), (1, -1, 0), (0, 0, 0.5), "[1 1 0] [1 -1 0] + [0 0 0.5]"),
        ("[1 1 0] [0 0 1] + [.5 0 0]", (1, 1, 0), (0, 0, 1), (0.5, 0, 0), "[1 1 0] [0 0 1] + [0.5 0 0]"),
        # A point in the plane through 0 does not shift it.
        ("[1 1 0] [0 0 1] + [2 2 7]", (1, 1, 0), (0, 0, 1), (0, 0, 0), "hhl"),
        ("[0 1 0] [1 0 0]", (0, 1, 0), (1, 0, 0), (0, 0, 0), "[0 1 0] [1 0 0]"),
    ],
)
def test_planes_spanned_by_two_vectors(
    text: str,
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    through: tuple[float, float, float],
    written: str,
) -> None:
    name = parse_plane(text)
    assert name == SpannedPlaneName(first, second, through)
    assert str(name) == written and parse_plane(written) == name


def test_vectors_along_axes_are_the_plane_of_that_name() -> None:
    assert parse_plane("[1 0 0] [0 1 0] + [0 0 1]") == parse_plane("hk1") == PlaneName((0, 1), 1.0)
    assert parse_plane("[0 1 0] [0 0 1] + [-0.5 0 0]") == PlaneName((1, 2), -0.5)
    # With another origin of h this is not hk1.
    assert isinstance(parse_plane("[1 0 0] [0 1 0] + [0.5 0 1]"), SpannedPlaneName)
    assert parse_plane("(h, k, 1)") == PlaneName((0, 1), 1.0)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("hhl", ("[h h 0]", "[0 0 l]")),
        ("[1 1 0] [1 -1 0]", ("[h h 0]", "[k -k 0]")),
        ("[0 0 1] [0.5 -2 0]", ("[0 0 l]", "[0.5h -2h 0]")),
        ("[1 0 0] [2 0 1]", ("[h 0 0]", "[2l 0 l]")),
    ],
)
def test_labels_of_spanned_planes(text: str, labels: tuple[str, str]) -> None:
    assert parse_plane(text).labels == labels


@pytest.mark.parametrize(
    "text", ["", "hkl", "hhh", "hh1", "kh1", "hlk", "-hhl", "h -k 0", "2h h l", "h 0h l", "hk:all"]
)
def test_other_texts_are_not_planes(text: str) -> None:
    with pytest.raises(InputError, match=r"expected two of h, k, l and a number.* or two vectors"):
        parse_plane(text)


def test_vectors_that_do_not_span_a_plane() -> None:
    with pytest.raises(InputError, match="are zero or parallel; expected two vectors"):
        parse_plane("[1 1 0] [-2 -2 0]")
    with pytest.raises(InputError, match="are zero or parallel; expected two vectors"):
        SpannedPlaneName((0, 0, 0), (1, 0, 0))
    with pytest.raises(InputError, match=r"\[1 1\] is not a vector; expected three numbers"):
        parse_plane("[1 1] [0 0 1]")
    with pytest.raises(InputError, match="is not a finite number"):
        parse_plane("[1/0 1 0] [0 0 1]")
    with pytest.raises(InputError, match="expected three finite numbers"):
        SpannedPlaneName((1, 0, 0), (0, np.nan, 0))


def test_spanned_planes_have_no_axes_of_the_cell() -> None:
    name = parse_plane("hhl")
    for ask in ("axes", "offset", "fixed_axis", "fixed_label"):
        with pytest.raises(
            InputError,
            match=r"plane hhl: this plane is spanned by \[h h 0\] and \[0 0 l\]; expected a plane along",
        ):
            getattr(name, ask)
