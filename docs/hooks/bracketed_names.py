"""Shows plane names such as "[1 1 0] [0 0 1]" in docstrings as code, because Markdown takes them for links."""

import re

import griffe

_NAME = re.compile(r'(?<!`)"(\[[^"\n]*\]\s*\[[^"]*)"')


class BracketedNames(griffe.Extension):
    """Sets bracketed plane names as code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Change the docstring of an object once it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = _NAME.sub(
                lambda match: "`" + " ".join(match[1].split()) + "`", obj.docstring.value
            )
