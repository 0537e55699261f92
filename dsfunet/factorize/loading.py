"""Load a `Factorizer` from the names of its weights and its device."""

from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.networks.weights import load_named_weights


def load_factorizer(weights: str, device: str | None = None, batch_size: int = 8) -> Factorizer:
    """Load a factorizer with the weights in the package (`release`) or at a path.

    Args:
        weights: `release`, a checkpoint, or a folder of safetensors.
        device: Device of the networks, or several, separated by commas (`cuda:0,cuda:1`); None chooses a GPU when there
            is one.
        batch_size: Number of planes that go through the networks at once, on each device.

    Raises:
        InputError: The weights do not exist or cannot be used, or the device is not available.
    """
    generators = load_named_weights(weights)
    try:
        if device is not None and "," in device:
            from dsfunet.factorize.several_devices import SeveralDevicesFactorizer

            return SeveralDevicesFactorizer(generators, device.split(","), batch_size)
        return Factorizer(generators, device, batch_size)
    except (RuntimeError, AssertionError) as error:  # what torch raises when a device is not available
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {device!r} cannot be used ({reason}); choose cpu, or a GPU that torch finds"
        ) from error
