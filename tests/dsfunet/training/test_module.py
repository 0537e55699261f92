"""The training steps: their order, the networks that each changes, the inputs of the discriminators, the metrics."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dsfunet.data.dataset import Batch
from dsfunet.errors import InputError
from dsfunet.networks import PatchDiscriminator, SpectralUNet
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.losses import (
    adversarial_loss_discriminator,
    adversarial_loss_generator,
    explanation_loss,
    joint_product_loss,
    reconstruction_loss,
)
from dsfunet.training.module import DSFUNet

pytestmark = [
    # A tiny fit has no worker processes.
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
]

LEARNING_RATE = 0.05
Snapshot = dict[str, Tensor]


def generator(seed: int) -> SpectralUNet:
    torch.manual_seed(seed)
    return SpectralUNet(channels=(8, 16), blocks=(1, 1), fourier_channels=(4, 8))


def system(discriminators: bool = True, optimizer: Any = None, **settings: Any) -> DSFUNet:
    optimizer = optimizer or partial(torch.optim.SGD, lr=LEARNING_RATE)
    judges: list[nn.Module | None] = [None, None]
    generators = [generator(1), generator(2)]
    if discriminators:
        torch.manual_seed(3)
        judges = [PatchDiscriminator((4, 8, 8, 8)), PatchDiscriminator((4, 8, 8, 8))]
    return DSFUNet(
        *generators,
        optimizer,
        optimizer if discriminators else None,
        *judges,
        **{"reconstruction_weight": 1.0, **settings},
    )


def planes(samples: int, side: int = 32, seed: int = 0) -> list[dict[str, Tensor]]:
    """Return random samples."""
    drawn = torch.Generator().manual_seed(seed)

    def plane(channels: int) -> Tensor:
        return 2 * torch.rand(channels, side, side, generator=drawn) - 1

    return [
        {"input": plane(2), "clean": plane(1), "form_factor": plane(1), "short_range_order": plane(1)}
        for _ in range(samples)
    ]


def loader(samples: int = 2, batch_size: int = 2, seed: int = 0) -> DataLoader[dict[str, Tensor]]:
    return DataLoader(planes(samples, seed=seed), batch_size=batch_size)  # type: ignore[arg-type]


def trainer(**settings: Any) -> lightning.Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
        "log_every_n_steps": 1,
    }
    return lightning.Trainer(**{**quiet, **settings})


def fit(module: DSFUNet, batches: int = 1, **settings: Any) -> lightning.Trainer:
    # Lightning warns if a module with a validation step gets no validation batches.
    run = trainer(limit_val_batches=0, **settings)
    run.fit(module, loader(2 * batches), loader())
    return run


def weights(part: nn.Module) -> Snapshot:
    return {name: value.detach().clone() for name, value in part.named_parameters()}


def moved(before: Snapshot, after: Snapshot) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def watch_steps(module: DSFUNet, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str]]]:
    """Record the name of each step and the parameters that it changed."""
    seen: list[tuple[str, set[str]]] = []
    for name in ("_generator_step", "_discriminator_step", "_joint_step", "_update_averages"):
        step: Callable[..., Any] = getattr(module, name)

        def watched(*arguments: Any, name: str = name, step: Callable[..., Any] = step) -> Any:
            before = weights(module)
            result = step(*arguments)
            seen.append((name, moved(before, weights(module))))
            return result

        monkeypatch.setattr(module, name, watched)
    return seen


def parts_of(names: set[str]) -> set[str]:
    return {".".join(name.split(".")[:2]) for name in names}


BOTH_GENERATORS = {f"generators.{name}" for name in COMPONENTS}
BOTH_DISCRIMINATORS = {f"discriminators.{name}" for name in COMPONENTS}
BOTH_AVERAGES = {f"averages.{name}" for name in COMPONENTS}


def test_each_step_moves_its_own_networks_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    module = system(average_decay=0.5)
    seen = watch_steps(module, monkeypatch)
    fit(module)
    assert [name for name, _ in seen] == [
        "_generator_step",
        "_discriminator_step",
        "_joint_step",
        "_update_averages",
    ]
    assert [parts_of(names) for _, names in seen] == [
        BOTH_GENERATORS,
        BOTH_DISCRIMINATORS,
        BOTH_GENERATORS,
        BOTH_AVERAGES,
    ]


def test_opponents_gather_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    module = system()
    with_gradient: list[set[str]] = []

    def backward(loss: Tensor) -> None:
        for parameter in module.parameters():
            parameter.grad = None
        loss.backward()
        names = {name for name, value in module.named_parameters() if value.grad is not None}
        with_gradient.append(parts_of(names))

    monkeypatch.setattr(module, "manual_backward", backward)
    fit(module)
    assert with_gradient == [BOTH_GENERATORS, BOTH_DISCRIMINATORS, BOTH_GENERATORS]
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(("joint_step", "steps"), [("separate", 2), ("fused", 1), ("off", 1)])
@pytest.mark.parametrize("discriminators", [False, True])
def test_number_of_steps(
    joint_step: str, steps: int, discriminators: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = system(discriminators, joint_step=joint_step)
    seen = watch_steps(module, monkeypatch)
    run = fit(module)
    taken = [name for name, _ in seen]
    assert ("_discriminator_step" in taken) == discriminators
    assert taken.count("_generator_step") + taken.count("_joint_step") == steps
    assert len(run.optimizers) == 1 + discriminators
    assert run.global_step == steps + discriminators
    assert ("train/joint" in run.logged_metrics) == (joint_step != "off")
    assert ("train/form_factor_adversarial" in run.logged_metrics) == discriminators


class SpyDiscriminator(nn.Module):
    """A discriminator that keeps its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))
        self.components: list[Tensor] = []
        self.conditions: list[Tensor] = []

    def forward(self, component: Tensor, scattering: Tensor) -> Tensor:
        self.components.append(component.detach().clone())
        self.conditions.append(scattering.detach().clone())
        return self.slope * (component + scattering)


@pytest.mark.parametrize("condition", ["clean", "masked"])
def test_discriminators_see_their_condition_and_their_own_component(condition: str) -> None:
    module = system(condition=condition)
    spies = {name: SpyDiscriminator() for name in COMPONENTS}
    module.discriminators = nn.ModuleDict(spies)
    batch: Batch = next(iter(loader()))
    outputs = dict(zip(COMPONENTS, module(batch["input"]), strict=True))
    fit(module)
    # The paper's discriminators get the clean plane; those of the ablation get the generators' plane without mask.
    shown = batch["clean"] if condition == "clean" else batch["input"][:, :1]
    for name, spy in spies.items():
        assert len(spy.conditions) == 3  # generated; true and generated again
        assert all(torch.equal(each, shown) for each in spy.conditions)
        generated, real, generated_again = spy.components
        assert torch.equal(real, batch[name])
        torch.testing.assert_close(generated, outputs[name], rtol=0, atol=1e-6)
        # The same output by which the generator was judged: it is not recomputed.
        assert torch.equal(generated_again, generated)


def expected_losses(module: DSFUNet, batch: Batch, objective: Any = "vanilla") -> dict[str, Tensor]:
    """Return the losses of equations 8 to 10 and the joint loss for the module's present networks."""
    losses = {}
    outputs = module._generate(module.generators, batch["input"])
    for name in COMPONENTS:
        losses[f"train/{name}_l1"] = reconstruction_loss(outputs[name], batch[name])
        if module.discriminators:
            judge = module.discriminators[name]
            fake, real = judge(outputs[name], batch["clean"]), judge(batch[name], batch["clean"])
            losses[f"train/{name}_adversarial"] = adversarial_loss_generator(fake, objective)
            losses[f"train/{name}_discriminator"] = adversarial_loss_discriminator(real, fake, objective)
    truths = [batch[name] for name in COMPONENTS]
    losses["train/joint"] = joint_product_loss(*outputs.values(), *truths)
    return losses


@pytest.mark.parametrize("objective", ["vanilla", "least_squares"])
def test_logged_losses_are_those_of_the_equations(objective: str) -> None:
    module = system(objective=objective, reconstruction_weight=100.0, joint_step="fused", joint_weight=0.25)
    twin = copy.deepcopy(module)
    run = fit(module)
    with torch.no_grad():
        expected = expected_losses(twin, next(iter(loader())), objective)
    for name, loss in expected.items():
        factor = 100.0 if name.endswith("_l1") else 0.25 if name == "train/joint" else 1.0
        assert run.logged_metrics[name].item() == pytest.approx(factor * loss.item(), rel=1e-5), name
    assert set(run.logged_metrics) == {*expected, "batches_seen"}


def test_explanation_is_weighed_and_logged() -> None:
    module = system(discriminators=False, joint_step="off", explanation_weight=0.5)
    batch: Batch = next(iter(loader()))
    with torch.no_grad():
        expected = explanation_loss(
            *module._generate(module.generators, batch["input"]).values(), batch["input"]
        )
    run = fit(module)
    assert run.logged_metrics["train/explanation"].item() == pytest.approx(0.5 * expected.item(), rel=1e-5)


def descend(module: DSFUNet, loss: Tensor) -> None:
    """Take one plain gradient step of the generators."""
    gradients = torch.autograd.grad(loss, list(module.generators.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(module.generators.parameters(), gradients, strict=True):
            parameter -= LEARNING_RATE * gradient


def own_loss(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(
        [loss for name, loss in losses.items() if name.endswith(("_l1", "_adversarial"))]
    ).sum()


@pytest.mark.parametrize("joint_step", ["off", "fused", "separate"])
def test_joint_step_is_what_it_says(joint_step: str) -> None:
    batch: Batch = next(iter(loader()))
    module = system(joint_step=joint_step, joint_weight=0.5)
    twin = copy.deepcopy(module)
    fit(module)
    losses = expected_losses(twin, batch)
    if joint_step == "fused":
        descend(twin, own_loss(losses) + 0.5 * losses["train/joint"])
    else:
        descend(twin, own_loss(losses))
    if joint_step == "separate":
        descend(twin, 0.5 * expected_losses(twin, batch)["train/joint"])
    expected = weights(twin.generators)
    for name, value in weights(module.generators).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)


def test_one_adam_over_both_generators_equals_two() -> None:
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
    module = system(optimizer=adam)
    twin = copy.deepcopy(module)
    fit(module, batches=3)
    parts = [*twin.generators.values(), *twin.discriminators.values()]
    separate = [adam(part.parameters()) for part in parts]
    for batch in loader(6):
        # Four optimizers: each component by itself, except in the joint step.
        outputs = {}
        for name, optimizer in zip(COMPONENTS, separate[:2], strict=True):
            output = twin.generators[name](batch["input"])
            logits = twin.discriminators[name](output, batch["clean"])
            optimizer.zero_grad()
            (
                adversarial_loss_generator(logits, "vanilla") + reconstruction_loss(output, batch[name])
            ).backward()
            optimizer.step()
            outputs[name] = output.detach()
        for name, optimizer in zip(COMPONENTS, separate[2:], strict=True):
            judge = twin.discriminators[name]
            real, fake = judge(batch[name], batch["clean"]), judge(outputs[name], batch["clean"])
            optimizer.zero_grad()
            adversarial_loss_discriminator(real, fake, "vanilla").backward()
            optimizer.step()
        for optimizer in separate[:2]:
            optimizer.zero_grad()
        expected_losses(twin, batch)["train/joint"].backward()
        for optimizer in separate[:2]:
            optimizer.step()
    expected = weights(twin)
    for name, value in weights(module).items():
        # Adam divides by the root of tiny second moments, which magnifies rounding: a step is 1e-3.
        torch.testing.assert_close(value, expected[name], rtol=0, atol=2e-5)


def test_one_discriminator_alone_is_refused() -> None:
    optimizer = partial(torch.optim.SGD, lr=0.1)
    judge = PatchDiscriminator((4, 8, 8, 8))
    with pytest.raises(InputError, match="both or neither"):
        DSFUNet(generator(1), generator(2), optimizer, optimizer, form_factor_discriminator=judge)
    with pytest.raises(InputError, match="both or neither"):
        DSFUNet(generator(1), generator(2), optimizer, optimizer, short_range_order_discriminator=judge)
    with pytest.raises(InputError, match="without a discriminator_optimizer; expected both or neither"):
        DSFUNet(generator(1), generator(2), optimizer, None, judge, copy.deepcopy(judge))
