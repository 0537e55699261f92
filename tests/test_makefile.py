"""Which Python the Makefile takes for its environment, tried on stand-ins for Python in a PATH of our own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")

# Stand-ins: what each does with `-c CODE`. Making an environment fails, so that nothing is ever installed.
WORKS = 'test "$1" = -c || { echo "$0" "$@"; exit 3; }'
DOES_NOT_RUN = "exit 127"
TOO_OLD = 'case "$2" in *version_info*) exit 1 ;; esac'
WITHOUT_VENV = 'case "$2" in *venv*) exit 1 ;; esac'


def run_make(tmp_path: Path, pythons: dict[str, str], *assignments: str) -> tuple[str, list[str]]:
    """The first environment that make tries to create ("" if none), and what it says about a failure."""
    folder = tmp_path / "programs of ours"
    folder.mkdir()
    for name in ("sh", "grep", "touch"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, body in pythons.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    assert MAKE
    venv = tmp_path / "venv"
    command = [MAKE, f"{venv}/bin/.core", f"VENV={venv}", "UV=", *assignments]
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        command, cwd=ROOT, env={**outer, "PATH": str(folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    return done.stdout.strip().replace(str(folder), "").replace(str(venv), "VENV"), said


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"python3.11": WORKS, "python3.12": WORKS}, "python3.11"),
        ({"python3.14": WORKS, "python3": WORKS}, "python3.14"),
        ({"python3": WORKS}, "python3"),
        ({"python3.11": DOES_NOT_RUN, "python3.12": WITHOUT_VENV, "python3.13": WORKS}, "python3.13"),
        ({"python3": TOO_OLD, "python3.13": WORKS}, "python3.13"),
    ],
)
def test_the_first_python_that_works_is_taken(tmp_path: Path, pythons: dict[str, str], taken: str) -> None:
    assert run_make(tmp_path, pythons) == (f"/{taken} -m venv --clear VENV", [])


def test_the_python_that_is_named_is_taken(tmp_path: Path) -> None:
    pythons = {"python3.11": WORKS, "mine": WORKS}
    assert run_make(tmp_path, pythons, "PYTHON=mine") == ("/mine -m venv --clear VENV", [])


@pytest.mark.parametrize("python", [TOO_OLD, DOES_NOT_RUN])
def test_a_named_python_that_will_not_do_is_refused(tmp_path: Path, python: str) -> None:
    pythons = {"python3.11": WORKS, "mine": python}
    expected = "PYTHON=mine: this is not a Python 3.11 or newer that runs; name another"
    assert run_make(tmp_path, pythons, "PYTHON=mine") == ("", [expected])


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    made, (said,) = run_make(tmp_path, {"python3": TOO_OLD, "python3.12": DOES_NOT_RUN})
    assert made == ""
    assert said == (
        "found no Python 3.11 or newer (tried: python3.11 python3.12 python3.13 python3.14 python3); "
        "install one, or name it with PYTHON=/path/to/python3"
    )


def test_a_missing_venv_module_is_said(tmp_path: Path) -> None:
    made, (said,) = run_make(tmp_path, {"python3": WITHOUT_VENV})
    assert made == ""
    assert said == (
        "python3: this Python has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"
    )
