"""Command lines that are incomplete, and help."""

import re
import subprocess
import sys

import pytest

from dsfunet import __version__
from dsfunet.cli.main import main
from tests.dsfunet.cli.test_main import assert_one_line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "command"),
        (["refine"], "file"),
        (["improve"], "improve"),
        (["factorize"], "file"),
    ],
)
def test_incomplete_command_lines(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_factorize_needs_somewhere_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factorize", "a.npy"]) == 2
    assert_one_line(
        capsys,
        "--output and --out: neither is given; use --output FILE for one plane, or --out FOLDER for many",
    )


def test_help_names_all_commands_and_explains_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (
        (
            ["--help"],
            ["factorize", "watch", "inspect", "convert", "refine", "export", "fit", "validate", "test"],
        ),
        (
            ["factorize", "--help"],
            ["--plane", "hk1", "--weights", "--png", "--whole", "--bragg-radius", "--mask-file", ".npy"],
        ),
        (["refine", "--help"], ["--laue", "6/m", "--shells", "--vectors", "--cell", "--output", "zones"]),
        (["export", "--help"], ["checkpoint", "release", "--out", "--format", "torch-export", "onnx"]),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in expected)
        assert "type:" not in printed and not re.search(r"--[a-z]+_", printed)


def test_training_without_its_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "dsfunet.cli.lightning_cli", raising=False)
    monkeypatch.setitem(sys.modules, "lightning.pytorch.cli", None)
    assert main(["fit", "--config", "any.yaml"]) == 2
    assert_one_line(capsys, "pip install -e '.[train]'")


@pytest.mark.slow
def test_help_and_version_do_not_wait_for_torch() -> None:
    code = (
        "import sys, dsfunet.cli.main\n"
        "for arguments in (['--version'], ['factorize', '--help']):\n"
        "    try: dsfunet.cli.main.main(arguments)\n"
        "    except SystemExit: pass\n"
        "    print({'torch', 'lightning', 'zarr', 'matplotlib'} & set(sys.modules), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    # Only the command that is asked for imports what its options need.
    assert lines[:2] == [f"dsfunet {__version__}", "set() False"] and lines[-1] == "set() True"
