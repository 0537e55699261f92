"""How `--help` looks: options as they are typed, with dashes, and no types of Python beside what the words say."""

from argparse import SUPPRESS, Action
from typing import Any

from jsonargparse import DefaultHelpFormatter


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
