"""Names of planes: what is understood, what is not."""

import pytest

from dsfunet.errors import InputError
from dsfunet.io import PlaneName, parse_plane_name


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


@pytest.mark.parametrize("text", ["hk1/0", "hk" + "9" * 400])
def test_numbers_must_be_finite(text: str) -> None:
    with pytest.raises(InputError, match="is not a finite number"):
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
