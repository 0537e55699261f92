"""The plan of the house: simulate -> dsfunet <- evaluate, floors inside each, no circles, and cheap imports."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dsfunet", "simulate", "evaluate")
FORBIDDEN = {
    "dsfunet": {"simulate", "evaluate"},
    "simulate": {"evaluate", "torch", "lightning"},
    "evaluate": {"simulate"},
    "dsfunet/physics": {"torch", "lightning"},
    "dsfunet/planes": {"torch", "lightning"},
    "dsfunet/io": {"torch", "lightning"},
    "dsfunet/analysis": {"torch", "lightning"},
    "dsfunet/cleanup": {"torch", "lightning"},
    "dsfunet/lattice": {"torch", "lightning"},
    "dsfunet/verdict": {"torch", "lightning"},
    "dsfunet/plotting": {"torch", "lightning"},
    "dsfunet/inspection": {"torch", "lightning"},
    "dsfunet/data/__init__.py": {"torch", "lightning"},
    "dsfunet/data/store.py": {"torch", "lightning"},
    "dsfunet/errors.py": {"torch", "lightning"},
}
TORCH_FREE = tuple(
    part for part, names in FORBIDDEN.items() if part.startswith("dsfunet/") and "torch" in names
)
# From the ground up. A room imports from lower floors of its package, never from its own floor or a higher one.
FLOORS = {
    "dsfunet": (
        ("errors", "_typing", "_version"),
        ("files", "locks", "environment", "command_parser", "physics"),
        ("planes",),
        ("io", "networks", "data", "lattice", "plotting"),
        ("cleanup", "inspection", "verdict", "analysis"),
        ("factorize", "training"),
        ("cli", "__init__"),
    ),
    "simulate": (
        ("ranges", "rotations"),
        ("artefacts", "correlations", "species"),
        ("recipe",),
        ("crystals",),
        ("stores",),
        ("live", "violations"),
        ("__main__", "__init__"),
    ),
    "evaluate": (
        ("predictors",),
        ("metrics",),
        ("runs",),
        ("reports",),
        ("studies",),
        ("commands",),
        ("__main__", "__init__"),
    ),
}
HEAVY = ("torch", "lightning", "matplotlib", "scipy", "h5py", "zarr", "gemmi", "numpy")


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


def module_name(path: Path) -> str:
    """The name under which a file is imported; a package's name for its __init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> tuple[str, str]:
    """Package and room of a module: the folder or the file directly below the package."""
    package, _, rest = module.partition(".")
    return package, rest.split(".")[0] or "__init__"


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Every set of modules that import one another, directly or not, by Tarjan's algorithm."""
    found: list[list[str]] = []
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            circle = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def import_graph() -> dict[str, set[str]]:
    """Which of our modules each of our modules imports when it runs, late imports inside functions included."""
    files = {module_name(path): path for package in PACKAGES for path in python_files(package)}
    return {
        module: imports_of(path, for_types=False) & files.keys() - {module} for module, path in files.items()
    }


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b as c\ndef f():\n    from ..d import e\nif 0:\n    from . import g\nfrom h import i\n"
    found = imported_modules(source, ("dsfunet", "io"))
    assert found == {"a.b", "dsfunet.d", "dsfunet.d.e", "dsfunet.io", "dsfunet.io.g", "h", "h.i"}
    for_types = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
    assert imported_modules(for_types, ()) == {"a", "b"}
    assert imported_modules(for_types, (), for_types=False) == {"b"}


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"g"}, "g": {"f"}}
    assert circles(graph) == [["a", "b", "c"], ["f", "g"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


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


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_a_floor(package: str) -> None:
    rooms = {room_of(module_name(path))[1] for path in python_files(package)}
    floors = [room for floor in FLOORS[package] for room in floor]
    assert rooms == set(floors) and len(floors) == len(set(floors))


def test_a_room_imports_from_lower_floors_only() -> None:
    floor_of = {
        (package, room): number
        for package, floors in FLOORS.items()
        for number, floor in enumerate(floors)
        for room in floor
    }
    wrong = [
        f"{module} imports {other}"
        for module, others in import_graph().items()
        for other in sorted(others)
        if room_of(module)[0] == room_of(other)[0]
        and room_of(module) != room_of(other)
        and floor_of[room_of(other)] >= floor_of[room_of(module)]
    ]
    assert wrong == []


def test_no_modules_import_one_another() -> None:
    assert circles(import_graph()) == []


def test_no_torch_reaches_the_physics_by_way_of_another_module() -> None:
    """What those parts import of dsfunet, and that in turn, is free of torch as well."""
    graph = import_graph()
    files = {module_name(path): path for package in PACKAGES for path in python_files(package)}
    waiting = [module_name(path) for part in TORCH_FREE for path in python_files(part)]
    seen = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        tops = {each.split(".")[0] for each in imports_of(files[module], for_types=False)}
        assert "torch" not in tops, f"{module} imports torch"
        waiting += graph[module]
    assert "dsfunet.errors" in seen


@pytest.mark.parametrize("package", PACKAGES)
def test_library_code_imports_no_tests_and_edits_no_path(package: str) -> None:
    for path in python_files(package):
        assert not {module.split(".")[0] for module in imports_of(path)} & {"tests", "pytest"}
        assert "sys.path" not in path.read_text(encoding="utf-8"), f"{path.relative_to(ROOT)} edits sys.path"


def test_importing_dsfunet_costs_next_to_nothing() -> None:
    code = (
        "import sys, dsfunet, dsfunet.errors\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        "import dsfunet.physics, dsfunet.planes.preprocessing, dsfunet.data.store, dsfunet.plotting.notebook\n"
        "print(*[name for name in ('torch', 'lightning', 'matplotlib', 'zarr') if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n\n"
    assert result.stderr == ""
