"""The LightningModule: both generators, both discriminators, and the order in which they are trained."""

import copy
from typing import Any, Literal

import lightning.pytorch as lightning
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics.aggregation import CatMetric

from dsfunet import __version__
from dsfunet.errors import InputError
from dsfunet.losses import (
    AdversarialObjective,
    adversarial_loss_discriminator,
    adversarial_loss_generator,
    joint_product_loss,
    reconstruction_loss,
)
from dsfunet.machine import describe_machine
from dsfunet.preprocessing import COMPONENTS
from dsfunet.weights import describe_network

Batch = dict[str, Tensor]


class DSFUNet(lightning.LightningModule):
    """Two conditional GANs trained in step, one for each component (SPEC section 4).

    One training step, in this order:

    1. both generators together: adversarial loss + `reconstruction_weight` x L1 for each component (equation 10),
       discriminators frozen;
    2. both discriminators together, on (component, clean scattering), generators frozen;
    3. the joint step: both generators together, smooth L1 between the product of their outputs and the product of
       the normalised truths.

    One Adam over both generators and one over both discriminators equal four: Adam keeps its state per parameter.
    Batches come from `dsfunet.data`: `input` (n, 2, h, w), `clean`, `form_factor`, `short_range_order`
    (n, 1, h, w), all in spread space [-1, 1] (the second input channel is the mask).

    Args:
        form_factor_generator: network from plane to form factor.
        short_range_order_generator: network from plane to short-range order.
        generator_optimizer: makes the optimizer of both generators from their parameters.
        discriminator_optimizer: makes the optimizer of both discriminators; None without discriminators.
        form_factor_discriminator: judges (form factor, clean scattering); None trains without adversarial loss.
        short_range_order_discriminator: judges (short-range order, clean scattering); None likewise.
        objective: adversarial objective, of equation 8 or least squares.
        reconstruction_weight: lambda of equation 10.
        joint_step: `separate` recomputes both outputs after the generators' step and steps again (the paper);
            `fused` adds the joint loss to the generators' step, a third cheaper; `off` leaves it out.
        joint_weight: factor on the joint loss.
        gradient_clip: largest norm of the generators' gradients; None does not clip.
        average_decay: decay of an exponential moving average of the generators' weights, which then is what is
            validated and shipped; None keeps none.
        channels_last: keep planes and weights with channels innermost, which convolutions prefer on most machines.

    Raises:
        InputError: one discriminator without the other, discriminators without an optimizer, or, in training, a
            loss that is not finite.
    """

    def __init__(
        self,
        form_factor_generator: nn.Module,
        short_range_order_generator: nn.Module,
        generator_optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable | None = None,
        form_factor_discriminator: nn.Module | None = None,
        short_range_order_discriminator: nn.Module | None = None,
        objective: AdversarialObjective = "vanilla",
        reconstruction_weight: float = 100.0,
        joint_step: Literal["separate", "fused", "off"] = "separate",
        joint_weight: float = 1.0,
        gradient_clip: float | None = None,
        average_decay: float | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        discriminators = (form_factor_discriminator, short_range_order_discriminator)
        if (discriminators[0] is None) != (discriminators[1] is None):
            raise InputError("one discriminator is given and the other is not: expected both or neither")
        if discriminators[0] is not None and discriminator_optimizer is None:
            raise InputError(
                "discriminators are given but no discriminator_optimizer: expected both or neither"
            )
        self.automatic_optimization = False
        self.save_hyperparameters(
            "objective",
            "reconstruction_weight",
            "joint_step",
            "joint_weight",
            "gradient_clip",
            "average_decay",
        )
        generators = (form_factor_generator, short_range_order_generator)
        self.generators = nn.ModuleDict(dict(zip(COMPONENTS, generators, strict=True)))
        self.discriminators = nn.ModuleDict(
            {name: each for name, each in zip(COMPONENTS, discriminators, strict=True) if each is not None}
        )
        if channels_last:
            self.generators.to(memory_format=torch.channels_last)
            self.discriminators.to(memory_format=torch.channels_last)
        self.channels_last = channels_last
        self.averages: nn.ModuleDict | None = None
        if average_decay is not None:
            self.averages = nn.ModuleDict(
                {name: copy.deepcopy(each) for name, each in self.generators.items()}
            )
            self.averages.requires_grad_(False)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.objective: AdversarialObjective = objective
        self.reconstruction_weight = reconstruction_weight
        self.joint_step = joint_step
        self.joint_weight = joint_weight
        self.gradient_clip = gradient_clip
        self.average_decay = average_decay
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.long))
        self.batches_seen: Tensor
        self.form_factor_errors = CatMetric(nan_strategy="error")
        self.short_range_order_errors = CatMetric(nan_strategy="error")

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer over both generators and, with discriminators, one over both of them."""
        optimizers = [self.generator_optimizer(self.generators.parameters())]
        if self.discriminators:
            assert self.discriminator_optimizer is not None
            optimizers.append(self.discriminator_optimizer(self.discriminators.parameters()))
        return optimizers

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Form factor and short-range order (n, 1, h, w), spread, of planes (n, 2, h, w), by the shipped weights."""
        return self._generate(self.averages if self.averages is not None else self.generators, planes)

    def _generate(self, generators: nn.ModuleDict, planes: Tensor) -> tuple[Tensor, Tensor]:
        if self.channels_last:
            planes = planes.contiguous(memory_format=torch.channels_last)
        # A generator with one input channel, as the paper's, is shown the scattering without the mask.
        form_factor, short_range_order = (
            generators[name](planes[:, : generators[name].in_channels]) for name in COMPONENTS
        )
        return form_factor.float(), short_range_order.float()

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One iteration over a batch: generators, discriminators, joint step."""
        optimizers = self.optimizers()
        generator_optimizer, *rest = optimizers if isinstance(optimizers, list) else [optimizers]
        outputs = self._generator_step(batch, generator_optimizer)
        if rest:
            self._discriminator_step(batch, outputs, rest[0])
        if self.joint_step == "separate":
            self._joint_step(batch, generator_optimizer)
        self._update_averages()
        self.batches_seen += 1
        self.log("batches_seen", self.batches_seen.float())

    def _generator_step(self, batch: Batch, optimizer: Any) -> dict[str, Tensor]:
        """Equation 10 for both components; returns the outputs, detached, for the discriminators."""
        losses: dict[str, Tensor] = {}
        with self.toggled_optimizer(optimizer):
            outputs = dict(zip(COMPONENTS, self._generate(self.generators, batch["input"]), strict=True))
            for name in COMPONENTS:
                losses[f"{name}_l1"] = self.reconstruction_weight * reconstruction_loss(
                    outputs[name], batch[name]
                )
                if self.discriminators:
                    logits = self.discriminators[name](outputs[name], batch["clean"])
                    losses[f"{name}_adversarial"] = adversarial_loss_generator(logits, self.objective)
            if self.joint_step == "fused":
                losses["joint"] = self._joint_loss(
                    outputs["form_factor"], outputs["short_range_order"], batch
                )
            self._step(optimizer, torch.stack(list(losses.values())).sum(), self.gradient_clip)
        self._log_losses(losses, len(batch["input"]))
        return {name: output.detach() for name, output in outputs.items()}

    def _discriminator_step(self, batch: Batch, outputs: dict[str, Tensor], optimizer: Any) -> None:
        """Both discriminators on true and generated components, always beside the *clean* scattering.

        With artefacts in the condition the generators learn to paint them.
        """
        losses = {}
        with self.toggled_optimizer(optimizer):
            for name in COMPONENTS:
                real = self.discriminators[name](batch[name], batch["clean"])
                fake = self.discriminators[name](outputs[name], batch["clean"])
                losses[f"{name}_discriminator"] = adversarial_loss_discriminator(real, fake, self.objective)
            self._step(optimizer, torch.stack(list(losses.values())).sum(), None)
        self._log_losses(losses, len(batch["input"]))

    def _joint_step(self, batch: Batch, optimizer: Any) -> None:
        """The product of both outputs, recomputed after the generators moved, against the product of the truths."""
        with self.toggled_optimizer(optimizer):
            loss = self._joint_loss(*self._generate(self.generators, batch["input"]), batch)
            self._step(optimizer, loss, self.gradient_clip)
        self._log_losses({"joint": loss}, len(batch["input"]))

    def _joint_loss(self, form_factor: Tensor, short_range_order: Tensor, batch: Batch) -> Tensor:
        return self.joint_weight * joint_product_loss(
            form_factor, short_range_order, batch["form_factor"], batch["short_range_order"]
        )

    def _step(self, optimizer: Any, loss: Tensor, clip: float | None) -> None:
        if not torch.isfinite(loss):
            raise InputError(
                f"training diverged: the loss is {float(loss)} at batch {int(self.batches_seen)};"
                " expected a finite number, so try a smaller learning rate or gradient_clip"
            )
        optimizer.zero_grad()
        self.manual_backward(loss)
        if clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
        optimizer.step()

    @torch.no_grad()
    def _update_averages(self) -> None:
        if self.averages is None or self.average_decay is None:
            return
        # Early on a short memory, or the first random weights would weigh on the average for long.
        seen = float(self.batches_seen)
        decay = min(self.average_decay, (1 + seen) / (10 + seen))
        for average, live in zip(self.averages.parameters(), self.generators.parameters(), strict=True):
            average.lerp_(live, 1 - decay)

    def _log_losses(self, losses: dict[str, Tensor], batch_size: int) -> None:
        for name, loss in losses.items():
            self.log(f"train/{name}", loss.detach(), prog_bar="l1" in name, batch_size=batch_size)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect the mean squared error of every plane, in spread space."""
        for name, output in zip(COMPONENTS, self(batch["input"]), strict=True):
            self._plane_errors(name).update((output - batch[name]).square().mean(dim=(1, 2, 3)))

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """As validation."""
        self.validation_step(batch, batch_index)

    def on_validation_epoch_end(self) -> None:
        """Log mean, median and 90th percentile over planes for each component, and the mean of the two means."""
        self._log_plane_errors("validation")

    def on_test_epoch_end(self) -> None:
        """As validation."""
        self._log_plane_errors("test")

    def _plane_errors(self, name: str) -> CatMetric:
        return self.form_factor_errors if name == "form_factor" else self.short_range_order_errors

    def _log_plane_errors(self, stage: str) -> None:
        means = []
        for name in COMPONENTS:
            errors = self._plane_errors(name).compute()
            self._plane_errors(name).reset()
            means.append(errors.mean())
            self.log(f"{stage}/{name}_mse", errors.mean(), prog_bar=True)
            self.log(f"{stage}/{name}_mse_median", errors.median())
            self.log(f"{stage}/{name}_mse_90", errors.quantile(0.9))
        self.log(f"{stage}/mse", torch.stack(means).mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in plain types what made the weights and which networks they belong to: a checkpoint stands alone."""
        checkpoint["networks"] = {name: describe_network(self.generators[name]) for name in COMPONENTS}
        checkpoint["made_by"] = {"version": __version__, "machine": describe_machine(str(self.device))}
