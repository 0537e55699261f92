"""The paper's discriminator: a PatchGAN that judges overlapping patches of 94 x 94 pixels."""

from collections.abc import Sequence

import torch
from torch import nn

from dsfunet.errors import InputError
from dsfunet.networks.initialisation import initialise_weights

_LEAKY_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Says, patch by patch, whether a component is the true one of a scattering plane (Isola et al., 2018).

    Each block halves the plane: 4 x 4 convolution of stride 2, instance norm except in the first, LeakyReLU.
    A last 4 x 4 convolution that keeps the size gives one logit a patch: 16 x 16 from 256 x 256 pixels.

    Args:
        channels: Output channels of the blocks, outermost first.

    Raises:
        ValueError: If there is no block, or a number of channels is not positive.
    """

    def __init__(self, channels: Sequence[int] = (64, 128, 256, 512)) -> None:
        """Build the layers and draw their starting weights."""
        super().__init__()
        if len(channels) < 1 or min(channels) < 1:
            raise ValueError(f"Found channels = {tuple(channels)}, expected one or more positive numbers.")
        layers: list[nn.Module] = []
        in_channels = 2  # the component and the scattering
        for level, out_channels in enumerate(channels):
            # A norm takes the mean away, and any bias with it: there is one only where no norm follows.
            layers.append(
                nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=level == 0)
            )
            if level > 0:
                layers.append(nn.InstanceNorm2d(out_channels))
            layers.append(nn.LeakyReLU(_LEAKY_SLOPE))
            in_channels = out_channels
        # An even kernel needs three more pixels a side length, two on one edge, to keep the size.
        layers.append(nn.ZeroPad2d((2, 1, 2, 1)))
        layers.append(nn.Conv2d(in_channels, 1, kernel_size=4))
        self.layers = nn.Sequential(*layers)
        self.size_min = 2 ** (len(channels) + 1)
        initialise_weights(self)

    def forward(self, component: torch.Tensor, scattering: torch.Tensor) -> torch.Tensor:
        """Judge components beside the scattering they belong to.

        Args:
            component: True or generated component, spread, in [-1, 1], shape (n, 1, height, width).
            scattering: Clean scattering, without artefacts, spread, in [-1, 1], of the same shape. Shown the
                artefacts, the discriminator would teach the generator to paint them.

        Returns:
            One logit a patch, without a sigmoid; above 0 for true. Shape (n, 1, height // 16, width // 16).

        Raises:
            InputError: If the two differ in shape, have several channels, or are too small for the norms.
        """
        if component.shape != scattering.shape or component.ndim != 4 or component.shape[1] != 1:
            raise InputError(
                f"Found a component of shape {tuple(component.shape)} and scattering of shape "
                f"{tuple(scattering.shape)}, expected (n, 1, height, width) for both."
            )
        if min(component.shape[2:]) < self.size_min:
            raise InputError(
                f"Found planes of {component.shape[2]} x {component.shape[3]} pixels, expected sides of at "
                f"least {self.size_min}."
            )
        logits: torch.Tensor = self.layers(torch.cat((component, scattering), dim=1))
        return logits
