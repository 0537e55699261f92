"""The paper's generator: a U-Net of 29.2 M parameters whose dropout is the noise z."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from dsfunet.errors import InputError
from dsfunet.networks.initialisation import initialise_weights

_LEAKY_SLOPE = 0.2
_DOWN_BLOCKS_WITH_NOISE = 3
_UP_BLOCKS_WITH_NOISE = 2


class NoiseDropout(nn.Module):
    """Dropout that can be left on outside training, where it is the only source of the noise z.

    Attributes:
        probability: Chance of a value being set to zero, in [0, 1).
        sampling: Whether values are dropped in evaluation mode too.
    """

    def __init__(self, probability: float) -> None:
        """Set the probability; the sampling is off."""
        super().__init__()
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"Found a dropout probability of {probability}, expected one in [0, 1).")
        self.probability = probability
        self.sampling = False

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Drop values of features of any shape, and scale up the others so that the mean is kept."""
        return functional.dropout(features, self.probability, training=self.training or self.sampling)

    def extra_repr(self) -> str:
        """Settings shown when the network is printed."""
        return f"probability={self.probability}, sampling={self.sampling}"


class _DownBlock(nn.Sequential):
    """Halves the plane: 4 x 4 convolution of stride 2, instance norm, LeakyReLU, dropout."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: bool, dropout: float) -> None:
        # A norm takes the mean away, and any bias with it: there is one only where no norm follows.
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=not norm)
        ]
        if norm:
            layers.append(nn.InstanceNorm2d(out_channels))
        layers.append(nn.LeakyReLU(_LEAKY_SLOPE))
        if dropout > 0.0:
            layers.append(NoiseDropout(dropout))
        super().__init__(*layers)


class _UpBlock(nn.Sequential):
    """Doubles the plane: transposed 4 x 4 convolution of stride 2, instance norm, ReLU, dropout."""

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float) -> None:
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.InstanceNorm2d(out_channels),
            nn.ReLU(),
        ]
        if dropout > 0.0:
            layers.append(NoiseDropout(dropout))
        super().__init__(*layers)


class _Head(nn.Sequential):
    """Repeats every pixel twice a side, convolves 4 x 4 to one channel, tanh: the layers as the paper has them.

    A 4 x 4 kernel on repeated pixels meets no more than 3 x 3 different ones, so `forward` sums the taps that meet the
    same pixel and convolves before it doubles: one 3 x 3 kernel for each of the four places a new pixel can have
    beside its old one. The same sums in another order, without planes of many channels at full size, which
    took over a quarter of the time of a training step on a CPU.
    """

    def __init__(self, in_channels: int) -> None:
        # Run one after the other these layers give what `forward` does; only the convolution has weights.
        super().__init__(
            nn.Upsample(scale_factor=2),
            # An even kernel needs three more pixels a side length, two on one edge, to keep the size.
            nn.ZeroPad2d((2, 1, 2, 1)),
            nn.Conv2d(in_channels, 1, kernel_size=4),
            nn.Tanh(),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The component (n, 1, 2 h, 2 w) of features (n, c, h, w)."""
        convolution = self[2]
        assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
        kernels = [kernel for rows in _fold_taps(convolution.weight, 2) for kernel in _fold_taps(rows, 3)]
        places = functional.conv2d(features, torch.cat(kernels), convolution.bias.expand(4), padding=1)
        return torch.tanh(functional.pixel_shuffle(places, 2))


def _fold_taps(weight: torch.Tensor, dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernels of 3 taps on pixels, from one of 4 taps on pixels repeated twice: of a pixel's first half, and second.

    With two pixels of padding before it, the first half meets the old pixels (before, before, here, here) and the
    second (before, here, here, after).
    """
    first, second, third, fourth = weight.unbind(dimension)
    return (
        torch.stack((first + second, third + fourth, torch.zeros_like(first)), dimension),
        torch.stack((first, second + third, fourth), dimension),
    )


class Pix2PixGenerator(nn.Module):
    """U-Net from a scattering plane to one of its two factors (paper, supporting information, figure 3).

    Every down-sampling block halves the plane. The first and the innermost carry no instance norm, the three
    deepest carry dropout. All up-sampling blocks carry instance norm, the two deepest carry dropout, and the
    output of each is joined to that of the down-sampling block of its size before it goes on. The head
    doubles the plane once more by repeating pixels and ends in tanh. The default channels make 29.2 M
    parameters.

    In evaluation mode the output is a function of the input. `set_sampling` turns the noise on there, to draw
    samples of G(x, z); z comes from torch's random numbers, so `torch.manual_seed` settles the sample.

    Args:
        in_channels: Channels of the input: the scattering, then whatever else the network is shown.
        channels: Output channels of the down-sampling blocks, outermost first; three or more.
        dropout: Probability of dropout in the blocks that have it, in [0, 1).

    Raises:
        ValueError: If a number of channels is not positive, there are fewer than three blocks, or the
            probability is out of range.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (64, 128, 256, 512, 512, 512),
        dropout: float = 0.5,
    ) -> None:
        """Build the blocks and draw their starting weights."""
        super().__init__()
        if len(channels) < 3 or min(channels) < 1:
            raise ValueError(f"Found channels = {tuple(channels)}, expected three or more positive numbers.")
        if in_channels < 1:
            raise ValueError(f"Found in_channels = {in_channels}, expected 1 or more.")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"Found dropout = {dropout}, expected a probability in [0, 1).")
        self.in_channels = in_channels
        self.settings = {"in_channels": in_channels, "channels": list(channels), "dropout": dropout}
        depth = len(channels)
        self.size_step = 2**depth
        # With one pixel left at the bottom, the norms next to it would stand on four values.
        self.size_min = 2 * self.size_step

        self.down = nn.ModuleList(
            _DownBlock(
                channels[level - 1] if level else in_channels,
                channels[level],
                norm=0 < level < depth - 1,
                dropout=dropout if level >= depth - _DOWN_BLOCKS_WITH_NOISE else 0.0,
            )
            for level in range(depth)
        )
        up_channels = list(reversed(channels[:-1]))
        self.up = nn.ModuleList(
            _UpBlock(
                # But for the first, every input is an up-sampled plane and a skip of as many channels.
                2 * up_channels[step - 1] if step else channels[-1],
                up_channels[step],
                dropout=dropout if step < _UP_BLOCKS_WITH_NOISE else 0.0,
            )
            for step in range(depth - 1)
        )
        self.head = _Head(2 * channels[0])
        initialise_weights(self)

    def set_sampling(self, enabled: bool) -> None:
        """Keep the dropout on in evaluation mode, or let it go off there again.

        Args:
            enabled: True to draw a new sample of G(x, z) with every pass, False for the deterministic output.
        """
        for layer in self.modules():
            if isinstance(layer, NoiseDropout):
                layer.sampling = enabled

    def forward(self, scattering: torch.Tensor) -> torch.Tensor:
        """Map scattering planes to one component.

        Args:
            scattering: Spread planes in [-1, 1], shape (n, in_channels, height, width). 256 x 256 in the
                paper; sides may be any multiples of 64 (two to the number of blocks) from 128 on.

        Returns:
            The component, spread, in [-1, 1], shape (n, 1, height, width).

        Raises:
            InputError: If the input has another number of channels or dimensions, or sides that do not fit.
        """
        self._check(scattering)
        skips: list[torch.Tensor] = []
        features = scattering
        for down in self.down:
            features = down(features)
            skips.append(features)
        skips.pop()  # the innermost has no partner: it is what goes up
        for up in self.up:
            features = torch.cat((up(features), skips.pop()), dim=1)
        component: torch.Tensor = self.head(features)
        return component

    def _check(self, scattering: torch.Tensor) -> None:
        if scattering.ndim != 4 or scattering.shape[1] != self.in_channels:
            raise InputError(
                f"Found scattering of shape {tuple(scattering.shape)}, "
                f"expected (n, {self.in_channels}, height, width)."
            )
        if any(side % self.size_step or side < self.size_min for side in scattering.shape[2:]):
            raise InputError(
                f"Found planes of {scattering.shape[2]} x {scattering.shape[3]} pixels, expected sides that "
                f"are multiples of {self.size_step} and at least {self.size_min}."
            )
