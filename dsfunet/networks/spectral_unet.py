"""The release generator: a small U-Net on folded pixels with blocks that work on the plane's spectrum."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from dsfunet.errors import InputError

NORM_GROUPS = 8

INPUT_CHANNELS = ("scattering", "mask", "short_range_order")
"""What the input channels hold, in their order."""

MAX_CHANNELS = len(INPUT_CHANNELS)


class FourierBlock(nn.Module):
    """A residual block that mixes channels at each frequency: rfft2, two 1 x 1 convolutions, irfft2.

    The convolutions act on real and imaginary parts. Short-range order is exactly periodic, so its spectrum is a few
    points, and one layer covers the whole plane. The block works on `hidden_channels` channels and starts as the
    identity. Input and output are (n, c, h, w); the transform is always computed in float32.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.reduce = nn.Conv2d(channels, hidden_channels, 1)
        self.mix_in = nn.Conv2d(2 * hidden_channels, 2 * hidden_channels, 1)
        self.activation = nn.GELU()
        self.mix_out = nn.Conv2d(2 * hidden_channels, 2 * hidden_channels, 1)
        self.expand = nn.Conv2d(hidden_channels, channels, 1)
        self.reset_to_identity()

    def reset_to_identity(self) -> None:
        """Set the last layer to zero, which makes the block the identity."""
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with their spectrum mixed, of the same shape."""
        reduced = self.reduce(self.norm(features))
        spectrum = torch.fft.rfft2(reduced.float(), norm="ortho")
        parts = torch.cat([spectrum.real, spectrum.imag], dim=1)
        real, imaginary = self.mix_out(self.activation(self.mix_in(parts))).float().chunk(2, dim=1)
        mixed = torch.fft.irfft2(torch.complex(real, imaginary), s=reduced.shape[-2:], norm="ortho")
        expanded: Tensor = self.expand(mixed.to(features.dtype))
        return features + expanded


class ResidualBlock(nn.Module):
    """A residual block of two 3 x 3 convolutions, each after group norm and GELU; (n, c, h, w) in and out."""

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

    def reset_to_identity(self) -> None:
        """Set the last layer to zero, which makes the block the identity."""
        for parameter in self.body[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus the output of both convolutions, of the same shape."""
        change: Tensor = self.body(features)
        return features + change


def logarithm_channel(plane: Tensor, floor: float = 1e-3) -> Tensor:
    """Return the logarithm of the scattering, (n, 1, h, w), with mean 0 and variance 1; missing pixels are 0.

    The logarithm turns the product of a smooth and a periodic function into a sum, which linear filters can separate.
    Mean and variance are those of the measured pixels. `plane` is (n, c, h, w): channel 0 is the spread scattering and
    channel 1, if present, the mask (1 = measured). `floor` is added to the intensity, in [0, 1], so that dark pixels do
    not dominate.
    """
    intensity = ((plane[:, :1].float() + 1) / 2).square()
    measured = plane[:, 1:2].float() if plane.shape[1] > 1 else torch.ones_like(intensity)
    logarithm = torch.log(intensity + floor)
    count = measured.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    centred = (logarithm - (logarithm * measured).sum(dim=(2, 3), keepdim=True) / count) * measured
    variance = centred.square().sum(dim=(2, 3), keepdim=True) / count
    return (centred * torch.rsqrt(variance + 1e-6)).to(plane.dtype)


def quotient_channel(plane: Tensor, floor: float = 0.05) -> Tensor:
    """Return the square root of scattering divided by short-range order, (n, 1, h, w), 0 or more.

    It is sqrt(I S) / (S + floor), with S the I_SRO in channel 2. Where S is bright, this is the square root of the form
    factor; where S is dark, it is 0. It is 0 too where nothing was measured, and in planes whose I_SRO is not known
    (channel 2 is 0 everywhere, see `SpectralUNet`).
    """
    intensity, order = (((plane[:, channel].float() + 1) / 2).square() for channel in (0, 2))
    known = plane[:, 2].flatten(1).any(dim=1)[:, None, None]
    quotient = torch.sqrt(intensity * order) / (order + floor) * plane[:, 1].float() * known
    return quotient[:, None].to(plane.dtype)


class SpectralUNet(nn.Module):
    """A generator of one component: pixels folded into channels, then a U-Net with a Fourier block in each stage.

    The input is (n, in_channels, h, w). Channel 0 is the spread scattering in [-1, 1]. Channel 1, if present, is the
    mask (1 = measured). Channel 2, if present, is the spread I_SRO where it is known, with its maximum at 1 and its
    minimum not subtracted, and 0 everywhere where it is not known (`dsfunet.networks.inputs`). The stem also gets the
    logarithm of the scattering (`logarithm_channel`) and, with channel 2, the quotient of both (`quotient_channel`).
    The output is the spread component, (n, 1, h, w), in [-1, 1]. h and w must be divisible by fold * 2^(stages - 1).

    Args:
        in_channels: number of input channels, 1 to 3: scattering, mask, short-range order.
        channels: channels of each stage, multiples of 8; the first stage has side h / fold, each next one half of it.
        blocks: number of pairs of a residual and a Fourier block in each stage.
        fourier_channels: channels of the Fourier blocks of each stage.
        fold: side of the square of pixels that is folded into channels.

    Raises:
        InputError: the settings make no network, or the sides of an input are not divisible as above.
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
                "SpectralUNet: expected one entry per stage, two or more, in channels, blocks and fourier_channels each"
            )
        if min(in_channels, fold, *channels, *blocks, *fourier_channels) < 1:
            raise InputError(
                "SpectralUNet: a number of channels, blocks or folded pixels is below 1; expected 1 or more"
            )
        if in_channels > MAX_CHANNELS:
            raise InputError(f"SpectralUNet: in_channels is {in_channels}; expected 1 to {MAX_CHANNELS}")
        if any(count % NORM_GROUPS for count in channels):
            raise InputError(
                f"SpectralUNet: channels is {list(channels)}; expected multiples of {NORM_GROUPS}"
            )
        self.in_channels = in_channels
        self.settings: dict[str, Any] = {
            "in_channels": in_channels,
            "channels": list(channels),
            "blocks": list(blocks),
            "fourier_channels": list(fourier_channels),
            "fold": fold,
        }
        self.divisor = fold * 2 ** (len(channels) - 1)
        self.unfold = nn.PixelUnshuffle(fold)
        self.stem_channels = [*INPUT_CHANNELS[:in_channels], "logarithm"]
        if in_channels == MAX_CHANNELS:
            self.stem_channels.append("quotient")
        self.stem = nn.Conv2d(len(self.stem_channels) * fold**2, channels[0], 3, padding=1)

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
        """Return the spread component (n, 1, h, w) of planes (n, in_channels, h, w)."""
        if plane.shape[-1] % self.divisor or plane.shape[-2] % self.divisor:
            raise InputError(
                f"the planes have {plane.shape[-2]} x {plane.shape[-1]} pixels; expected sides divisible by"
                f" {self.divisor}"
            )
        return self.decode(*self.encode(plane))

    def encode(self, plane: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the features of the deepest stage, and those of the others from the outermost in, of planes."""
        shown = [plane, logarithm_channel(plane)]
        if self.in_channels == MAX_CHANNELS:
            shown.append(quotient_channel(plane))
        features = self.stem(self.unfold(torch.cat(shown, dim=1)))
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            features = stage(features)
            skips.append(features)
            features = down(features)
        return self.bottom(features), skips

    def decode(self, features: Tensor, skips: list[Tensor]) -> Tensor:
        """Return the spread component (n, 1, h, w) of the features that `encode` gives."""
        for up, fuse, stage, skip in zip(self.up, self.fuse, self.decoder, reversed(skips), strict=True):
            features = stage(fuse(torch.cat([up(features), skip], dim=1)))
        output: Tensor = self.head(features)
        return output

    @torch.no_grad()
    def grow_from(self, smaller: "SpectralUNet") -> None:
        """Load the weights of a network with fewer input channels or blocks, so that both give the same output.

        Additional blocks become the identity; additional channels get weight 0.

        Raises:
            InputError: the other network has more blocks or input channels, or differs in other settings.
        """
        settings, given = self.settings, smaller.settings
        may_differ = {"in_channels": smaller.in_channels, "blocks": given["blocks"]}
        fits = {**settings, **may_differ} == given and self.in_channels >= smaller.in_channels
        if not fits or any(more < few for more, few in zip(settings["blocks"], given["blocks"], strict=True)):
            raise InputError(
                f"the weights are of a SpectralUNet with {given}; expected at most the blocks and input channels of"
                f" {settings}, and all other settings equal"
            )
        state = smaller.state_dict()
        known = dict(
            zip(smaller.stem_channels, state["stem.weight"].split(given["fold"] ** 2, dim=1), strict=True)
        )
        nothing = torch.zeros_like(known["scattering"])
        state["stem.weight"] = torch.cat([known.get(name, nothing) for name in self.stem_channels], dim=1)
        for module in self.modules():
            if isinstance(module, ResidualBlock | FourierBlock):
                module.reset_to_identity()
        self.load_state_dict({**self.state_dict(), **state})
