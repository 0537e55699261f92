"""The one error type that is the user's to fix, and training that ran away."""

from typing import Any


class InputError(ValueError):
    """Input that cannot be used: its message is one sentence saying what was found and what was expected.

    Command lines print the message alone and exit with code 2; everything else keeps its traceback.
    """


class DivergedError(InputError):
    """Training met a loss or a gradient that is not finite, before any weight moved by it.

    Attributes:
        batches_done: batches trained on before.
        losses: each loss of the step by name, on this process.
        gradient_norm: norm of the step's gradients, the mean over processes.
        batch: what the networks were shown, to be saved for inspection.
    """

    def __init__(self, batches_done: int, losses: dict[str, float], gradient_norm: float, batch: Any) -> None:
        self.batches_done = batches_done
        self.losses = losses
        self.gradient_norm = gradient_norm
        self.batch = batch
        values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        super().__init__(
            f"training diverged at batch {batches_done}: found losses {values} on this process and gradients of"
            f" norm {gradient_norm:g}; expected finite numbers, so try a smaller learning rate or gradient_clip"
        )
