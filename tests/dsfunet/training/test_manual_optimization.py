"""Micro-batches, random numbers of each batch, and how often losses are logged."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader

from dsfunet.errors import InputError
from dsfunet.networks import PatchDiscriminator, Pix2PixGenerator, SpectralUNet
from dsfunet.training.manual_optimization import ManualOptimizationModule
from dsfunet.training.module import DSFUNet

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
]

LEARNING_RATE = 0.05


def planes(samples: int) -> list[dict[str, Tensor]]:
    """Return random samples with proper masks."""
    drawn = torch.Generator().manual_seed(5)

    def plane(channels: int) -> Tensor:
        return 2 * torch.rand(channels, 32, 32, generator=drawn) - 1

    return [
        {
            "input": torch.cat([plane(1), (plane(1) > -0.5).float()]),
            "clean": plane(1),
            "form_factor": plane(1),
            "short_range_order": plane(1),
        }
        for _ in range(samples)
    ]


def system(noisy: bool = False, **settings: Any) -> DSFUNet:
    torch.manual_seed(8)
    sgd = partial(torch.optim.SGD, lr=LEARNING_RATE)
    generators = [
        Pix2PixGenerator(in_channels=1, channels=(4, 8, 8, 8))
        if noisy
        else SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))
        for _ in range(2)
    ]
    judges = [PatchDiscriminator((4, 8, 8, 8)) for _ in range(2)]
    return DSFUNet(*generators, sgd, sgd, *judges, **{"reconstruction_weight": 1.0, **settings})


class Loggings(Callback):
    """A record of the batches after which losses were logged."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def on_train_batch_end(self, trainer: Any, pl_module: DSFUNet, *_: Any) -> None:
        if "batches_seen" in trainer.callback_metrics:
            self.batches.append(int(trainer.callback_metrics["batches_seen"]))


def fit(module: DSFUNet, samples: int, batch_size: int, *callbacks: Callback, **settings: Any) -> Any:
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=1,
        limit_val_batches=0,
        callbacks=list(callbacks),
        **{"log_every_n_steps": 1, **settings},
    )
    data: Any = DataLoader(planes(samples), batch_size=batch_size)  # type: ignore[arg-type]
    trainer.fit(module, data, data)
    return trainer


@pytest.mark.parametrize("joint_step", ["separate", "fused"])
@pytest.mark.parametrize("clip", [None, 0.01])
def test_micro_batches_do_what_the_whole_batch_does(joint_step: str, clip: float | None) -> None:
    whole = system(joint_step=joint_step, gradient_clip=clip, explanation_weight=0.1)
    split = system(joint_step=joint_step, gradient_clip=clip, explanation_weight=0.1, micro_batches=2)
    before = {name: value.clone() for name, value in whole.named_parameters()}
    runs = [fit(module, 8, 4) for module in (whole, split)]
    for name, value in split.named_parameters():
        expected = whole.get_parameter(name)
        torch.testing.assert_close(value, expected, rtol=0, atol=2e-6)
    moved = [name for name, value in whole.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) > len(before) / 2
    logged = [run.logged_metrics for run in runs]
    assert logged[0].keys() == logged[1].keys()
    for name, value in logged[0].items():
        assert logged[1][name].item() == pytest.approx(value.item(), rel=1e-4), name


def test_a_batch_that_does_not_split_is_refused() -> None:
    with pytest.raises(
        InputError, match="a batch on this process has 3 planes; expected a multiple of micro_batches, 2"
    ):
        fit(system(micro_batches=2), 3, 3)
    with pytest.raises(InputError, match="micro_batches is 0"):
        system(micro_batches=0)


def test_gradients_are_clipped_under_bfloat16_with_a_fused_optimizer() -> None:
    """The combination of configs/paper.yaml and configs/gpu.yaml, which Lightning's own clipping refuses."""
    module = system(gradient_clip=1e-3, joint_step="off")
    fused = partial(torch.optim.SGD, lr=LEARNING_RATE, fused=True)
    module.generator_optimizer = module.discriminator_optimizer = fused
    before = torch.cat([value.detach().flatten().clone() for value in module.generators.parameters()])
    fit(module, 2, 2, precision="bf16-mixed")
    after = torch.cat([value.detach().flatten() for value in module.generators.parameters()])
    assert (after - before).norm().item() == pytest.approx(LEARNING_RATE * 1e-3, rel=1e-2)


def test_float16_is_refused() -> None:
    module = system()
    module.trainer = SimpleNamespace(  # type: ignore[assignment]
        strategy=None, precision="16-mixed", precision_plugin=SimpleNamespace(scaler=object())
    )
    with pytest.raises(InputError, match="precision is 16-mixed; expected bf16-mixed or 32-true"):
        module.setup("fit")


def noise_of_batches(batches_before: int, seed: int = 1) -> list[float]:
    """Return the first random number of each of two batches."""
    lightning.seed_everything(seed, verbose=False)
    module = ManualOptimizationModule()
    module.batches_seen += batches_before
    module.on_fit_start()
    drawn = []
    for _ in range(2):
        module.start_batch({})
        drawn.append(torch.rand(()).item())
        module.batches_done += 1
        torch.rand(7)  # as much noise as the batch wants
    return drawn


def test_random_numbers_follow_from_seed_and_number_of_the_batch() -> None:
    first = noise_of_batches(0)
    assert first == noise_of_batches(0)
    assert noise_of_batches(1)[0] == first[1]  # as a resumed run draws
    assert first[0] != first[1] and noise_of_batches(0, seed=2) != first


def test_noise_differs_between_batches_and_is_the_same_in_another_run() -> None:
    weights = []
    for _ in range(2):
        lightning.seed_everything(3, verbose=False)
        module = system(noisy=True)
        fit(module, 4, 2)
        weights.append({name: value.clone() for name, value in module.named_parameters()})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_losses_are_logged_as_often_as_the_trainer_says() -> None:
    loggings = Loggings()
    fit(system(), 7, 1, loggings, log_every_n_steps=3)
    assert loggings.batches == [3, 3, 3, 6, 6]
