"""The documentation against the code: links, Python blocks, and every command that it names."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dsfunet.cli.main import main as dsfunet
from dsfunet.cli.train import COMMANDS as TRAINING_COMMANDS
from dsfunet.command_parser import Parser
from evaluate.__main__ import main as evaluate
from simulate.__main__ import main as simulate
from tests.docs.pages import ROOT, blocks, commands, page_name, page_paths, page_text

PAGES = page_paths()
MODULES = {"simulate": simulate, "evaluate": evaluate}
COMMANDS = sorted(
    {(page_name(page), tuple(words)) for page in PAGES for words in commands(page)},
    key=lambda each: (each[1], each[0]),
)
OTHER_PROGRAMS = {
    "pip",
    "wandb",
    "sbatch",
    "configs/torchrun.sh",
    "cat",
    "grep",
    "}",
    "docker",
    "for",
    "do",
    "done",
}
OTHER_MODULES = {"venv"}
RUN = ("README.md", "docs/how-to/python.md")
"""Pages whose Python blocks are run one after another, on the example volume as volume.h5."""


class ParsedError(Exception):
    """Stops a command once its arguments have been parsed."""


def parse_only(main: Callable[[Sequence[str]], Any], words: Sequence[str]) -> None:
    """Parse the arguments of a command by its own parser, without running it."""

    def parse_args(parser: Parser, *args: Any, **options: Any) -> NoReturn:
        original(parser, *args, **options)
        raise ParsedError

    original = Parser.parse_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", parse_args)
        with pytest.raises(ParsedError):
            main(words)


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda each: each if isinstance(each, str) else " ".join(each)[:60]
)
def test_commands_of_the_pages_can_be_given(
    page: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    program, rest = words[0], list(words[1:])
    if program == "dsfunet" and rest[0] in TRAINING_COMMANDS:
        assert all(
            (ROOT / file).is_file() or file.startswith("runs/") for file in values_of("--config", rest)
        )
    elif program == "dsfunet":
        parse_only(dsfunet, rest)
    elif program == "python" and rest[:1] == ["-m"] and rest[1] in MODULES:
        parse_only(MODULES[rest[1]], rest[2:])
    elif program == "python" and rest[:1] != ["-m"]:
        assert (ROOT / rest[0]).is_file()
    elif program == "python" and rest[1] in OTHER_MODULES:
        return
    elif program == "python":
        assert (ROOT / rest[1].replace(".", "/")).with_suffix(".py").is_file() or (
            ROOT / rest[1].replace(".", "/") / "__main__.py"
        ).is_file()
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    else:
        assert program in OTHER_PROGRAMS


def values_of(option: str, words: Sequence[str]) -> list[str]:
    """Return all values that are given to an option."""
    return [value for name, value in pairwise(words) if name == option]


TRAINING = sorted({words for _, words in COMMANDS if words[0] == "dsfunet" and words[1] in TRAINING_COMMANDS})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended")
@pytest.mark.parametrize("words", TRAINING, ids=lambda words: " ".join(words)[:80])
def test_training_commands_of_the_pages_give_a_configuration(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if any(file.startswith("runs/") for file in values_of("--config", words)):
        pytest.skip("the notebook that writes this configuration runs it too")
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        dsfunet([*words[1:], "--print_config"])
    assert end.value.code in (0, None)
    assert "model:" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page_text(page), flags=re.DOTALL | re.MULTILINE)
    targets = [each for each in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) if "://" not in each]
    generated = {
        "reference/api.md",
        "reference/command_line.md",
        "reference/simulate.md",
        "reference/evaluate.md",
    }
    missing = []
    for target in targets:
        path = (page.parent / target).resolve()
        inside = path.relative_to(ROOT / "docs").as_posix() if path.is_relative_to(ROOT / "docs") else ""
        if not path.exists() and inside not in generated and not inside.startswith("reference/dsfunet/"):
            missing.append(target)
    assert not missing


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=page_name)
def test_python_blocks_compile(page: Path) -> None:
    for number, block in enumerate(blocks(page, "python"), start=1):
        compile(block, f"{page_name(page)}, block {number}", "exec")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "examples" / "cresol_benzene.h5", tmp_path / "volume.h5")
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = {}
    for block in blocks(ROOT / page, "python"):
        exec(block, values)
    assert (tmp_path / "hk1.nxs").is_file()
    first = values["refinement"].alphas[0]
    assert abs(first.value + 0.2) < 5 * first.standard_uncertainty


def test_no_page_names_a_machine() -> None:
    forbidden = [
        first + second for first, second in (("/ho", "me/"), ("/ro", "ot/"), ("/tm", "p/"), ("/Use", "rs/"))
    ]
    named = [
        (page_name(page), each)
        for page in PAGES
        for each in (*forbidden, sys.prefix)
        if each in page.read_text(encoding="utf-8")
    ]
    assert named == []
