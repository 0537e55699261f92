"""The PatchGAN: its size, the patch of each logit, and that it uses both inputs."""

import pytest
import torch
from torch import nn

from dsfunet.errors import InputError
from dsfunet.networks.patch_discriminator import PatchDiscriminator

RECEPTIVE_FIELD = 94  # 4 x 4, stride 2, four times: 4, 10, 22, 46; then three more steps of 16
SMALL = (4, 8, 8, 8)


def random_planes(side: int = 256, samples: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    component, scattering = 2 * torch.rand(2, samples, 1, side, side, generator=generator) - 1
    return component, scattering


def build_small() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(SMALL)


def build_without_norm() -> PatchDiscriminator:
    """Instance norm lets every pixel of a plane into every logit; without it the patches show."""
    network = build_small()
    for index, layer in enumerate(network.layers):
        if isinstance(layer, nn.InstanceNorm2d):
            network.layers[index] = nn.Identity()
    return network


def test_parameter_count() -> None:
    # 16 (2*64 + 64*128 + 128*256 + 256*512 + 512) weights, biases 64 and 1.
    assert sum(weights.numel() for weights in PatchDiscriminator().parameters()) == 2_762_816 + 1


def test_paper_network_gives_16_by_16_logits() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator()
    with torch.no_grad():
        logits = network(*random_planes())
    assert logits.shape == (1, 1, 16, 16)
    assert logits.min() < 0 < logits.max()  # logits, not probabilities


def test_norm_in_every_block_but_the_first() -> None:
    network = build_small()
    kinds = [type(layer) for layer in network.layers]
    block = [nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *block, *block, *block, nn.ZeroPad2d, nn.Conv2d]
    assert [layer.negative_slope for layer in network.layers if isinstance(layer, nn.LeakyReLU)] == [0.2] * 4


def test_depends_on_both_inputs_and_on_which_is_which() -> None:
    network = build_small()
    component, scattering = random_planes()
    with torch.no_grad():
        logits = network(component, scattering)
        assert not torch.allclose(network(component.flip(-1), scattering), logits, atol=1e-3)
        assert not torch.allclose(network(component, scattering.flip(-1)), logits, atol=1e-3)
        assert not torch.allclose(network(scattering, component), logits, atol=1e-3)


def test_a_sample_does_not_depend_on_its_neighbours() -> None:
    network = build_small()
    component, scattering = random_planes(samples=3)
    with torch.no_grad():
        together = network(component, scattering)
        alone = network(component[1:2], scattering[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


def test_a_logit_sees_a_patch_of_94_pixels() -> None:
    network = build_without_norm()
    component, scattering = random_planes()
    component.requires_grad_()
    network(component, scattering)[0, 0, 8, 8].backward()
    assert component.grad is not None
    rows = component.grad[0, 0].abs().amax(dim=1).nonzero().flatten()
    columns = component.grad[0, 0].abs().amax(dim=0).nonzero().flatten()
    for seen in (rows, columns):
        assert seen.max() - seen.min() + 1 == RECEPTIVE_FIELD
        # The patch of logit 8 holds the middle of its own 16 pixels, 128 to 143.
        assert seen.min() < 128 and seen.max() > 143


def test_a_far_corner_is_out_of_sight() -> None:
    network = build_without_norm()
    component, scattering = random_planes()
    changed = component.clone()
    changed[..., -1, -1] += 1.0
    with torch.no_grad():
        difference = (network(changed, scattering) - network(component, scattering)).abs()[0, 0]
    assert difference[0, 0] == 0.0
    assert difference[-1, -1] > 0.0
    # Only the last rows and columns of logits reach the corner.
    assert difference[:12].max() == difference[:, :12].max() == 0.0


def test_gradient_reaches_every_parameter() -> None:
    network = build_small()
    network(*random_planes(64)).square().mean().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None and weights.grad.abs().max() > 0, name


def test_bfloat16_autocast() -> None:
    network = build_small()
    component, scattering = random_planes()
    with torch.no_grad():
        exact = network(component, scattering)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network(component, scattering)
    assert rounded.dtype == torch.bfloat16
    spread = exact.std().item()
    assert (rounded.float() - exact).abs().max().item() < 0.2 * spread


def test_bad_input() -> None:
    network = build_small()
    plane = torch.zeros(1, 1, 64, 64)
    with pytest.raises(InputError, match=r"\(1, 1, 32, 64\).*for both"):
        network(plane, plane[:, :, :32])
    with pytest.raises(InputError, match="for both"):
        network(plane.expand(1, 2, 64, 64), plane.expand(1, 2, 64, 64))
    with pytest.raises(InputError, match=r"16 x 64 pixels.*at least 32"):
        network(plane[:, :, :16], plane[:, :, :16])


@pytest.mark.parametrize("channels", [(), (64, 0)])
def test_bad_channels(channels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="positive"):
        PatchDiscriminator(channels)
