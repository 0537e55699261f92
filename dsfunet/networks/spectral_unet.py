"""The release generator: a small U-Net on folded pixels that also sees the plane's spectrum."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from dsfunet.errors import InputError

NORM_GROUPS = 8


class FourierBlock(nn.Module):
    """Mixes channels frequency by frequency: rfft2, two 1 x 1 convolutions on real and imaginary parts, irfft2.

    Short-range order is exactly periodic, so in the spectrum it lies on a few points: here one layer sees the
    whole plane. Works on `hidden_channels` channels, is residual, and starts as the identity. (n, c, h, w) in
    and out; the transform is done in float32 whatever the precision of the rest.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.reduce = nn.Conv2d(channels, hidden_channels, 1)
        self.mix_in = nn.Conv2d(2 * hidden_channels, 2 * hidden_channels, 1)
        self.activation = nn.GELU()
        self.mix_out = nn.Conv2d(2 * hidden_channels, 2 * hidden_channels, 1)
        self.expand = nn.Conv2d(hidden_channels, channels, 1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)

    def forward(self, features: Tensor) -> Tensor:
        """The features with their spectrum mixed, of the same shape."""
        reduced = self.reduce(self.norm(features))
        spectrum = torch.fft.rfft2(reduced.float(), norm="ortho")
        parts = torch.cat([spectrum.real, spectrum.imag], dim=1)
        real, imaginary = self.mix_out(self.activation(self.mix_in(parts))).float().chunk(2, dim=1)
        mixed = torch.fft.irfft2(torch.complex(real, imaginary), s=reduced.shape[-2:], norm="ortho")
        expanded: Tensor = self.expand(mixed.to(features.dtype))
        return features + expanded


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with group norm and GELU before each, added to the input; (n, c, h, w) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(NORM_GROUPS, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(NORM_GROUPS, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The features after both convolutions, of the same shape."""
        change: Tensor = self.body(features)
        return features + change


def logarithm_channel(plane: Tensor, floor: float = 1e-3) -> Tensor:
    """The logarithm of the scattering, (n, 1, h, w), with measured mean 0 and variance 1 and missing pixels at 0.

    In the logarithm the product of smooth and periodic becomes a sum, which linear filters take apart. `plane` is
    (n, c, h, w): channel 0 the spread scattering, channel 1, where there is one, the mask (1 = measured). `floor`
    is added to the intensity in [0, 1], so that dark pixels do not rule.
    """
    intensity = ((plane[:, :1].float() + 1) / 2).square()
    measured = plane[:, 1:2].float() if plane.shape[1] > 1 else torch.ones_like(intensity)
    logarithm = torch.log(intensity + floor)
    count = measured.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    centred = (logarithm - (logarithm * measured).sum(dim=(2, 3), keepdim=True) / count) * measured
    variance = centred.square().sum(dim=(2, 3), keepdim=True) / count
    return (centred * torch.rsqrt(variance + 1e-6)).to(plane.dtype)


class SpectralUNet(nn.Module):
    """One component from a plane: pixels folded into channels, a U-Net with a Fourier block per stage.

    Beside its input the stem is given the input's logarithm (`logarithm_channel`).

    Input (n, in_channels, h, w): channel 0 the spread scattering in [-1, 1], channel 1 the mask (1 = measured)
    where `in_channels` is 2. Output (n, 1, h, w) in [-1, 1], the spread component. `channels` are those of the
    stages, the first at h/`fold`, each next at half the side; h and w must be divisible by fold * 2^(stages - 1).

    Raises:
        InputError: settings that make no network, or an input whose sides are not divisible as above.
    """

    def __init__(
        self,
        in_channels: int = 2,
        channels: Sequence[int] = (48, 96, 192),
        blocks: Sequence[int] = (1, 1, 2),
        fourier_channels: Sequence[int] = (24, 48, 96),
        fold: int = 4,
    ) -> None:
        super().__init__()
        if not len(channels) == len(blocks) == len(fourier_channels) >= 2:
            raise InputError(
                "SpectralUNet: channels, blocks and fourier_channels need one entry a stage, two at least"
            )
        if min(in_channels, fold, *channels, *blocks, *fourier_channels) < 1:
            raise InputError("SpectralUNet: found a number of channels, blocks or pixels below 1")
        if any(count % NORM_GROUPS for count in channels):
            raise InputError(f"SpectralUNet: channels {list(channels)}: expected multiples of {NORM_GROUPS}")
        self.in_channels = in_channels
        self.settings = {
            "in_channels": in_channels,
            "channels": list(channels),
            "blocks": list(blocks),
            "fourier_channels": list(fourier_channels),
            "fold": fold,
        }
        self.divisor = fold * 2 ** (len(channels) - 1)
        self.unfold = nn.PixelUnshuffle(fold)
        self.stem = nn.Conv2d((in_channels + 1) * fold**2, channels[0], 3, padding=1)

        def stage(depth: int) -> nn.Sequential:
            width, hidden = channels[depth], fourier_channels[depth]
            pairs = ((ResidualBlock(width), FourierBlock(width, hidden)) for _ in range(blocks[depth]))
            return nn.Sequential(*chain.from_iterable(pairs))

        deepest = len(channels) - 1
        self.encoder = nn.ModuleList(stage(depth) for depth in range(deepest))
        self.down = nn.ModuleList(
            nn.Conv2d(channels[d], channels[d + 1], 2, stride=2) for d in range(deepest)
        )
        self.bottom = stage(deepest)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(channels[d + 1], channels[d], 2, stride=2) for d in reversed(range(deepest))
        )
        self.fuse = nn.ModuleList(
            nn.Conv2d(2 * channels[d], channels[d], 1) for d in reversed(range(deepest))
        )
        self.decoder = nn.ModuleList(stage(depth) for depth in reversed(range(deepest)))
        self.head = nn.Sequential(
            nn.GroupNorm(NORM_GROUPS, channels[0]),
            nn.GELU(),
            nn.Conv2d(channels[0], fold**2, 3, padding=1),
            nn.PixelShuffle(fold),
            nn.Tanh(),
        )

    def forward(self, plane: Tensor) -> Tensor:
        """The spread component (n, 1, h, w) of planes (n, in_channels, h, w)."""
        if plane.shape[-1] % self.divisor or plane.shape[-2] % self.divisor:
            raise InputError(
                f"plane of {tuple(plane.shape[-2:])} pixels: sides must be divisible by {self.divisor}"
            )
        return self.decode(*self.encode(plane))

    def encode(self, plane: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features of the deepest stage and, outermost first, of those above it, of planes (n, in_channels, h, w)."""
        features = self.stem(self.unfold(torch.cat([plane, logarithm_channel(plane)], dim=1)))
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            features = stage(features)
            skips.append(features)
            features = down(features)
        return self.bottom(features), skips

    def decode(self, features: Tensor, skips: list[Tensor]) -> Tensor:
        """The spread component (n, 1, h, w) of what `encode` gave."""
        for up, fuse, stage, skip in zip(self.up, self.fuse, self.decoder, reversed(skips), strict=True):
            features = stage(fuse(torch.cat([up(features), skip], dim=1)))
        output: Tensor = self.head(features)
        return output
