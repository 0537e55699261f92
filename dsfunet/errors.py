"""The two errors whose message is all that a user needs: wrong input, and training that diverged."""

from typing import Any


class InputError(ValueError):
    """Input that cannot be used; the message is one sentence that says what was found and what was expected.

    Command lines print the message alone and exit with code 2; everything else keeps its traceback.
    """


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
