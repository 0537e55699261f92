"""Every example in a docstring runs, from the root of the repository, and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import dsfunet

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "dsfunet").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    before = {path.name for path in ROOT.iterdir()}
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0 and result.failed == 0
    assert {path.name for path in ROOT.iterdir()} <= {
        *before,
        "__pycache__",
    }  # examples leave no files behind


@pytest.mark.parametrize("name", [name for name in dsfunet.__all__ if name != "__version__"])
def test_what_is_public_has_an_example(name: str) -> None:
    public = getattr(dsfunet, name)
    assert ">>>" in (public.__doc__ or ""), f"dsfunet.{name} has no example"
