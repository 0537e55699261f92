"""Load a `Factorizer` from the names of its weights and its device."""

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.networks.weights import load_named_weights


def load_factorizer(weights: str, device: str | None = None, batch_size: int = 8) -> Factorizer:
    """Load a factorizer with the weights in the package (`release`) or at a path.

    Raises:
        InputError: The weights do not exist or cannot be used, or the device is not available.
    """
    generators = load_named_weights(weights)
    try:
        return Factorizer(generators, device, batch_size)
    except (RuntimeError, AssertionError) as error:  # what torch raises when a device is not available
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {device!r} cannot be used ({reason}); choose cpu, or a GPU that torch finds"
        ) from error
