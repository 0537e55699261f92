"""Rules of the repository, each as a test: docstrings, lengths, no machine's paths, configs, the wheel."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

import dsfunet

ROOT = Path(__file__).parents[1]
PACKAGES = ("dsfunet", "simulate", "evaluate")
FOLDERS = (*PACKAGES, "tests", "configs", "benchmarks", "examples", "docs", ".ci")
TEXT = {"", ".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".sh", ".xyz", ".cif", ".json", ".sbatch"}
MOST_LINES = 350
WEIGHTS = (
    "form_factor.safetensors",
    "short_range_order.safetensors",
    "card.json",
    "calibration.json",
    "README.md",
)

# Put together from halves, or this file would name them itself.
FORBIDDEN = tuple(
    first + second
    for first, second in (
        ("/wo", "rk/"),
        ("/ho", "me/"),
        ("/ro", "ot/"),
        ("/Use", "rs/"),
        ("/tm", "p/"),
        ("/mn", "t/"),
        ("C:", "\\"),
        ("pypi.", "org"),
        ("pythonhosted.", "org"),
        ("download.pytorch.", "org"),
        ("conda.", "anaconda"),
        ("index", "-url"),
    )
)


def repository_files() -> list[Path]:
    """Everything that is ours and is text: the known folders, and what lies beside them."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix in TEXT and "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    """A readable test name."""
    return str(path.relative_to(ROOT))


FILES = repository_files()
CODE = [path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES]
CONFIGS = [path for path in FILES if path.suffix in {".yaml", ".yml"}]


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public classes and functions of a module without a docstring, and the module itself; methods are ruff's."""
    if ast.get_docstring(tree) is None and tree.body:
        yield "the module"
    for node in tree.body:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
            yield node.name


def test_the_docstring_rule_finds_what_it_should() -> None:
    source = 'class A:\n    """Doc."""\nclass B: pass\nclass _C: pass\nasync def f(): pass\n'
    assert list(undocumented(ast.parse(source))) == ["the module", "B", "f"]


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_what_is_public_has_a_docstring(path: Path) -> None:
    assert list(undocumented(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_no_file_names_a_machine_or_a_registry() -> None:
    assert len(FILES) > 50
    named = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        named += [f"{name_of(path)}: {each}" for each in FORBIDDEN if each in text]
    assert named == []


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_yaml_file_parses(path: Path) -> None:
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert dsfunet.__version__ == project["version"] == importlib.metadata.version("dsfunet")


def test_names_at_the_top_can_be_had() -> None:
    """`dsfunet.Factorizer` is imported late, so no import error would show it gone."""
    assert sorted(dsfunet.__all__) == ["Components", "Factorizer", "__version__"]
    for name in dsfunet.__all__:
        assert getattr(dsfunet, name)
    with pytest.raises(AttributeError, match="module 'dsfunet' has no attribute 'nothing'"):
        _ = dsfunet.nothing


def test_the_wheel_ships_the_library_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"dsfunet", f"dsfunet-{dsfunet.__version__}.dist-info"}
    shipped = {name for name in names if name.endswith(".py")}
    assert shipped == {name_of(path) for path in CODE if path.relative_to(ROOT).parts[0] == "dsfunet"}
    assert not [name for name in names if "__pycache__" in name]
    weights = {f"dsfunet/pretrained/release/{name}" for name in WEIGHTS}
    assert weights <= set(names)
    with zipfile.ZipFile(wheel) as archive:
        sizes = [archive.getinfo(name).file_size for name in weights]
    assert sum(sizes) <= 25e6
