"""The input channels of each network: the scattering, the mask, and I_SRO where it is known."""

import torch
from torch import Tensor, nn

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import spread, unspread


def select_inputs(network: nn.Module, planes: Tensor, order: Tensor | None = None) -> Tensor:
    """Return the input of one network, (n, network.in_channels, h, w), for n planes.

    A network with one channel, such as the paper's, gets the scattering without the mask; one with two channels gets
    both. A network with three channels gets I_SRO as well, or zeros where I_SRO is not known.

    Args:
        network: a generator with `in_channels`.
        planes: (n, 2, h, w), spread scattering and mask, as `dsfunet.planes.preprocessing.network_input` makes them.
        order: I_SRO (n, 1, h, w), spread, scaled as by `restore_floor`; zeros for a plane whose I_SRO is not known.
            None if no I_SRO is known.

    Raises:
        InputError: the network has more channels than there are inputs.
    """
    channels = int(network.in_channels)  # type: ignore[arg-type]
    known = planes.shape[1]
    if channels <= known:
        return planes[:, :channels]
    if channels != known + 1:
        raise InputError(f"the network has {channels} input channels; expected 1 to {known + 1}")
    if order is None:
        order = torch.zeros_like(planes[:, :1])
    return torch.cat([planes, order], dim=1)


def restore_floor(short_range_order: Tensor, floor: Tensor) -> Tensor:
    """Return spread I_SRO with its minimum restored and its maximum at 1, as lattice mode gives it.

    Args:
        short_range_order: I_SRO normalised by its own minimum and maximum, spread, in [-1, 1], (n, 1, h, w).
        floor: minimum of I_SRO before normalisation, divided by its range, 0 or more, (n, 1, 1, 1).
    """
    return spread((unspread(short_range_order) + floor) / (1 + floor))
