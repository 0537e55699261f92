"""Settings of the module: averaged weights, clipped gradients, layout in memory, arithmetic, inputs."""

from functools import partial

import pytest
import torch

from dsfunet.networks import Pix2PixGenerator
from dsfunet.training.module import DSFUNet
from tests.dsfunet.training.test_module import (
    LEARNING_RATE,
    fit,
    generator,
    loader,
    moved,
    system,
    weights,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
]


def test_average_of_the_generators_follows_its_recurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    module = system(discriminators=False, average_decay=0.15)
    assert module.averages is not None
    expected = weights(module.generators)
    update = module._update_averages
    decays = iter([1 / 10, 0.15, 0.15])  # (1 + n) / (10 + n) for n = 0, then 2/11 and 3/12, held at 0.15

    def watched() -> None:
        decay = next(decays)
        for name, value in weights(module.generators).items():
            expected[name] = decay * expected[name] + (1 - decay) * value
        update()

    monkeypatch.setattr(module, "_update_averages", watched)
    fit(module, batches=3)
    for name, value in weights(module.averages).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
    assert moved(weights(module.generators), weights(module.averages))
    assert int(module.batches_seen) == 3
    batch = next(iter(loader()))
    with torch.no_grad():
        averaged = module._generate(module.averages, batch["input"]).values()
        assert all(map(torch.equal, module(batch["input"]), averaged))  # what is validated and shipped


def test_gradients_of_the_generators_are_clipped() -> None:
    clip = 1e-3
    module = system(discriminators=False, gradient_clip=clip, joint_step="off")
    before = weights(module.generators)
    fit(module)
    after = weights(module.generators)
    step = torch.cat([(after[name] - before[name]).flatten() for name in before]).norm().item()
    assert step == pytest.approx(LEARNING_RATE * clip, rel=1e-2)


def test_channels_last_trains_the_same() -> None:
    plain, innermost = system(), system(channels_last=True)
    fit(plain, batches=2)
    fit(innermost, batches=2)
    expected = weights(plain)
    for name, value in weights(innermost).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)


def test_bfloat16_losses_are_float32() -> None:
    module = system(average_decay=0.9)
    run = fit(module, precision="bf16-mixed")
    for name, value in run.logged_metrics.items():
        assert value.dtype == torch.float32 and torch.isfinite(value), name
    assert all(value.dtype == torch.float32 for value in module.parameters())


def test_a_generator_of_one_channel_gets_the_scattering_alone() -> None:
    torch.manual_seed(0)
    paper = Pix2PixGenerator(in_channels=1, channels=(4, 8, 8))
    module = DSFUNet(paper, generator(2), partial(torch.optim.SGD, lr=0.1)).eval()
    batch = next(iter(loader()))
    masked_less = batch["input"].clone()
    masked_less[:, 1] = 1.0
    with torch.no_grad():
        form_factor, short_range_order = module(batch["input"])
        form_factor_again, short_range_order_again = module(masked_less)
        assert torch.equal(form_factor, paper(batch["input"][:, :1]))
    assert torch.equal(form_factor, form_factor_again)
    assert not torch.equal(short_range_order, short_range_order_again)
