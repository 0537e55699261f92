"""Starting weights: their distribution, and that a seed determines them."""

import pytest
import torch
from torch import nn

from dsfunet.networks.initialisation import initialise_weights


def build_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(16, 64, 4),
        nn.InstanceNorm2d(64, affine=True),
        nn.Sequential(nn.ConvTranspose2d(64, 16, 4), nn.InstanceNorm2d(16)),
        nn.BatchNorm2d(2048),
    )


@pytest.mark.parametrize("standard_deviation", [0.02, 0.1])
def test_distribution(standard_deviation: float) -> None:
    network = build_network()
    initialise_weights(network, standard_deviation, torch.Generator().manual_seed(0))
    parameters = dict(network.named_parameters())
    for name in (
        "0.weight",
        "2.0.weight",
    ):  # 16384 each: standard errors of the mean 0.8 %, of the width 0.6 %
        assert abs(parameters[name].mean().item()) < 0.03 * standard_deviation
        assert parameters[name].std().item() == pytest.approx(standard_deviation, rel=0.03)
    for name in ("1.weight", "3.weight"):  # scales of norms, 64 and 2048
        assert parameters[name].mean().item() == pytest.approx(1.0, abs=0.5 * standard_deviation)
        assert parameters[name].std().item() == pytest.approx(standard_deviation, rel=0.3)
    biases = [value for name, value in parameters.items() if name.endswith("bias")]
    assert len(biases) == 4
    assert all(not bias.any() for bias in biases)


def test_a_generator_settles_the_weights_and_leaves_the_global_one_alone() -> None:
    first, second = build_network(), build_network()
    state = torch.get_rng_state()
    initialise_weights(first, generator=torch.Generator().manual_seed(7))
    initialise_weights(second, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(weights.requires_grad for weights in first.parameters())


@pytest.mark.parametrize("standard_deviation", [-0.1, float("nan")])
def test_bad_width(standard_deviation: float) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        initialise_weights(build_network(), standard_deviation)
