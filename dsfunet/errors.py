"""The errors of the three packages: wrong input, which the user can correct, and training that diverged."""

from typing import Any


class InputError(ValueError):
    """Error about input that cannot be used. The message is one line: what was found; what is expected or what to do.

    The command line prints the message alone and exits with code 2; all other errors keep their traceback.

    Examples:
        >>> from dsfunet.errors import InputError
        >>> from dsfunet.io import read_plane
        >>> try:
        ...     read_plane("missing.h5", "hk0")
        ... except InputError as error:
        ...     print(error)
        missing.h5: no such file
    """


class PassingError(InputError):
    """An input error that may pass by itself: the disk is full, or a linked file is not there yet."""


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, is a `PassingError`."""
    while error is not None:
        if isinstance(error, PassingError):
            return True
        error = error.__cause__
    return False


class DivergedError(ArithmeticError):
    """Training or validation that met a number that is not finite (nan or infinity).

    Command lines print the message alone and exit with code 2, as for an InputError; but no input was wrong.

    Attributes:
        record: what to save for inspection, in tensors and plain values: `batch` (what the networks were given),
            `losses` (each loss of the step by name, on this process), `gradient_norm` (the norm of the gradients
            averaged over processes) and `batches_done`; empty in a validation.
    """

    def __init__(self, message: str, record: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.record = record or {}
