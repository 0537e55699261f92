"""The Dockerfile, as far as it can be tried without Docker: what it copies is there and makes the package."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from dsfunet import environment

ROOT = Path(__file__).parents[3]


def test_files_that_are_copied_first_make_the_package(tmp_path: Path) -> None:
    """The step `pip install --editable` comes before most of the code, so that its layer is kept."""
    steps = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
    hidden = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    built = False
    for step in steps:
        if step.startswith("RUN pip install"):
            backend = "import hatchling.build; print(hatchling.build.build_wheel('.'))"
            ended = subprocess.run(
                [sys.executable, "-c", backend], cwd=tmp_path, capture_output=True, text=True, timeout=60
            )
            assert ended.returncode == 0, ended.stderr
            built = True
        elif step.startswith("COPY"):
            *sources, target = step.split()[1:]
            for source in sources:
                assert not any(fnmatch(source, each) for each in hidden)
                place = tmp_path / target / Path(source).name if target.endswith("/") else tmp_path / target
                place.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, dirs_exist_ok=True)
                else:
                    shutil.copy(ROOT / source, place)
    assert built
    helped = [
        sys.executable,
        "-c",
        "import sys; from dsfunet.cli.main import main; sys.exit(main(['--help']))",
    ]
    ended = subprocess.run(helped, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and "factorize" in ended.stdout


def test_an_image_records_the_commit_that_it_was_built_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "__file__", "/training/dsfunet/environment.py")
    monkeypatch.setenv("DSFUNET_COMMIT", "0123456789abcdef")
    assert environment.describe_code.__wrapped__() == f"{environment.__version__} at 01234567"
    monkeypatch.setenv("DSFUNET_COMMIT", "")  # built without it
    assert environment.describe_code.__wrapped__() == environment.__version__
