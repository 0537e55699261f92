"""The `dsfunet` command: parse the arguments, run one command, and turn its outcome into an exit code."""

import io
import os
import sys
from collections.abc import Callable, Sequence

from dsfunet._version import __version__
from dsfunet.cli import (
    configuration,
    convert,
    export,
    factorize,
    inspect,
    models,
    pdf,
    predict,
    refine,
    train,
    watch,
)
from dsfunet.command_parser import Parser, ReadableHelp, normalise_arguments
from dsfunet.errors import DivergedError, InputError
from dsfunet.files import make_printable

_INTERRUPTED = 130
_ONE_BLAS_THREAD = ("factorize", "watch", "refine")
_TAKES_SEVERAL_NUMBERS = ("scan",)
"""Commands with an option such as --range -1 1 5, whose first number must not be joined to the option."""
_MODULES = (factorize, watch, inspect, convert, export, predict, refine, configuration, pdf, models)
"""Modules of the commands: COMMANDS names them, and `add_parsers` adds them and returns the functions that run them."""


def run() -> None:
    """Entry point of the `dsfunet` command."""
    if sys.argv[1:2] and sys.argv[1] in _ONE_BLAS_THREAD:
        # Before numpy is imported: its OpenBLAS spins while it waits for a core that torch or another plane has, and
        # on two busy cores a plane took four times the processor time. The matrices are small here.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    raise SystemExit(code)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Returns:
        0 for success, 1 when some of many planes failed or a model misses the alphas asked for, 2 when the input is
        wrong or training diverged (with one sentence on standard error), 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments and arguments[0] in train.COMMANDS:
            return train.run_lightning_cli(arguments)
        return _parse_and_run(arguments)
    except (InputError, DivergedError) as error:
        print(f"dsfunet: {make_printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dsfunet: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _parse_and_run(arguments: list[str]) -> int:
    parser = Parser(
        prog="dsfunet",
        description="Split single-crystal diffuse scattering into form factor and short-range order.",
        formatter_class=ReadableHelp,  # the commands inherit it
    )
    parser.add_argument("--version", action="version", version=f"dsfunet {__version__}")
    commands = parser.add_subcommands(
        dest="command", help="run `dsfunet COMMAND --help` for the options of a command"
    )
    functions: dict[str, Callable[..., int | None]] = {}
    requested = next((each for each in arguments if not each.startswith("-")), None)
    for module in _MODULES:
        if requested in module.COMMANDS:
            functions |= module.add_parsers(commands)
            continue
        # The options of other commands would only cost the time to import what they need.
        for name, text in module.COMMANDS.items():
            commands.add_subcommand(name, Parser(), help=text)
    for name, text in train.COMMANDS.items():
        commands.add_subcommand(name, Parser(), help=text)
    if arguments:
        arguments = normalise_arguments(arguments, join=arguments[0] not in _TAKES_SEVERAL_NUMBERS)
    namespace = parser.parse_args(arguments)
    return functions[namespace.command](**namespace[namespace.command].as_dict()) or 0
