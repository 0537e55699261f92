"""The paper's discriminator: a PatchGAN that judges overlapping patches of 94 x 94 pixels."""

from collections.abc import Sequence

import torch
from torch import nn

from dsfunet.errors import InputError
from dsfunet.networks.initialisation import initialise_weights

_LEAKY_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """A discriminator that classifies each patch of a component as true or generated (PatchGAN; Isola et al., 2018).

    Each block halves the plane: 4 x 4 convolution of stride 2, instance norm except in the first block, LeakyReLU. A
    last 4 x 4 convolution, which keeps the size, gives one logit per patch: 16 x 16 logits for 256 x 256 pixels.

    Args:
        channels: output channels of the blocks, outermost first.

    Raises:
        ValueError: there is no block, or a number of channels is not positive.
    """

    def __init__(self, channels: Sequence[int] = (64, 128, 256, 512)) -> None:
        """Build the layers and draw their starting weights."""
        super().__init__()
        if len(channels) < 1 or min(channels) < 1:
            raise ValueError(f"channels is {tuple(channels)}; expected one or more positive numbers")
        layers: list[nn.Module] = []
        in_channels = 2  # the component and the scattering
        for level, out_channels in enumerate(channels):
            # A norm subtracts the mean and so any bias; a bias is used only if no norm follows.
            layers.append(
                nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=level == 0)
            )
            if level > 0:
                layers.append(nn.InstanceNorm2d(out_channels))
            layers.append(nn.LeakyReLU(_LEAKY_SLOPE))
            in_channels = out_channels
        # To keep the size, an even kernel needs three pixels of padding: two before and one after.
        layers.append(nn.ZeroPad2d((2, 1, 2, 1)))
        layers.append(nn.Conv2d(in_channels, 1, kernel_size=4))
        self.layers = nn.Sequential(*layers)
        self.size_min = 2 ** (len(channels) + 1)
        initialise_weights(self)

    def forward(self, component: torch.Tensor, scattering: torch.Tensor) -> torch.Tensor:
        """Judge components together with the scattering that they belong to.

        Args:
            component: true or generated component, spread, in [-1, 1], shape (n, 1, height, width).
            scattering: clean scattering, without artefacts, spread, in [-1, 1], of the same shape. With artefacts, the
                generator would learn from the discriminator to reproduce them.

        Returns:
            One logit per patch, without a sigmoid, above 0 for true; shape (n, 1, height // 16, width // 16).

        Raises:
            InputError: the shapes differ, there are several channels, or the planes are too small for the norms.
        """
        if component.shape != scattering.shape or component.ndim != 4 or component.shape[1] != 1:
            raise InputError(
                f"the component has shape {tuple(component.shape)} and the scattering {tuple(scattering.shape)};"
                " expected (n, 1, height, width) for both"
            )
        if min(component.shape[2:]) < self.size_min:
            raise InputError(
                f"the planes have {component.shape[2]} x {component.shape[3]} pixels; expected sides of at least"
                f" {self.size_min}"
            )
        logits: torch.Tensor = self.layers(torch.cat((component, scattering), dim=1))
        return logits
