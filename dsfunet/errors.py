"""The one error type that is the user's to fix."""


class InputError(ValueError):
    """Input that cannot be used: its message is one sentence saying what was found and what was expected.

    Command lines print the message alone and exit with code 2; everything else keeps its traceback.
    """
