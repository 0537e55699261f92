"""Writes the reference pages while the site is built: public API, modules by room, and the command line.

All of it follows from the code as it is, so these pages cannot go out of date.
"""

import ast
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGES = ("simulate", "evaluate")
_WIDTH = "100"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated reference pages."""
    pages = {
        "reference/api.md": api_page(),
        "reference/command_line.md": command_line_page(),
        **{f"reference/dsfunet/{room}.md": room_page("dsfunet", room) for room in rooms()},
        **{f"reference/{package}.md": package_page(package) for package in PACKAGES},
    }
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def rooms() -> list[str]:
    """Return the names of the packages inside dsfunet that hold modules."""
    return sorted(path.parent.name for path in (ROOT / "dsfunet").glob("*/__init__.py"))


def public_names() -> list[str]:
    """Return the names in `dsfunet.__all__`, read without importing anything."""
    tree = ast.parse((ROOT / "dsfunet" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (
            isinstance(target, ast.Name)
            and target.id == "__all__"
            and isinstance(node, ast.Assign | ast.AnnAssign)
        ):
            assert node.value is not None
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise ValueError("dsfunet/__init__.py: found no __all__; expected a literal list of the public names")


def api_page() -> str:
    """Return the page of everything that can be imported from `dsfunet` itself."""
    names = [name for name in public_names() if not name.startswith("__")]
    functions = [name for name in names if name[0].islower()]
    classes = [name for name in names if name not in functions]
    parts = [
        "# Public API",
        "Everything here can be imported from `dsfunet` itself. `import dsfunet` is quick: each name is loaded when it"
        " is first used. [Use it from Python](../how-to/python.md) shows how the parts go together; the pages of the"
        " packages describe everything below the surface, which may change between versions.",
    ]
    for title, members in (("Functions", functions), ("Classes", classes)):
        if members:
            parts += [f"## {title}", *(_identifier(f"dsfunet.{name}", 3) for name in members)]
    return "\n\n".join(parts) + "\n"


def room_page(package: str, room: str) -> str:
    """Return the page of one package inside dsfunet."""
    folder = ROOT / package / room
    return _modules_page(f"{package}.{room}", folder)


def package_page(package: str) -> str:
    """Return the page of one of the two workshops."""
    return _modules_page(package, ROOT / package)


def _modules_page(title: str, folder: Path) -> str:
    parts = [f"# {title}", _docstring(folder / "__init__.py")]
    for path in _modules(folder):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        parts.append(_identifier(name, 2))
    return "\n\n".join(filter(None, parts)) + "\n"


def _modules(folder: Path) -> Iterator[Path]:
    """Public modules with something in them, those of the folder first, then those of the folders inside."""
    for path in sorted(folder.rglob("*.py"), key=lambda path: (len(path.parts), path)):
        if not path.name.startswith("_") and ast.parse(path.read_text(encoding="utf-8")).body:
            yield path


def _docstring(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return ast.get_docstring(tree) or ""


def _identifier(name: str, level: int) -> str:
    return f"::: {name}\n    options:\n      heading_level: {level}"


def command_line_page() -> str:
    """Return the page of all commands, each as its own `--help` says it."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from dsfunet.cli.main import main as dsfunet
    from evaluate.__main__ import main as evaluate
    from simulate.__main__ import main as simulate

    parts = [
        "# Command line",
        "Every command prints this with `--help`. `dsfunet` is installed with the package; `python -m simulate` and"
        " `python -m evaluate` run from a checkout. The page about [configuration](configuration.md) describes what"
        " `dsfunet fit`, `validate` and `test` take.",
    ]
    for program, main in (
        ("dsfunet", dsfunet),
        ("python -m simulate", simulate),
        ("python -m evaluate", evaluate),
    ):
        parts += [f"## {program}"]
        for command in ([], *([each] for each in COMMANDS[program])):
            title = " ".join([program, *command])
            parts += [*([f"### {title}"] if command else []), f"```text\n{help_of(main, command)}\n```"]
    return "\n\n".join(parts) + "\n"


COMMANDS = {
    "dsfunet": (
        "inspect",
        "factorize",
        "watch",
        "convert",
        "refine",
        "pdf",
        "configuration",
        "compare",
        "scan",
        "export",
        "predict",
    ),
    "python -m simulate": ("finalise", "check", "show", "violations"),
    "python -m evaluate": ("compare", "lattices", "calibration", "verdicts"),
}
"""Commands of each program that have a help of their own; those of Lightning have pages of it."""


def help_of(main: Callable[[list[str]], int], command: list[str]) -> str:
    """Return what a command prints with `--help`."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*command, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    # Paths of the machine that builds the site are nobody's business.
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).replace(str(ROOT), ".")
    return text.replace("```", "'''").rstrip()
