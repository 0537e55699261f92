"""`python -m simulate` in process: it makes stores from a config file, and prints one line for invalid input."""

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from dsfunet.data.store import open_store
from simulate.__main__ import main

RECIPE = {
    "samples": {"train": 2, "validation": 1},
    "seed": 9,
    "samples_per_shard": 2,
    "monte_carlo_share": 0.5,
    "monte_carlo_sets": {"train": 2, "validation": 2},
    "monte_carlo": {"lattice_sites": 11, "tolerance": 0.04},
    "mask": {"detectors": ["square_panel"]},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def run(config: Path, out: Path, *more: str) -> int:
    """Run the command line in this process, without progress bars."""
    return main(["--config", str(config), "--out", str(out), "--workers", "1", "--progress", "false", *more])


def test_config_in_stores_out(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "here"
    assert run(config, out) == 0
    printed = capsys.readouterr()
    stores = {split: open_store(out / f"{split}.zarr") for split in ("train", "validation")}
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"{out / 'train.zarr'}: 2 train planes, digest {stores['train'].digest[:12]}",
        f"{out / 'validation.zarr'}: 1 validation planes, digest {stores['validation'].digest[:12]}",
    ]
    assert stores["train"].attributes["recipe"]["mask"]["detectors"] == ["square_panel"]
    assert stores["train"].attributes["recipe"]["monte_carlo"]["tolerance"] == 0.04

    # The same command again is the same store; another seed on the command line is another recipe.
    assert run(config, out) == 0
    capsys.readouterr()
    assert run(config, out, "--seed", "10") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"simulate: {out / 'train.zarr'}: this store was made with another recipe; choose another --out or move the"
        " store away"
    ]


def test_a_split_without_samples_is_not_made(config: Path, tmp_path: Path) -> None:
    options = ("--samples.validation", "0", "--monte_carlo_share", "0")
    assert run(config, tmp_path / "out", *options) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train.zarr"]


def test_unwritable_output_is_one_sentence(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, config / "below") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"simulate: {config / 'below'}: cannot be written (")


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--rotated_share", "1.5", "rotated_share is 1.5; expected a share from 0 to 1"),
        ("--samples_per_shard", "0", "samples_per_shard is 0; expected at least 1"),
        (
            "--species_folder",
            "no_such_folder",
            "no_such_folder: no such folder; expected one with .xyz or .cif files of species",
        ),
        ("--mask.share_arm", "2", "mask recipe share_arm is 2.0; expected a share from 0 to 1"),
        ("--monte_carlo.lattice_sites", "5", "lattice_sites is 5; expected at least 11"),
    ],
)
def test_a_recipe_at_fault_is_one_sentence(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, sentence: str
) -> None:
    assert run(config, tmp_path / "out", option, value) == 2
    printed = capsys.readouterr()
    assert printed.err == f"simulate: {sentence}\n"
    assert not list(tmp_path.rglob("*.zarr"))


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--samples.train", "many", "samples.train"),
        ("--nothing", "1", "nothing"),
    ],
)
def test_what_the_parser_refuses_is_named(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, sentence: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(config, tmp_path / "out", option, value)
    assert exit_.value.code == 2
    assert sentence in capsys.readouterr().err


def test_help_names_every_part_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--samples.train",
        "--oscillator.damping_range",
        "--mask.sweep_degrees",
        "--out",
        "--workers",
    ):
        assert option in text


def test_help_names_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("finalise", "check", "show"):
        for options, said in ((["--help"], f"simulate {command}"), ([command, "--help"], "store")):
            with pytest.raises(SystemExit) as exit_:
                main(options)
            assert exit_.value.code == 0
            assert said in " ".join(capsys.readouterr().out.split())
