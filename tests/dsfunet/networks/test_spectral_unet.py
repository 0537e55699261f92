"""The release generator: its Fourier block starts as the identity and covers the whole plane; its size."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from dsfunet.errors import InputError
from dsfunet.networks import SpectralUNet, spectral_unet
from dsfunet.networks.spectral_unet import FourierBlock, ResidualBlock, logarithm_channel

CONFIGS = Path(__file__).parents[3] / "configs"


def tiny(**settings: object) -> SpectralUNet:
    torch.manual_seed(0)
    return SpectralUNet(**{"channels": (8, 16), "blocks": (1, 1), "fourier_channels": (4, 8), **settings})


def random_planes(samples: int = 1, side: int = 32, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return 2 * torch.rand(samples, channels, side, side, generator=generator) - 1


def wake(network: nn.Module) -> None:
    """Give the layers that start at zero some weight, as training would."""
    generator = torch.Generator().manual_seed(7)
    for block in network.modules():
        if isinstance(block, FourierBlock):
            block.expand.weight.data = 0.3 * torch.randn(block.expand.weight.shape, generator=generator)


def test_fourier_block_is_the_identity_at_the_start() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 8, 16, 12)
    assert torch.equal(FourierBlock(8, 4)(features), features)


def test_fourier_block_is_its_definition() -> None:
    torch.manual_seed(0)
    block = FourierBlock(8, 4)
    wake(block)
    features = torch.randn(1, 8, 6, 10)
    with torch.no_grad():
        reduced = block.reduce(block.norm(features))
        # The same in plain complex arithmetic over the whole, two-sided spectrum: irfft2 leaves the half that
        # rfft2 does not keep to be the conjugate of the other.
        half = torch.fft.fft2(reduced, norm="ortho")[..., :6]
        parts = torch.cat([half.real, half.imag], dim=1)
        mixed = block.mix_out(nn.functional.gelu(block.mix_in(parts)))
        whole = torch.zeros(1, 4, 6, 10, dtype=torch.complex64)
        whole[..., :6] = torch.complex(mixed[:, :4], mixed[:, 4:])
        for row in range(6):
            for column in range(6, 10):
                whole[..., row, column] = whole[..., -row % 6, -column % 10].conj()
        # Columns 0 and 5 are their own partners: only their Hermitian part can come from a real plane.
        for column in (0, 5):
            kept = whole[..., column].clone()
            for row in range(6):
                whole[..., row, column] = (kept[..., row] + kept[..., -row % 6].conj()) / 2
        expected = features + block.expand(torch.fft.ifft2(whole, norm="ortho").real)
        torch.testing.assert_close(block(features), expected, rtol=0, atol=1e-5)


def test_only_the_fourier_block_sees_the_whole_plane() -> None:
    torch.manual_seed(0)
    fourier = FourierBlock(8, 4)
    wake(fourier)
    local = ResidualBlock(8)
    for block in (fourier, local):
        # A group norm sees the whole plane too, though only its mean and variance: it is left out here.
        for name, layer in list(block.named_modules()):
            if isinstance(layer, nn.GroupNorm):
                parent = block.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], nn.Identity())
    features = torch.randn(1, 8, 32, 32)
    changed = features.clone()
    changed[..., 0, 0] += 1.0
    with torch.no_grad():
        far_fourier = (fourier(changed) - fourier(features)).abs()[..., 12:20, 12:20].amax(dim=1)
        far_local = (local(changed) - local(features)).abs()[..., 12:20, 12:20]
    assert far_local.max() == 0.0
    # A GELU in the spectrum mixes all distances: no pixel of the far block is left out.
    assert far_fourier.min() > 1e-6


def test_network_sees_the_whole_plane_through_its_fourier_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Group norms and the logarithm's normalisation see the whole plane too, though only its mean and variance.
    monkeypatch.setattr(spectral_unet, "logarithm_channel", lambda plane: torch.zeros_like(plane[:, :1]))
    network = tiny().eval()
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.GroupNorm):
            setattr(network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], nn.Identity())
    planes = random_planes(side=128)
    changed = planes.clone()
    changed[0, 0, 0, 0] += 1.0
    with torch.no_grad():
        before = (network(changed) - network(planes)).abs()[0, 0, 64:, 64:].max()
        wake(network)
        after = (network(changed) - network(planes)).abs()[0, 0, 64:, 64:].max()
    assert before == 0.0
    assert after > 1e-6


def test_logarithm_is_normalised_over_measured_pixels() -> None:
    planes = random_planes(2)
    planes[:, 1] = (planes[:, 1] > -0.4).float()
    planes[:, :1] = torch.where(planes[:, 1:] > 0, planes[:, :1], -1.0)
    for plane, channel in zip(planes.double(), logarithm_channel(planes)[:, 0], strict=True):
        logarithm, measured = torch.log(((plane[0] + 1) / 2) ** 2 + 1e-3), plane[1] > 0
        values = logarithm[measured]
        expected = torch.where(measured, (logarithm - values.mean()) / values.std(correction=0), 0.0)
        torch.testing.assert_close(channel.double(), expected, rtol=0, atol=1e-4)
    everywhere = torch.cat([planes[:, :1], torch.ones_like(planes[:, :1])], dim=1)
    torch.testing.assert_close(logarithm_channel(everywhere[:, :1]), logarithm_channel(everywhere))


def test_logarithm_turns_a_product_into_a_sum() -> None:
    intensity = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 0.9 + 0.1

    def channel(linear: Tensor) -> Tensor:
        return logarithm_channel(2 * linear.sqrt() - 1, floor=0.0)

    first, second = intensity
    parts = [torch.log(part) - torch.log(part).mean() for part in (first, second)]
    expected = (parts[0] + parts[1]) / (parts[0] + parts[1]).std(correction=0)
    torch.testing.assert_close(channel((first * second)[None])[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("measured", [0.0, 1.0])
def test_logarithm_of_a_plane_with_nothing_in_it_is_zero(value: float, measured: float) -> None:
    plane = torch.stack([torch.full((8, 8), value), torch.full((8, 8), measured)])[None]
    assert logarithm_channel(plane).abs().max() < 1e-2


def test_output_is_in_range_and_uses_it() -> None:
    network = tiny()
    last = network.head[2]
    assert isinstance(last, nn.Conv2d)
    last.weight.data *= 100
    with torch.no_grad():
        component = network(random_planes(2))
    assert component.shape == (2, 1, 32, 32)
    assert component.min() < -0.9 and component.max() > 0.9
    assert component.abs().max() <= 1.0


def test_mask_channel_is_seen() -> None:
    network = tiny()
    planes = random_planes()
    changed = planes.clone()
    changed[:, 1] = 0.0
    with torch.no_grad():
        assert (network(changed) - network(planes)).abs().max() > 1e-3


def test_a_plane_does_not_depend_on_its_neighbours() -> None:
    network = tiny().eval()
    wake(network)
    planes = random_planes(3)
    with torch.no_grad():
        torch.testing.assert_close(network(planes)[1:2], network(planes[1:2]), rtol=0, atol=1e-5)


def test_gradient_reaches_every_parameter() -> None:
    network = tiny()
    wake(network)
    (network(random_planes()) - random_planes()[:, :1]).abs().mean().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None and weights.grad.abs().max() > 0, name


def test_oblong_planes_and_three_stages() -> None:
    network = tiny(channels=(8, 8, 16), blocks=(1, 2, 1), fourier_channels=(4, 4, 8), in_channels=1)
    with torch.no_grad():
        assert network(random_planes(channels=1)[..., :16]).shape == (1, 1, 32, 16)


@pytest.mark.parametrize(("height", "width"), [(30, 32), (32, 36)])
def test_sides_that_do_not_divide(height: int, width: int) -> None:
    with pytest.raises(InputError, match=rf"{height} x {width} pixels; .*divisible by 8"):
        tiny()(torch.zeros(1, 2, height, width))


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": (8,), "blocks": (1,), "fourier_channels": (4,)},
        {"blocks": (1, 1, 1)},
        {"fourier_channels": (4,)},
    ],
)
def test_settings_of_unequal_length(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected one entry per stage"):
        tiny(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 0}, "below 1"),
        ({"in_channels": 0}, "below 1"),
        ({"blocks": (1, 0)}, "below 1"),
        ({"fourier_channels": (4, -8)}, "below 1"),
        ({"channels": (8, 12)}, r"\[8, 12\]; expected multiples of 8"),
    ],
)
def test_settings_that_make_no_network(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny(**settings)


def test_settings_make_the_same_network_again() -> None:
    network = tiny(channels=[8, 24], blocks=(2, 1), in_channels=1)
    again = SpectralUNet(**network.settings)
    again.load_state_dict(network.state_dict())
    planes = random_planes(channels=1)
    with torch.no_grad():
        assert torch.equal(again(planes), network(planes))


def test_bfloat16_autocast() -> None:
    network = tiny().eval()
    wake(network)
    planes = random_planes()
    with torch.no_grad():
        exact = network(planes)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network(planes)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().max() < 0.2 * exact.std()


def test_channels_last_changes_nothing() -> None:
    network = tiny().eval()
    wake(network)
    planes = random_planes(2)
    with torch.no_grad():
        expected = network(planes)
        network.to(memory_format=torch.channels_last)
        output = network(planes.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def test_release_networks_fit_in_25_megabytes() -> None:
    model = yaml.safe_load((CONFIGS / "release.yaml").read_text(encoding="utf-8"))["model"]
    counts = []
    for component in ("form_factor", "short_range_order"):
        network = SpectralUNet(**model[f"{component}_generator"]["init_args"])
        counts.append(sum(weights.numel() for weights in network.parameters()))
    assert max(counts) <= 5_000_000
    assert 2 * sum(counts) < 25e6  # bytes in half precision
