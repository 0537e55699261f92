"""Names of planes: what is understood, what is not."""

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
    with pytest.raises(InputError, match="expected two of h, k, l and a number"):
        parse_plane_name(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("hk1/0", "is not a finite number"), ("hk" + "9" * 400, r"9\.\.\.': expected two of h, k, l")],
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
    with pytest.raises(InputError, match=r"axes \(1, 0\)"):
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
        # A point in the plane through 0 moves nothing.
        ("[1 1 0] [0 0 1] + [2 2 7]", (1, 1, 0), (0, 0, 1), (0, 0, 0), "hhl"),
        ("[0 1 0] [1 0 0]", (0, 1, 0), (1, 0, 0), (0, 0, 0), "[0 1 0] [1 0 0]"),
    ],
)
def test_planes_that_vectors_span(
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
    # From another zero of h this is no hk1.
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
def test_texts_that_are_no_plane(text: str) -> None:
    with pytest.raises(InputError, match=r"expected two of h, k, l and a number.* or two vectors"):
        parse_plane(text)


def test_vectors_that_span_nothing() -> None:
    with pytest.raises(InputError, match="found zero or parallel ones"):
        parse_plane("[1 1 0] [-2 -2 0]")
    with pytest.raises(InputError, match="found zero or parallel ones"):
        SpannedPlaneName((0, 0, 0), (1, 0, 0))
    with pytest.raises(InputError, match=r"found \[1 1\], expected three numbers"):
        parse_plane("[1 1] [0 0 1]")
    with pytest.raises(InputError, match="is not a finite number"):
        parse_plane("[1/0 1 0] [0 0 1]")
    with pytest.raises(InputError, match="expected three finite numbers"):
        SpannedPlaneName((1, 0, 0), (0, np.nan, 0))


def test_who_asks_a_spanned_plane_for_axes_of_the_cell_is_told() -> None:
    name = parse_plane("hhl")
    for ask in ("axes", "offset", "fixed_axis", "fixed_label"):
        with pytest.raises(
            InputError, match=r"plane hhl: is spanned by \[h h 0\] and \[0 0 l\], expected one along"
        ):
            getattr(name, ask)
