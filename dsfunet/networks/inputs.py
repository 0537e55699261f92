"""What of a plane each network is shown: its scattering, the mask, and I_SRO where that is known."""

import torch
from torch import Tensor, nn

from dsfunet.errors import InputError


def shown_to(network: nn.Module, planes: Tensor, order: Tensor | None = None) -> Tensor:
    """The input of one network, (n, network.in_channels, h, w), from what is known of n planes.

    A network of one channel, as the paper's, is shown the scattering without the mask, one of two both. One of three
    is shown I_SRO as well, or zeros where it is not known; the others are not.

    Args:
        network: a generator with `in_channels`.
        planes: (n, 2, h, w), spread scattering and mask, as `dsfunet.planes.preprocessing.network_input` makes them.
        order: I_SRO (n, 1, h, w), spread, its maximum 1 and its minimum not taken away; None where it is not known. A
            plane of zeros says so of one plane.

    Raises:
        InputError: the network takes more channels than there are.
    """
    channels = int(network.in_channels)  # type: ignore[arg-type]
    known = planes.shape[1]
    if channels <= known:
        return planes[:, :channels]
    if channels != known + 1:
        raise InputError(f"a network of {channels} input channels: expected 1 to {known + 1}")
    if order is None:
        order = torch.zeros_like(planes[:, :1])
    return torch.cat([planes, order], dim=1)
