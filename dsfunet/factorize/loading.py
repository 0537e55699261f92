"""A `Factorizer` from the name of its weights and of a device."""

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.networks.weights import load_named_weights


def load_factorizer(weights: str, device: str | None = None, batch_size: int = 8) -> Factorizer:
    """A factorizer with the weights in the package (`release`) or with those at a path.

    Raises:
        InputError: no such weights, or the device is not there.
    """
    generators = load_named_weights(weights)
    try:
        return Factorizer(generators, device, batch_size)
    except (RuntimeError, AssertionError) as error:  # torch's ways of saying that a device is not there
        raise InputError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
