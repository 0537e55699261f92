"""A command line that is wrong gets one sentence, as wrong input does, not a page of usage."""

import re
import sys
from argparse import SUPPRESS, Action
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

_SWITCHED_OFF = {"--no-lattice": "--lattice=false"}
_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "a text",
    "<class 'NoneType'>": "",  # the default, where an option may be left out
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or more",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or more",
}
_OF_ONE_OPTION = re.compile(r'Parser key "([\w.]+)"(?: element \d+)?: *(.*)', re.DOTALL)
_EXPECTED = re.compile(r"(?:Expected an? |Not of type )([^\n:]+?)(?:\. Got value: (.*)|: .*)?$", re.MULTILINE)
_GIVEN = re.compile(r"^ *Given value: (.*)$", re.MULTILINE)
_NOT_OF_TYPE = re.compile(r"Not of type \w+: (\S+) does not conform")
_REQUIRED = re.compile(r"the following arguments are required: (.*)")


class ErrorSentences:
    """For parsers: what is wrong is told in a sentence on standard error, with where to read on; exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what was found and what was expected, and end the program."""
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        if not parser.exit_on_error:  # asked by another parser, whether this could be meant
            super().error(message, ex)  # type: ignore[misc]
        command = str(parser.prog).replace(" [options]", "")
        required = _REQUIRED.match(message)
        if required:
            names = required[1].split(", ")
            prefix = names[0].rpartition(".")[0]
            parser, command = _find_command_parser(parser, prefix), f"{command} {prefix}".rstrip()
            missing = ", ".join(_name_option(name.rpartition(".")[2], parser) for name in names)
            sentence = f"expected {missing} as well"
        else:
            sentence = _make_sentence(message, parser)
        print(f"{command}: {sentence} (`{command} --help` says more)", file=sys.stderr)
        raise SystemExit(2) from ex


class Parser(ErrorSentences, ArgumentParser):
    """jsonargparse's parser, of few words."""


def _make_sentence(message: str, parser: Any) -> str:
    """A message of jsonargparse's in one line, options named as they are typed and types in words."""
    found = _OF_ONE_OPTION.match(message)
    if found is None:
        return " ".join(message.split())
    option, reason = _name_option(found[1], parser), found[2]
    types = _EXPECTED.findall(reason)
    kinds = dict.fromkeys(filter(None, (_describe_type(kind) for kind, _ in types)))
    if not kinds or "Parser key" in reason:  # of something within
        return f"{option}: {' '.join(reason.split())}"
    given = _GIVEN.search(reason) or _NOT_OF_TYPE.search(reason)
    value = given[1] if given else types[-1][1]
    return f"{option}: found {value.strip() or 'nothing'}, expected {' or '.join(kinds)}"


def _name_option(key: str, parser: Any) -> str:
    """An option as it is typed; the name of what has none, a file, say."""
    for action in parser._actions:
        if action.dest == key and not action.option_strings:
            return key
    names = [each.option_strings[-1] for each in parser._actions if each.dest == key and each.option_strings]
    name = names[0] if names else f"--{key}"
    return name.replace("_", "-") if parser.formatter_class is ReadableHelp else name


def _find_command_parser(parser: Any, name: str) -> Any:
    """The parser of a command of a parser, which itself where it has none of that name."""
    for action in parser._actions:
        commands = getattr(action, "_name_parser_map", None)
        if commands and name in commands:
            return commands[name]
    return parser


def _describe_type(kind: str) -> str:
    if kind.startswith("typing.Literal["):
        return re.sub(r"['\"]", "", kind[len("typing.Literal[") : -1]).replace(", ", " or ")
    return _KINDS.get(kind, kind)


class ReadableHelp(DefaultHelpFormatter):
    """Option names with dashes; of each option its sentence, and its default where there is one to be told."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if not action.option_strings or action.nargs == 0 or "default" in text:
            return text
        if action.required:
            return f"{text} (required)"
        return text if action.default in (None, SUPPRESS) else f"{text} (default: %(default)s)"

    def _format_action_invocation(self, action: Action) -> str:
        return super()._format_action_invocation(action).replace("_", "-")

    def _format_usage(self, usage: Any, actions: Any, *args: Any, **kwargs: Any) -> str:
        return str(super()._format_usage(usage, actions, *args, **kwargs)).replace("_", "-")


def normalise_arguments(arguments: list[str]) -> list[str]:
    """Arguments as the parser takes them: values with a minus joined on, underscores for dashes, no "no-"."""
    positive = [_SWITCHED_OFF.get(argument, argument) for argument in arguments]
    return _replace_dashes(_join_minus_values(positive))


def _join_minus_values(arguments: list[str]) -> list[str]:
    """Values such as -3m1, -1kl or -1,65535 begin like an option; joined to theirs they are taken for what they are."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--[a-z_-]+", joined[-1]) and re.match(r"-[\d.]", argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def _replace_dashes(arguments: list[str]) -> list[str]:
    """--out-of-plane for --out_of_plane, as jsonargparse calls it: both are understood."""
    split = [argument.partition("=") for argument in arguments]
    return [
        f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else name + equals + value
        for name, equals, value in split
    ]


def first_line(function: object) -> str:
    """What a command does, in the first line of its function's docstring."""
    return (function.__doc__ or "").splitlines()[0]
