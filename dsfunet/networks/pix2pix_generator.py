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
    """Dropout that can stay on outside training; it is the only source of the noise z.

    Attributes:
        probability: probability of setting a value to zero, in [0, 1).
        sampling: whether values are dropped in evaluation mode too.
    """

    def __init__(self, probability: float) -> None:
        """Set the probability; sampling starts off."""
        super().__init__()
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"the dropout probability is {probability}; expected at least 0 and below 1")
        self.probability = probability
        self.sampling = False

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Drop values of features of any shape, and scale the others up to keep the mean."""
        return functional.dropout(features, self.probability, training=self.training or self.sampling)

    def extra_repr(self) -> str:
        """Return the settings for the printed form of the network."""
        return f"probability={self.probability}, sampling={self.sampling}"


class _DownBlock(nn.Sequential):
    """A block that halves the plane: 4 x 4 convolution of stride 2, instance norm, LeakyReLU, dropout."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: bool, dropout: float) -> None:
        # A norm subtracts the mean and so any bias; a bias is used only if no norm follows.
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
    """A block that doubles the plane: transposed 4 x 4 convolution of stride 2, instance norm, ReLU, dropout."""

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
    """The head of the paper: double the plane by repeating pixels, convolve 4 x 4 to one channel, tanh.

    On repeated pixels, a 4 x 4 kernel covers at most 3 x 3 different ones. `forward` therefore adds the taps that fall
    on the same pixel and convolves before it doubles, with one 3 x 3 kernel for each of the four positions of a new
    pixel within its old one. The sums are the same in another order. This avoids planes of many channels at full size,
    which took over a quarter of the time of a training step on a CPU.
    """

    def __init__(self, in_channels: int) -> None:
        # Run one after the other, these layers give the same result as `forward`; only the convolution has weights.
        super().__init__(
            nn.Upsample(scale_factor=2),
            # To keep the size, an even kernel needs three pixels of padding: two before and one after.
            nn.ZeroPad2d((2, 1, 2, 1)),
            nn.Conv2d(in_channels, 1, kernel_size=4),
            nn.Tanh(),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the component (n, 1, 2 h, 2 w) of features (n, c, h, w)."""
        convolution = self[2]
        assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
        kernels = [kernel for rows in _fold_taps(convolution.weight, 2) for kernel in _fold_taps(rows, 3)]
        positions = functional.conv2d(features, torch.cat(kernels), convolution.bias.expand(4), padding=1)
        return torch.tanh(functional.pixel_shuffle(positions, 2))


def _fold_taps(weight: torch.Tensor, dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two kernels of 3 taps, for the first and the second half of a pixel, from one of 4 taps on doubled pixels.

    With two pixels of padding before, the 4 taps fall on the old pixels (previous, previous, same, same) for the first
    half and on (previous, same, same, next) for the second.
    """
    first, second, third, fourth = weight.unbind(dimension)
    return (
        torch.stack((first + second, third + fourth, torch.zeros_like(first)), dimension),
        torch.stack((first, second + third, fourth), dimension),
    )


class Pix2PixGenerator(nn.Module):
    """U-Net from a scattering plane to one of its two factors (paper, supporting information, figure 3).

    Every down-sampling block halves the plane. The first and the innermost have no instance norm; the three deepest
    have dropout. All up-sampling blocks have instance norm; the two deepest have dropout; the output of each is
    concatenated with that of the down-sampling block of the same size. The head doubles the plane once more by
    repeating pixels, and ends in tanh. With the default channels, the network has 29.2 M parameters.

    In evaluation mode, the output is a function of the input. `set_sampling` turns the noise on, to draw samples of
    G(x, z). The noise z comes from torch's random numbers, so `torch.manual_seed` determines the sample.

    Args:
        in_channels: number of input channels: the scattering, then the others of `dsfunet.networks.inputs`.
        channels: output channels of the down-sampling blocks, outermost first; three or more.
        dropout: probability of dropout in the blocks that have it, at least 0 and below 1.

    Raises:
        ValueError: a number of channels is not positive, there are fewer than three blocks, or the probability is out
            of its range.
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
            raise ValueError(f"channels is {tuple(channels)}; expected three or more positive numbers")
        if in_channels < 1:
            raise ValueError(f"in_channels is {in_channels}; expected 1 or more")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is {dropout}; expected a probability of at least 0 and below 1")
        self.in_channels = in_channels
        self.settings = {"in_channels": in_channels, "channels": list(channels), "dropout": dropout}
        depth = len(channels)
        self.size_step = 2**depth
        # With a single pixel at the bottom, the norms next to it would be computed from four values.
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
                # Except in the first block, the input is an up-sampled plane and a skip with as many channels.
                2 * up_channels[step - 1] if step else channels[-1],
                up_channels[step],
                dropout=dropout if step < _UP_BLOCKS_WITH_NOISE else 0.0,
            )
            for step in range(depth - 1)
        )
        self.head = _Head(2 * channels[0])
        initialise_weights(self)

    def set_sampling(self, enabled: bool) -> None:
        """Turn dropout in evaluation mode on or off.

        Args:
            enabled: True draws a new sample of G(x, z) in every pass; False gives the deterministic output.
        """
        for layer in self.modules():
            if isinstance(layer, NoiseDropout):
                layer.sampling = enabled

    def forward(self, scattering: torch.Tensor) -> torch.Tensor:
        """Map scattering planes to one component.

        Args:
            scattering: spread planes in [-1, 1], shape (n, in_channels, height, width); 256 x 256 pixels in the paper.
                Sides may be any multiple of 64 (2 to the number of blocks) from 128 on.

        Returns:
            The component, spread, in [-1, 1], shape (n, 1, height, width).

        Raises:
            InputError: the input has another number of channels or dimensions, or sides that do not fit.
        """
        self._check(scattering)
        skips: list[torch.Tensor] = []
        features = scattering
        for down in self.down:
            features = down(features)
            skips.append(features)
        skips.pop()  # the innermost output is `features` itself
        for up in self.up:
            features = torch.cat((up(features), skips.pop()), dim=1)
        component: torch.Tensor = self.head(features)
        return component

    def _check(self, scattering: torch.Tensor) -> None:
        if scattering.ndim != 4 or scattering.shape[1] != self.in_channels:
            raise InputError(
                f"the scattering has shape {tuple(scattering.shape)}; expected (n, {self.in_channels}, height, width)"
            )
        if any(side % self.size_step or side < self.size_min for side in scattering.shape[2:]):
            raise InputError(
                f"the planes have {scattering.shape[2]} x {scattering.shape[3]} pixels; expected sides that are"
                f" multiples of {self.size_step} and at least {self.size_min}"
            )
