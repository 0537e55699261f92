"""The published loop of benchmarks/training.py and DSFUNet give the same weights after the same batches."""

import copy
from functools import partial

import lightning.pytorch as lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.published_loop import PublishedLoop, layer_by_layer
from dsfunet.networks import PatchDiscriminator, Pix2PixGenerator, SpectralUNet
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet

# A tiny fit has no worker processes.
pytestmark = pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers")

LEARNING_RATE = 1e-3


def generator(kind: str) -> nn.Module:
    if kind == "paper":
        # Without dropout: two components at a time draw its noise in another order than one after the other.
        return Pix2PixGenerator(channels=(4, 8, 8), dropout=0.0)
    return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))


@pytest.mark.parametrize(("fused_adam", "channels_last"), [(False, False), (True, True)])
@pytest.mark.parametrize(("kind", "judged"), [("paper", True), ("release", False), ("release", True)])
def test_same_weights_after_two_iterations(
    kind: str, judged: bool, fused_adam: bool, channels_last: bool
) -> None:
    # Adam divides by the root of the second moment: with its usual 1e-8 a gradient that is zero but for rounding, as of
    # a bias before a norm, takes whole steps of a random sign, in either loop.
    adam = partial(torch.optim.Adam, lr=LEARNING_RATE, betas=(0.5, 0.999), eps=1e-3)
    torch.manual_seed(1)
    generators = [generator(kind), generator(kind)]
    judges = [PatchDiscriminator((4, 8, 8, 8)) for _ in COMPONENTS] if judged else []
    loop = PublishedLoop(
        {name: layer_by_layer(network) for name, network in zip(COMPONENTS, generators, strict=True)},
        {name: layer_by_layer(network) for name, network in zip(COMPONENTS, judges, strict=judged)},
        adam,
    )
    start = [copy.deepcopy(network.state_dict()) for network in generators]
    ours = partial(adam, fused=fused_adam)
    module = DSFUNet(*generators, ours, ours, *judges, joint_step="separate", channels_last=channels_last)
    channels = {"input": 2, "clean": 1, "form_factor": 1, "short_range_order": 1}
    batches = [{name: 2 * torch.rand(2, c, 32, 32) - 1 for name, c in channels.items()} for _ in range(2)]
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader(batches))  # type: ignore[arg-type]
    for batch in batches:
        loop.iterate(batch)
    for parts, expected_networks in (
        (module.generators, loop.generators),
        (module.discriminators, loop.discriminators),
    ):
        for name in expected_networks:
            expected = expected_networks[name].state_dict()
            for key, value in parts[name].state_dict().items():
                # A hundredth of a step of Adam.
                torch.testing.assert_close(
                    value, expected[key], rtol=0, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
                )
    moved = (module.generators["form_factor"].state_dict()[key] - value for key, value in start[0].items())
    assert max(float(change.abs().max()) for change in moved) > LEARNING_RATE
