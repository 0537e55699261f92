"""The errors of the three packages: wrong input, which the user can correct, and training that diverged."""

from typing import Any


class InputError(ValueError):
    """Error about input that cannot be used. The message is one line: what was found; what is expected or what to do.

    The command line prints the message alone and exits with code 2; all other errors keep their traceback.

    Example:
        >>> from dsfunet.errors import InputError
        >>> from dsfunet.io import read_plane
        >>> try:
        ...     read_plane("missing.h5", "hk0")
        ... except InputError as error:
        ...     print(error)
        missing.h5: no such file
    """


class DivergedError(InputError):
    """Error in training: a loss or a gradient is not finite. No weight has been updated with it.

    Attributes:
        batches_done: number of batches trained on before this one.
        losses: losses of this step by name, on this process.
        gradient_norm: norm of the gradients of this step, averaged over processes.
        batch: the batch that the networks were given, kept so that it can be saved and inspected.
    """

    def __init__(self, batches_done: int, losses: dict[str, float], gradient_norm: float, batch: Any) -> None:
        self.batches_done = batches_done
        self.losses = losses
        self.gradient_norm = gradient_norm
        self.batch = batch
        values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        super().__init__(
            f"training diverged at batch {batches_done}: the losses on this process are {values} and the norm of the"
            f" gradients is {gradient_norm:g}; try a smaller learning rate or gradient_clip"
        )
