"""The clean-up on the command line: texts are parsed once, into typed settings."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from dsfunet.cleanup import CleanUp, CleanUpOptions
from dsfunet.cleanup.options import parse_background, parse_mask_value, parse_radius
from dsfunet.errors import InputError


def parsed(*arguments: str) -> CleanUp:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(CleanUpOptions)
    return CleanUpOptions(**vars(parser.instantiate(parser.parse_args([*arguments])))).parse()


def test_without_options_the_clean_up_is_off() -> None:
    assert parsed() == CleanUp() == CleanUpOptions().parse()


def test_options_have_the_names_order_and_defaults_of_the_settings() -> None:
    options, settings = (
        [(each.name, each.default) for each in dataclasses.fields(kind)] for kind in (CleanUpOptions, CleanUp)
    )
    assert options == settings


def test_the_command_line_can_set_everything() -> None:
    found = parsed("--mask_value=-1", "--bragg_radius=auto", "--background=12.5", "--laue=4/mmm")
    assert found == CleanUp(mask_value=(-1.0,), bragg_radius="auto", background=12.5, laue="4/mmm")
    zero = parsed("--mask_value=0", "--background=radial", "--mask_file=m.npy", "--seed=3")
    assert zero == CleanUp(mask_value=(0.0,), background="radial", mask_file=Path("m.npy"), seed=3)
    assert zero.is_on and zero.files == (Path("m.npy"),)
    assert parsed("--background=air.npy").files == (Path("air.npy"),)


@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ({"mask_value": "-1, 65535"}, {"mask_value": "-1, 65535"}),
        ({"mask_value": 4294967295}, {"mask_value": "4294967295"}),
        ({"bragg_radius": "0.2"}, {"bragg_radius": "0.2"}),
        ({"bragg_radius": "0.1 0.2 0.3", "bragg_radius_unit": "rlu"}, {"bragg_radius": "0.1, 0.2, 0.3"}),
        ({"background": "2.5"}, {"background": "2.5"}),
        ({"background": "radial"}, {"background": "radial"}),
        ({"background": "runs/air.npy"}, {"background": "air.npy"}),
    ],
)
def test_a_record_holds_what_the_command_line_takes(
    options: dict[str, Any], recorded: dict[str, str]
) -> None:
    assert CleanUpOptions(**options).parse().as_plain().items() >= recorded.items()


def test_values_are_parsed_from_text_and_numbers() -> None:
    assert parse_mask_value("-1, 65535") == (-1, 65535)
    assert parse_mask_value(0) == (0,) and parse_mask_value("0") == (0,)
    for text in ("", "dead", "1 x"):
        with pytest.raises(InputError, match=f"^--mask-value is '{text}'; expected one or more numbers"):
            parse_mask_value(text)


def test_radii_are_parsed_from_text_and_numbers() -> None:
    assert parse_radius(" Auto") == "auto" and parse_radius("0.1, 0.2 0.3") == (0.1, 0.2, 0.3)
    assert parse_radius("0.1") == parse_radius(0.1) == 0.1
    for text in ("-1", "much", "1 2", "0", "inf"):
        with pytest.raises(
            InputError, match=f"^--bragg-radius is '{text}'; expected auto, a positive number"
        ):
            parse_radius(text)


def test_a_background_is_a_number_radial_or_a_file() -> None:
    assert parse_background("1e2") == parse_background(100) == 100.0
    assert parse_background(" radial ") == "radial"
    assert parse_background("radial.npy") == Path("radial.npy")
