"""The release generator: a small U-Net on folded pixels that also sees the plane's spectrum."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from dsfunet.errors import InputError

NORM_GROUPS = 8

SHOWN = ("scattering", "mask", "short_range_order")
"""What a network can be shown, in the order of its input channels."""

MOST_CHANNELS = len(SHOWN)


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
        self.vanish()

    def vanish(self) -> None:
        """Become the identity, from which training may start."""
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)

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

    def vanish(self) -> None:
        """Become the identity, from which training may start."""
        for parameter in self.body[-1].parameters():
            nn.init.zeros_(parameter)

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


def quotient_channel(plane: Tensor, floor: float = 0.05) -> Tensor:
    """The root of the scattering divided by the short-range order shown beside it, (n, 1, h, w), 0 or more.

    sqrt(I S) / (S + floor): where I_SRO is bright that is the root of the form factor, where it is dark 0; 0 too where
    nothing was measured, and in planes whose I_SRO is not shown (channel 2 all zero, see `SpectralUNet`).
    """
    intensity, order = (((plane[:, channel].float() + 1) / 2).square() for channel in (0, 2))
    known = plane[:, 2].flatten(1).any(dim=1)[:, None, None]
    quotient = torch.sqrt(intensity * order) / (order + floor) * plane[:, 1].float() * known
    return quotient[:, None].to(plane.dtype)


class SpectralUNet(nn.Module):
    """One component from a plane: pixels folded into channels, a U-Net with a Fourier block per stage.

    Beside its input the stem is given the input's logarithm (`logarithm_channel`).

    Input (n, in_channels, h, w): channel 0 the spread scattering in [-1, 1]; channel 1, with 2 channels or more, the
    mask (1 = measured); channel 2, with 3, the spread I_SRO where it is known, its maximum 1 and its minimum not
    taken away, and 0 everywhere where it is not (`dsfunet.networks.inputs`). With it the stem is given the quotient of
    both as well (`quotient_channel`). Output (n, 1, h, w) in [-1, 1], the spread component. `channels` are those of
    the stages, the first at h/`fold`, each next at half the side; h and w must be divisible by fold * 2^(stages - 1).

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
        if in_channels > MOST_CHANNELS:
            raise InputError(f"SpectralUNet: in_channels {in_channels}: expected 1 to {MOST_CHANNELS}")
        if any(count % NORM_GROUPS for count in channels):
            raise InputError(f"SpectralUNet: channels {list(channels)}: expected multiples of {NORM_GROUPS}")
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
        self.stem_channels = [*SHOWN[:in_channels], "logarithm"]
        if in_channels == MOST_CHANNELS:
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
        """The spread component (n, 1, h, w) of planes (n, in_channels, h, w)."""
        if plane.shape[-1] % self.divisor or plane.shape[-2] % self.divisor:
            raise InputError(
                f"plane of {tuple(plane.shape[-2:])} pixels: sides must be divisible by {self.divisor}"
            )
        return self.decode(*self.encode(plane))

    def encode(self, plane: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features of the deepest stage and, outermost first, of those above it, of planes (n, in_channels, h, w)."""
        shown = [plane, logarithm_channel(plane)]
        if self.in_channels == MOST_CHANNELS:
            shown.append(quotient_channel(plane))
        features = self.stem(self.unfold(torch.cat(shown, dim=1)))
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

    @torch.no_grad()
    def grow_from(self, smaller: "SpectralUNet") -> None:
        """Take over the weights of a network with fewer input channels or blocks, so that both answer alike.

        What is new starts as nothing: blocks as the identity, channels with weight 0.

        Raises:
            InputError: the other network is not a smaller one of this kind.
        """
        settings, given = self.settings, smaller.settings
        may_differ = {"in_channels": smaller.in_channels, "blocks": given["blocks"]}
        fits = {**settings, **may_differ} == given and self.in_channels >= smaller.in_channels
        if not fits or any(more < few for more, few in zip(settings["blocks"], given["blocks"], strict=True)):
            raise InputError(
                f"SpectralUNet of {given}: expected one of at most the blocks and input channels of {settings}, and"
                " else the same"
            )
        state = smaller.state_dict()
        known = dict(
            zip(smaller.stem_channels, state["stem.weight"].split(given["fold"] ** 2, dim=1), strict=True)
        )
        nothing = torch.zeros_like(known["scattering"])
        state["stem.weight"] = torch.cat([known.get(name, nothing) for name in self.stem_channels], dim=1)
        for module in self.modules():
            if isinstance(module, ResidualBlock | FourierBlock):
                module.vanish()
        self.load_state_dict({**self.state_dict(), **state})
