"""Starting weights of the paper's networks."""

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)


@torch.no_grad()
def initialise_weights(
    network: nn.Module,
    standard_deviation: float = 0.02,
    generator: torch.Generator | None = None,
) -> None:
    """Draw the weights of every convolution from N(0, 0.02), in place (Isola et al., 2018, section 6.2).

    Biases become zero. A norm that has a scale and an offset gets N(1, 0.02) and zero. This is for the two networks of
    the paper, which call it in their constructors; it would overwrite layers that start at zero on purpose.

    Args:
        network: network whose convolutions and norms, at any depth, are overwritten.
        standard_deviation: standard deviation of the normal distribution, 0 or more.
        generator: source of the random numbers; None uses torch's global one.

    Raises:
        ValueError: the standard deviation is negative or not a number.
    """
    if not standard_deviation >= 0.0:
        raise ValueError(f"standard_deviation is {standard_deviation}; expected 0 or more")
    for layer in network.modules():
        if isinstance(layer, _CONVOLUTIONS):
            mean = 0.0
        elif isinstance(layer, _NORMS) and layer.affine:
            mean = 1.0
        else:
            continue
        nn.init.normal_(layer.weight, mean, standard_deviation, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
