"""Parsers for the command lines, which report a wrong command line in one sentence instead of a page of usage."""

import re
import sys
from argparse import SUPPRESS, Action
from collections.abc import Callable
from copy import copy
from difflib import get_close_matches
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from dsfunet.errors import InputError

_SEVERAL_VALUES = ("--range",)  # three numbers, which must not be joined to the option
_SWITCHED_OFF = {"--no-lattice": "--lattice=false"}
_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "text",
    "<class 'NoneType'>": "",  # the default of an option that may be left out
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number of 0 or more",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number of 0 or more",
}
_OF_ONE_OPTION = re.compile(r'Parser key "([\w.]+)"(?: element \d+)?: *(.*)', re.DOTALL)
_EXPECTED = re.compile(r"(?:Expected an? |Not of type )([^\n:]+?)(?:\. Got value: (.*)|: .*)?$", re.MULTILINE)
_GIVEN = re.compile(r"^ *Given value: (.*)$", re.MULTILINE)
_NOT_OF_TYPE = re.compile(r"Not of type \w+: (\S+) does not conform")
_REQUIRED = re.compile(r"the following arguments are required: (.*)")
_NO_COMMAND = re.compile(r'expected "\w+" to be one of \{.*\}, but it was not provided')
_UNKNOWN_COMMAND = re.compile(
    r"argument [a-z]\w*: invalid choice: '?(.*?)'? \(choose from (.*)\)$", re.DOTALL
)
_UNKNOWN = re.compile(r"unrecognized arguments: (.*)", re.IGNORECASE | re.DOTALL)


def run_script(main: Callable[[], int], name: str) -> NoReturn:
    """Run a script and exit with its code, or with one sentence about input that it refuses and code 1.

    Args:
        main: the script.
        name: of its module, as after `python -m`.
    """
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"{name}: {error}")


class ErrorSentences:
    """Mix-in for parsers that prints one sentence about a wrong command line and exits with code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what was found and what is expected, and exit."""
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        if not parser.exit_on_error:  # another parser is trying whether the value has this type
            super().error(message, ex)  # type: ignore[misc]
        command = str(parser.prog).replace(" [options]", "")
        required = _REQUIRED.match(message)
        if required:
            names = required[1].split(", ")
            prefix = names[0].partition(".")[0]
            if prefix in _list_commands(parser):
                parser, command = _find_command_parser(parser, prefix), f"{command} {prefix}"
                names = [name.removeprefix(f"{prefix}.") for name in names]
            sentence = _report_missing([_name_option(name, parser) for name in names])
        else:
            sentence = _make_sentence(message, parser)
        print(f"{command}: {sentence} (run `{command} --help` for all options)", file=sys.stderr)
        raise SystemExit(2) from ex


class Parser(ErrorSentences, ArgumentParser):
    """Parser of jsonargparse with short error messages."""


def _report_missing(names: list[str]) -> str:
    # Only fields of a configuration have a dot in their names.
    or_file = ", or give a file with --config" if any("." in name for name in names) else ""
    if len(names) == 1:
        return f"the argument {names[0]} is missing; add it to the command{or_file}"
    return (
        f"the arguments {', '.join(names[:-1])} and {names[-1]} are missing; add them to the command{or_file}"
    )


def _report_unknown_command(name: str, commands: list[str]) -> str:
    similar = get_close_matches(name, commands, 1)
    return f"there is no command '{name}'; " + (
        f"did you mean {similar[0]}?" if similar else f"expected one of {', '.join(commands)}"
    )


def _report_unknown(arguments: str, parser: Any) -> str:
    """Report arguments that no option takes, with the most similar option where there is one."""
    words = arguments.split()
    names = [_name_option(action.dest, parser) for action in parser._actions if action.option_strings]
    options = {name.lstrip("-"): name for name in names}
    for word in (each.partition("=")[0] for each in words if each.startswith("-")):
        similar = get_close_matches(word.lstrip("-").replace("_", "-"), options, 1, 0.8)
        if similar:
            return f"there is no option {word}; did you mean {options[similar[0]]}?"
    return f"unexpected argument{'s' * (len(words) > 1)} {' '.join(words)}; remove {'them' if len(words) > 1 else 'it'}"


def _make_sentence(message: str, parser: Any) -> str:
    """Rewrite a message of jsonargparse in one line, with options as they are typed and types in words."""
    if _NO_COMMAND.match(message):
        return f"no command is given; expected one of {', '.join(_list_commands(parser))}"
    command = _UNKNOWN_COMMAND.match(message)
    if command is not None:
        return _report_unknown_command(command[1], command[2].replace("'", "").split(", "))
    unknown = _UNKNOWN.match(message)
    if unknown is not None:
        return _report_unknown(unknown[1], parser)
    found = _OF_ONE_OPTION.match(message)
    if found is None:
        return " ".join(message.split())
    option, reason = _name_option(found[1], parser), found[2]
    types = _EXPECTED.findall(reason)
    kinds = dict.fromkeys(filter(None, (_describe_type(kind) for kind, _ in types)))
    if not kinds or "Parser key" in reason:  # about a value inside a nested setting
        return f"{option}: {' '.join(reason.split())}"
    given = _GIVEN.search(reason) or _NOT_OF_TYPE.search(reason)
    value = given[1] if given else types[-1][1]
    return f"{option} is {_quote(value.strip())}; expected {' or '.join(kinds)}"


def _quote(value: str) -> str:
    """Quote a value unless it is a number or a structure; an empty one is called empty."""
    if not value:
        return "empty"
    return value if re.match(r"[-+.\d\[{('\"]", value) else f"'{value}'"


def _name_option(key: str, parser: Any) -> str:
    """Return an option as it is typed on the command line, or the name of a positional argument."""
    for action in parser._actions:
        if action.dest == key and not action.option_strings:
            return key
    names = [each.option_strings[-1] for each in parser._actions if each.dest == key and each.option_strings]
    name = names[0] if names else f"--{key}"
    return name.replace("_", "-") if parser.formatter_class is ReadableHelp else name


def _list_commands(parser: Any) -> list[str]:
    """List the names of the commands of a parser."""
    return [name for action in parser._actions for name in getattr(action, "_name_parser_map", None) or ()]


def _find_command_parser(parser: Any, name: str) -> Any:
    """Return the parser of a command, or the parser itself if it has no command of that name."""
    for action in parser._actions:
        commands = getattr(action, "_name_parser_map", None)
        if commands and name in commands:
            return commands[name]
    return parser


def _describe_type(kind: str) -> str:
    if kind.startswith("typing.Literal["):
        return re.sub(r"['\"]", "", kind[len("typing.Literal[") : -1]).replace(", ", " or ")
    return _KINDS.get(kind, kind)


def _drop_full_stop(text: str) -> str:
    return text if text.endswith("..") else text.removesuffix(".")


class FragmentHelp(DefaultHelpFormatter):
    """Help formatter that leaves out the full stop with which a docstring ends the description of an option."""

    def _get_help_string(self, action: Action) -> str:
        shown = copy(action)
        shown.help = _drop_full_stop(action.help or "")
        return str(super()._get_help_string(shown))


class ReadableHelp(DefaultHelpFormatter):
    """Help formatter that writes option names with dashes and appends the default of each option that has one."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if not action.option_strings:
            return text
        text = _drop_full_stop(text)
        if action.nargs == 0 or "default" in text:
            return text
        if action.required:
            return f"{text} (required)"
        return text if action.default in (None, SUPPRESS) else f"{text} (default: %(default)s)"

    def _format_action_invocation(self, action: Action) -> str:
        return super()._format_action_invocation(action).replace("_", "-")

    def _format_usage(self, usage: Any, actions: Any, *args: Any, **kwargs: Any) -> str:
        return str(super()._format_usage(usage, actions, *args, **kwargs)).replace("_", "-")


def normalise_arguments(arguments: list[str], join: bool = True) -> list[str]:
    """Rewrite arguments as the parser takes them: underscores for dashes, no "--no-", and -1kl joined to its option.

    Args:
        arguments: the command line.
        join: join values that begin with a minus sign to the option before them.
    """
    positive = [_SWITCHED_OFF.get(argument, argument) for argument in arguments]
    return _replace_dashes(_join_minus_values(positive) if join else positive)


def _join_minus_values(arguments: list[str]) -> list[str]:
    """Join values such as -3m1, -1kl or -1,65535, which look like options, to the option before them."""
    joined: list[str] = []
    for argument in arguments:
        takes_one = joined and re.fullmatch(r"--[a-z_-]+", joined[-1]) and joined[-1] not in _SEVERAL_VALUES
        if takes_one and re.match(r"-[\d.]", argument):
            joined[-1] = f"{joined[-1]}={argument}"
        else:
            joined.append(argument)
    return joined


def _replace_dashes(arguments: list[str]) -> list[str]:
    """Replace dashes in option names by underscores, as jsonargparse has them; users may type either."""
    split = [argument.partition("=") for argument in arguments]
    return [
        f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else name + equals + value
        for name, equals, value in split
    ]


def first_line(function: object) -> str:
    """Return the first line of a function's docstring, which says what its command does."""
    return (function.__doc__ or "").splitlines()[0]
