"""The paper's generator: its size, the places of its norms and its noise, and its skips."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from dsfunet.errors import InputError
from dsfunet.networks.initialisation import initialise_weights
from dsfunet.networks.pix2pix_generator import NoiseDropout, Pix2PixGenerator

SMALL = (4, 8, 8, 12, 12, 12)


@pytest.fixture(scope="module")
def paper_generator() -> Pix2PixGenerator:
    torch.manual_seed(0)
    return Pix2PixGenerator().eval()


@pytest.fixture
def small_generator() -> Pix2PixGenerator:
    torch.manual_seed(0)
    return Pix2PixGenerator(channels=SMALL).eval()


def random_plane(side: int = 128, in_channels: int = 1, samples: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return 2 * torch.rand(samples, in_channels, side, side, generator=generator) - 1


def block_inputs(network: Pix2PixGenerator, scattering: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each block and the head received in one pass."""
    received: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def hook(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            received[name] = arguments[0].clone()

        return hook

    blocks = dict(network.named_modules())
    names = [f"down.{level}" for level in range(6)] + [f"up.{step}" for step in range(5)] + ["head"]
    handles = [blocks[name].register_forward_pre_hook(keep(name)) for name in names]
    with torch.no_grad():
        network(scattering)
    for handle in handles:
        handle.remove()
    return received


def test_parameter_count_is_the_papers(paper_generator: Pix2PixGenerator) -> None:
    count = sum(weights.numel() for weights in paper_generator.parameters())
    assert round(count / 1e6, 1) == 29.2
    # Sixteen weights a pair of channels: down 1*64 + 64*128 + 128*256 + 256*512 + 2*512*512 = 696,384; up
    # 512*512 + 1024*512 + 1024*256 + 512*128 + 256*64 + 128*1 = 1,130,624. Biases: 64, 512 and 1.
    assert count == 16 * (696_384 + 1_130_624) + 577


def test_paper_network_answers_in_range(paper_generator: Pix2PixGenerator) -> None:
    with torch.no_grad():
        component = paper_generator(random_plane(256))
    assert component.shape == (1, 1, 256, 256)
    assert component.abs().max() <= 1.0
    assert component.std() > 1e-3


def test_output_stays_in_range_for_wild_weights(small_generator: Pix2PixGenerator) -> None:
    initialise_weights(small_generator, standard_deviation=20.0)
    with torch.no_grad():
        component = small_generator(random_plane())
    assert component.min() < -0.9 and component.max() > 0.9
    assert component.abs().max() <= 1.0


def test_noise_sits_three_down_and_two_up_blocks_deep(small_generator: Pix2PixGenerator) -> None:
    received = block_inputs(small_generator, random_plane())
    blocks = dict(small_generator.named_modules())
    small_generator.train()
    with torch.no_grad():
        noisy = {name for name, seen in received.items() if not blocks[name](seen).equal(blocks[name](seen))}
    assert noisy == {"down.3", "down.4", "down.5", "up.0", "up.1"}


def test_norm_in_every_block_but_the_first_and_the_innermost(small_generator: Pix2PixGenerator) -> None:
    # The output of an instance norm does not depend on the scale of its input, unless that is near epsilon.
    initialise_weights(small_generator, standard_deviation=0.5)
    received = block_inputs(small_generator, random_plane(256))
    blocks = dict(small_generator.named_modules())
    scale_felt = set()
    with torch.no_grad():
        for name, features in received.items():
            if name != "head":
                once, thrice = blocks[name](features), blocks[name](3.0 * features)
                if (thrice - once).norm() > 0.5 * once.norm():
                    scale_felt.add(name)
                else:
                    torch.testing.assert_close(thrice, once, rtol=1e-3, atol=1e-3)
    assert scale_felt == {"down.0", "down.5"}


def test_activations(small_generator: Pix2PixGenerator) -> None:
    slopes = [layer.negative_slope for layer in small_generator.modules() if isinstance(layer, nn.LeakyReLU)]
    assert slopes == [0.2] * 6
    received = block_inputs(small_generator, random_plane())
    with torch.no_grad():
        for step, up in enumerate(small_generator.up):
            assert up(received[f"up.{step}"]).min() == 0.0  # ReLU


def test_evaluation_is_deterministic(small_generator: Pix2PixGenerator) -> None:
    scattering = random_plane()
    with torch.no_grad():
        assert torch.equal(small_generator(scattering), small_generator(scattering))


def test_training_passes_differ(small_generator: Pix2PixGenerator) -> None:
    small_generator.train()
    scattering = random_plane()
    with torch.no_grad():
        assert not torch.equal(small_generator(scattering), small_generator(scattering))


def test_sampling_turns_the_noise_on_and_off_again(small_generator: Pix2PixGenerator) -> None:
    scattering = random_plane()
    with torch.no_grad():
        quiet = small_generator(scattering)
        small_generator.set_sampling(True)
        assert not small_generator.training
        torch.manual_seed(1)
        first, second = small_generator(scattering), small_generator(scattering)
        torch.manual_seed(1)
        first_again = small_generator(scattering)
        small_generator.set_sampling(False)
        quiet_again = small_generator(scattering)
    assert not torch.equal(first, second)
    assert torch.equal(first, first_again)
    assert torch.equal(quiet, quiet_again)


def test_set_sampling_leaves_training_mode_noisy(small_generator: Pix2PixGenerator) -> None:
    small_generator.train()
    small_generator.set_sampling(False)
    scattering = random_plane()
    with torch.no_grad():
        assert not torch.equal(small_generator(scattering), small_generator(scattering))


def test_no_noise_without_dropout() -> None:
    network = Pix2PixGenerator(channels=SMALL, dropout=0.0).train()
    scattering = random_plane()
    with torch.no_grad():
        assert torch.equal(network(scattering), network(scattering))


def test_noise_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = NoiseDropout(0.75).eval()
    ones = torch.ones(100_000)
    assert torch.equal(layer(ones), ones)
    layer.sampling = True
    dropped = layer(ones)
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.03)  # standard error 0.0055


def test_each_skip_is_the_down_block_of_that_size(small_generator: Pix2PixGenerator) -> None:
    received = block_inputs(small_generator, random_plane())
    for step in range(1, 6):
        consumer = f"up.{step}" if step < 5 else "head"
        level = 5 - step
        skip = received[consumer][:, SMALL[level] :]
        # The output of one down block is the input of the next.
        torch.testing.assert_close(skip, received[f"down.{level + 1}"], rtol=0, atol=0)


@pytest.mark.parametrize("consumer", ["up.1", "up.2", "up.3", "up.4", "head"])
def test_output_needs_each_skip_and_what_lies_below(small_generator: Pix2PixGenerator, consumer: str) -> None:
    scattering = random_plane()
    block = dict(small_generator.named_modules())[consumer]
    with torch.no_grad():
        whole = small_generator(scattering)
        for half in (0, 1):

            def silence(_: nn.Module, arguments: tuple[torch.Tensor], half: int = half) -> torch.Tensor:
                features = arguments[0].clone()
                features.chunk(2, dim=1)[half].zero_()
                return features

            handle = block.register_forward_pre_hook(silence)
            part = small_generator(scattering)
            handle.remove()
            assert (part - whole).abs().max() > 1e-4 * whole.abs().max()


def test_gradient_reaches_every_parameter(small_generator: Pix2PixGenerator) -> None:
    small_generator.train()
    torch.manual_seed(2)
    (small_generator(random_plane()) - random_plane()).abs().mean().backward()
    for name, weights in small_generator.named_parameters():
        assert weights.grad is not None and weights.grad.abs().max() > 0, name


def test_a_sample_does_not_depend_on_its_neighbours(small_generator: Pix2PixGenerator) -> None:
    scattering = random_plane(samples=3)
    with torch.no_grad():
        together, alone = small_generator(scattering), small_generator(scattering[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


def test_more_input_channels_and_oblong_planes() -> None:
    torch.manual_seed(0)
    network = Pix2PixGenerator(in_channels=3, channels=SMALL).eval()
    scattering = random_plane(256, in_channels=3)[..., :128]
    with torch.no_grad():
        component = network(scattering)
        assert component.shape == (1, 1, 256, 128)
        for channel in range(3):
            changed = scattering.clone()
            changed[:, channel] = 0.0
            assert not torch.equal(network(changed), component)


def test_bfloat16_autocast(small_generator: Pix2PixGenerator) -> None:
    scattering = random_plane()
    with torch.no_grad():
        exact = small_generator(scattering)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = small_generator(scattering)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().max().item() < 0.2 * exact.std().item()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 200, 256), r"200 x 256 pixels.*multiples of 64 and at least 128"),
        ((1, 1, 64, 64), r"64 x 64 pixels.*at least 128"),
        ((1, 2, 128, 128), r"\(1, 2, 128, 128\); expected \(n, 1, height, width\)"),
        ((1, 128, 128), r"\(1, 128, 128\); expected \(n, 1, height, width\)"),
    ],
)
def test_bad_input(small_generator: Pix2PixGenerator, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_generator(torch.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (64, 128)}, "three or more"),
        ({"channels": (64, 128, 0)}, "positive"),
        ({"in_channels": 0}, "1 or more"),
        ({"dropout": 1.0}, "at least 0 and below 1"),
        ({"dropout": -0.5}, "at least 0 and below 1"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pix2PixGenerator(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(4, 4), (6, 10)])
def test_head_is_its_layers_one_after_the_other(size: tuple[int, int]) -> None:
    """The folded convolution equals the plain one: values, and gradients of features, weight and bias."""
    torch.manual_seed(0)
    head = Pix2PixGenerator(channels=SMALL).head.double()
    nn.init.normal_(head[2].bias)
    features = torch.randn(2, 2 * SMALL[0], *size, dtype=torch.float64, requires_grad=True)
    folded, plain = head(features), nn.Sequential(*head)(features)
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-13)
    weight = torch.randn_like(plain)
    inputs = (features, *head.parameters())
    for mine, expected in zip(
        torch.autograd.grad(folded, inputs, weight), torch.autograd.grad(plain, inputs, weight), strict=True
    ):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-12)
