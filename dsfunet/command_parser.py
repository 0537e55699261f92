"""A command line that is wrong gets one sentence, as wrong input does, not a page of usage."""

import re
import sys
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from dsfunet.help_format import ReadableHelp

_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "a text",
    "<class 'NoneType'>": "",  # the default, where an option may be left out
}
_OF_ONE_OPTION = re.compile(r'Parser key "([\w.]+)": *(.*)', re.DOTALL)
_EXPECTED = re.compile(r"Expected an? (.+?)(?:\. Got value: (.*))?$", re.MULTILINE)
_GIVEN = re.compile(r"^ *Given value: (.*)$", re.MULTILINE)
_NAME_OF_COMMAND = re.compile(r"(?<=[:,] )[a-z_]+\.(?=\w)")


class OneSentence:
    """For parsers: what is wrong is told in a sentence on standard error, with where to read on; exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what was found and what was expected, and end the program."""
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        command = str(parser.prog).replace(" [options]", "")
        print(f"{command}: {_as_sentence(message, parser)} (`{command} --help` says more)", file=sys.stderr)
        raise SystemExit(2) from ex


class Parser(OneSentence, ArgumentParser):
    """jsonargparse's parser, of few words."""


def _as_sentence(message: str, parser: Any) -> str:
    """A message of jsonargparse's in one line, options named as they are typed and types in words."""
    found = _OF_ONE_OPTION.match(message)
    if found is None:
        # "arguments are required: refine.files, refine.laue": the command is named already.
        return _NAME_OF_COMMAND.sub("", " ".join(message.split()))
    option, reason = _as_typed(found[1], parser), found[2]
    types = _EXPECTED.findall(reason)
    given = _GIVEN.search(reason)
    value = given[1] if given else types[-1][1] if types else ""
    if not value:
        return f"{option}: {' '.join(reason.split())}"
    kinds = dict.fromkeys(filter(None, (_in_words(kind) for kind, _ in types)))
    return f"{option}: found {value.strip()}, expected {' or '.join(kinds)}"


def _as_typed(key: str, parser: Any) -> str:
    names = [each.option_strings[-1] for each in parser._actions if each.dest == key and each.option_strings]
    name = names[0] if names else f"--{key}"
    return name.replace("_", "-") if parser.formatter_class is ReadableHelp else name


def _in_words(kind: str) -> str:
    if kind.startswith("typing.Literal["):
        return re.sub(r"['\"]", "", kind[len("typing.Literal[") : -1]).replace(", ", " or ")
    return _KINDS.get(kind, kind)
