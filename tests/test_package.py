"""Rules of the repository, each as a test: docstrings, lengths, paths of a machine, versions, links, the wheel."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

import dsfunet

ROOT = Path(__file__).parents[1]
PACKAGES = ("dsfunet", "simulate", "evaluate")
FOLDERS = (*PACKAGES, "tests", "configs", "benchmarks", "examples", "docs", ".ci", ".github")
TEXT = {
    *("", ".py", ".typed", ".md", ".ipynb", ".yaml", ".yml", ".toml", ".txt", ".sh", ".sbatch", ".cff"),
    *(".xyz", ".cif", ".json", ".html", ".css", ".js", ".svg"),
}
MOST_LINES = 350
PUBLIC = (
    *(
        "Factorizer",
        "Components",
        "Result",
        "MeasuredPlane",
        "Cell",
        "Geometry",
        "CleanUp",
        "FactorizeSettings",
    ),
    *("Factorization", "Verdict", "InputError", "RefinementSettings", "AlphaRefinement", "__version__"),
    *("read_plane", "read_result", "write_result", "factorize_plane", "refine_alphas"),
)
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
    """The text files of the repository: those in its folders, and those beside them."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix in TEXT and "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    """A readable test name."""
    return str(path.relative_to(ROOT))


FILES = repository_files()
CODE = [path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES]
CONFIGS = [path for path in FILES if path.suffix in {".yaml", ".yml", ".cff"}]
PAGES = [path for path in FILES if path.suffix == ".md"]


class YamlLoader(yaml.SafeLoader):
    """Reads plain YAML, and what mkdocs adds to it: names of Python objects and of environment variables."""


YamlLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, name, node: name)
YamlLoader.add_multi_constructor("!ENV", lambda loader, name, node: None)


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
    assert yaml.load(path.read_text(encoding="utf-8"), Loader=YamlLoader)


def project_version() -> str:
    """The version in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def test_the_installed_version_is_the_projects() -> None:
    assert dsfunet.__version__ == project_version() == importlib.metadata.version("dsfunet")


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == project_version()
    assert citation["license"] == "Apache-2.0"
    assert [each["doi"] for each in citation["references"]] == ["10.1107/S2052252523009521"]


def test_the_changelog_is_dated_and_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line for line in re.findall(r"^## (.*)$", text, flags=re.MULTILINE) if line != "Unreleased"]
    found = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", heading) for heading in headings]
    assert all(found), headings
    versions = [(each[1], date.fromisoformat(each[2])) for each in found if each]
    released = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["date-released"]
    assert versions[0] == (project_version(), released)
    dates = [day for _, day in versions]
    assert dates == sorted(dates, reverse=True)
    groups = set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE))
    assert groups <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_names_at_the_top_can_be_had() -> None:
    """Public names are imported late, so no import error would show that one is gone."""
    assert {*PUBLIC} <= {*dsfunet.__all__} and {*dsfunet.__all__} <= {*dir(dsfunet)}
    for name in dsfunet.__all__:
        assert getattr(dsfunet, name)
        assert name == "__version__" or getattr(dsfunet, name).__doc__
    with pytest.raises(AttributeError, match="module 'dsfunet' has no attribute 'nothing'"):
        _ = dsfunet.nothing


def test_the_wheel_ships_the_library_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"dsfunet", f"dsfunet-{project_version()}.dist-info"}
    assert "dsfunet/py.typed" in names
    shipped = {name for name in names if name.endswith(".py")}
    assert shipped == {name_of(path) for path in CODE if path.relative_to(ROOT).parts[0] == "dsfunet"}
    assert not [name for name in names if "__pycache__" in name]
    weights = {f"dsfunet/pretrained/release/{name}" for name in WEIGHTS}
    assert weights <= set(names)
    with zipfile.ZipFile(wheel) as archive:
        sizes = [archive.getinfo(name).file_size for name in weights]
    assert sum(sizes) <= 25e6


def link_targets(text: str) -> list[str]:
    """Targets of a page's links and pictures within the repository, without anchors; code is left out."""
    prose = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    targets = re.findall(r"\]\(<?([^)#\s>]+)[^)]*\)", prose) + re.findall(r"(?:src|href)=\"([^\"#]+)", prose)
    return [each for each in targets if "://" not in each and not each.startswith("mailto:")]


def test_links_are_found_outside_code_only() -> None:
    text = '[a](a.md#part) ![b](b.png "title") `c[0](c.md)`\n```python\nd[0](d)\n```\n[e](https://e.org) [f](#g)\n'
    assert link_targets(text) == ["a.md", "b.png"]
    assert link_targets('<img src="h.png" width="3">') == ["h.png"]


def site_pages() -> set[Path]:
    """Pages in the site's navigation. `mkdocs build --strict` makes some of them, and fails if one is missing."""
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("mkdocs.yml"))
    return {ROOT / "docs" / page for page in re.findall(r": (\S+\.md)$", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_between_pages_resolve(path: Path) -> None:
    targets = {
        each: (path.parent / each).resolve() for each in link_targets(path.read_text(encoding="utf-8"))
    }
    missing = {each for each, target in targets.items() if not target.exists()}
    if ROOT / "docs" in path.parents:
        missing -= {each for each in missing if targets[each] in site_pages()}
    assert missing == set()


def test_pages_with_links_are_looked_at() -> None:
    linked = [name_of(path) for path in PAGES if link_targets(path.read_text(encoding="utf-8"))]
    assert "README.md" in linked and any(name.startswith("docs/") for name in linked)


def test_the_help_of_make_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert re.findall(r"^([a-z-]+):.*## ", text, flags=re.MULTILINE) == phony.split()
