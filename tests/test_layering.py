"""The plan of the house: simulate -> dsfunet <- evaluate, physics without torch, and an import that is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dsfunet", "simulate", "evaluate")
FORBIDDEN = {
    "dsfunet": {"simulate", "evaluate"},
    "simulate": {"evaluate", "torch", "lightning"},
    "evaluate": {"simulate"},
    "dsfunet/physics": {"torch", "lightning"},
    "dsfunet/io": {"torch", "lightning"},
    "dsfunet/analysis": {"torch", "lightning"},
    "dsfunet/cleanup": {"torch", "lightning"},
    "dsfunet/planes/preprocessing.py": {"torch", "lightning"},
    "dsfunet/data/store.py": {"torch", "lightning"},
    "dsfunet/errors.py": {"torch", "lightning"},
}
HEAVY = ("torch", "lightning", "matplotlib", "scipy", "h5py", "zarr", "gemmi")


def python_files(part: str) -> list[Path]:
    """Files of a package, a folder or a single module."""
    path = ROOT / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imported_modules(source: str, package: tuple[str, ...], for_types: bool = True) -> set[str]:
    """Full names of all modules a file imports, wherever in the file, relative ones resolved.

    Without `for_types`, what stands under `if TYPE_CHECKING:` is left out: it is never run.
    """
    found = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not for_types:
            children = list(node.orelse)
        waiting += children
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            found.add(module)
            # `from dsfunet import losses` imports a module too; names that are none do no harm here.
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def imports_of(path: Path, for_types: bool = True) -> set[str]:
    """Full names of all modules a file of this repository imports."""
    source, package = path.read_text(encoding="utf-8"), path.relative_to(ROOT).parent.parts
    return imported_modules(source, package, for_types)


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b as c\ndef f():\n    from ..d import e\nif 0:\n    from . import g\nfrom h import i\n"
    found = imported_modules(source, ("dsfunet", "io"))
    assert found == {"a.b", "dsfunet.d", "dsfunet.d.e", "dsfunet.io", "dsfunet.io.g", "h", "h.i"}
    for_types = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
    assert imported_modules(for_types, ()) == {"a", "b"}
    assert imported_modules(for_types, (), for_types=False) == {"b"}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_parts_import_only_what_lies_below_them(part: str) -> None:
    files = python_files(part)
    assert files
    for path in files:
        # A package must not even know the names of another; torch may be named where nothing is imported.
        known = {module.split(".")[0] for module in imports_of(path)} & set(PACKAGES)
        run = {module.split(".")[0] for module in imports_of(path, for_types=False)}
        wrong = (known | run) & FORBIDDEN[part]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_no_torch_reaches_the_physics_by_way_of_another_module() -> None:
    """What those parts import of dsfunet, and that in turn, is free of torch as well."""
    parts = (
        "dsfunet/physics",
        "dsfunet/io",
        "dsfunet/analysis",
        "dsfunet/cleanup",
        "dsfunet/planes/preprocessing.py",
    )
    waiting = [path for part in parts for path in python_files(part)]
    seen = set()
    while waiting:
        path = waiting.pop()
        if (
            path in seen or path == ROOT / "dsfunet" / "__init__.py"
        ):  # imports torch late, when asked for a network
            continue
        seen.add(path)
        for module in imports_of(path, for_types=False):
            assert module.split(".")[0] != "torch", f"{path.relative_to(ROOT)} imports {module}"
            local = ROOT.joinpath(*module.split("."))
            if module.startswith("dsfunet."):
                waiting += [
                    each for each in (local.with_suffix(".py"), local / "__init__.py") if each.exists()
                ]
    assert ROOT / "dsfunet" / "errors.py" in seen


@pytest.mark.parametrize("package", PACKAGES)
def test_library_code_imports_no_tests_and_edits_no_path(package: str) -> None:
    for path in python_files(package):
        assert not {module.split(".")[0] for module in imports_of(path)} & {"tests", "pytest"}
        assert "sys.path" not in path.read_text(encoding="utf-8"), f"{path.relative_to(ROOT)} edits sys.path"


def test_importing_dsfunet_costs_next_to_nothing() -> None:
    code = (
        "import sys, dsfunet, dsfunet.errors\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        "import dsfunet.physics, dsfunet.planes.preprocessing, dsfunet.data.store\n"
        "print(*[name for name in ('torch', 'lightning', 'matplotlib', 'zarr') if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n\n"
    assert result.stderr == ""
