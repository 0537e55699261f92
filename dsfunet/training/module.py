"""The LightningModule: both generators, both discriminators, and the order in which they train."""

import copy
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from dsfunet.data.dataset import Batch
from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError
from dsfunet.networks.inputs import restore_floor, select_inputs
from dsfunet.networks.weights import describe_network
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.losses import (
    AdversarialObjective,
    adversarial_loss_discriminator,
    adversarial_loss_generator,
    explanation_loss,
    joint_product_loss,
    reconstruction_loss,
    squared_error_loss,
)
from dsfunet.training.manual_optimization import ManualOptimizationModule
from dsfunet.training.validation_errors import PlaneErrors

Condition = Literal["clean", "masked"]
JointStep = Literal["separate", "fused", "off"]
Trained = Literal["both", "form_factor", "short_range_order"]

ORDER_SHOWN = "form_factor_order_shown"
"""Name of the errors of the form factor from a generator that was given the true I_SRO."""


class DSFUNet(ManualOptimizationModule):
    """Two conditional GANs, one for each component, trained together (Fuller & Rudden, 2024, equations 8 to 10).

    One training step, in this order:

    1. both generators: adversarial loss + `reconstruction_weight` x L1 for each component (equation 10), with the
       discriminators frozen;
    2. both discriminators, on (component, clean scattering), with the generators frozen;
    3. the joint step: both generators again, smooth L1 between the product of their outputs and the product of the
       normalised true components.

    One Adam for both generators and one for both discriminators give the same steps as four: Adam keeps its state per
    parameter. Batches come from `dsfunet.data.datamodule`: `input` (n, 2, h, w), `clean`, `form_factor`,
    `short_range_order` (n, 1, h, w), all in spread space [-1, 1] (the second input channel is the mask), and
    `short_range_order_floor` (n, 1, 1, 1).

    Args:
        form_factor_generator: network from plane to form factor.
        short_range_order_generator: network from plane to short-range order.
        generator_optimizer: optimizer of both generators.
        discriminator_optimizer: optimizer of both discriminators; None without discriminators.
        form_factor_discriminator: discriminator of (form factor, clean scattering); None trains without the
            adversarial loss.
        short_range_order_discriminator: discriminator of (short-range order, clean scattering); None likewise.
        objective: adversarial objective: `vanilla` (equation 8) or `least_squares`.
        condition: scattering that the discriminators get beside a component: `clean` (as in the paper), or `masked`,
            with the artefacts that the generators get (an ablation).
        reconstruction_weight: weight lambda of the L1 loss (equation 10).
        squared_weight: weight of the mean squared error of each component in the generators' loss; 0 leaves it out.
        joint_step: form of the joint step: `separate` is a step of its own on recomputed outputs (as in the paper);
            `fused` adds the joint loss to the generators' loss, which saves a third of the time; `off` leaves it out.
        joint_weight: weight of the joint loss.
        trained: generators to train: `both`, or one of them. One alone trains without discriminators, with
            `joint_step: off` and without explanation_weight.
        order_shown: share of the training planes (0 to 1), drawn at random, whose true I_SRO is an input of a form
            factor generator with three channels; the other planes have zeros there. One network then serves lattice
            mode and planes without a lattice.
        explanation_weight: weight of the share of the measured scattering's variance that no product of both outputs
            explains (`dsfunet.training.losses.explanation_loss`); 0 leaves it out.
        micro_batches: number of equal parts into which each batch is split to save memory; gradients are accumulated
            over the parts.
        gradient_clip: largest norm of the generators' gradients; None does not clip.
        average_decay: decay of an exponential moving average of the generators' weights; the averaged weights are
            validated and released. None keeps no average.
        channels_last: keep planes and weights in the channels-last memory format, in which convolutions are faster on
            most machines.

    Raises:
        InputError: one discriminator is given without the other, discriminators are given without an optimizer, a
            number is out of its range or, in training, a batch does not split into the micro-batches.
        DivergedError: in training, a loss or a gradient is not finite; no weight has changed by it. In validation,
            an output is not finite.
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
        squared_weight: float = 0.0,
        condition: Condition = "clean",
        joint_step: JointStep = "separate",
        joint_weight: float = 1.0,
        trained: Trained = "both",
        order_shown: float = 0.0,
        explanation_weight: float = 0.0,
        micro_batches: int = 1,
        gradient_clip: float | None = None,
        average_decay: float | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__(micro_batches)
        discriminators = (form_factor_discriminator, short_range_order_discriminator)
        if (discriminators[0] is None) != (discriminators[1] is None):
            raise InputError("only one discriminator is given; expected both or neither")
        if discriminators[0] is not None and discriminator_optimizer is None:
            raise InputError(
                "discriminators are given without a discriminator_optimizer; expected both or neither"
            )
        if trained != "both" and (discriminators[0] is not None or joint_step != "off" or explanation_weight):
            raise InputError(
                f"trained is {trained}: discriminators, a joint step and explanation_weight need both generators; leave"
                " them out, or train both"
            )
        if not 0 <= order_shown <= 1:
            raise InputError(f"order_shown is {order_shown:g}; expected a share from 0 to 1")
        self.save_hyperparameters(
            "objective",
            "reconstruction_weight",
            "squared_weight",
            "condition",
            "joint_step",
            "joint_weight",
            "trained",
            "order_shown",
            "explanation_weight",
            "micro_batches",
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
        self.squared_weight = squared_weight
        self.condition: Condition = condition
        self.joint_step: JointStep = joint_step
        self.joint_weight = joint_weight
        self.trained = COMPONENTS if trained == "both" else (trained,)
        self.order_shown = order_shown
        self.explanation_weight = explanation_weight
        self.gradient_clip = gradient_clip
        self.average_decay = average_decay
        takes_order = int(getattr(form_factor_generator, "in_channels", 1)) > 2
        self.errors = PlaneErrors((ORDER_SHOWN,) if takes_order else ())

    @property
    def steps_per_batch(self) -> int:
        """Number of optimizer steps of a batch, which Lightning counts as `global_step`."""
        return 1 + bool(self.discriminators) + (self.joint_step == "separate")

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return one optimizer for the generators that train and, if there are discriminators, one for both of them."""
        moving = [each for name in self.trained for each in self.generators[name].parameters()]
        optimizers = [self.generator_optimizer(moving)]
        if self.discriminators:
            assert self.discriminator_optimizer is not None
            optimizers.append(self.discriminator_optimizer(self.discriminators.parameters()))
        if any(isinstance(each, torch.optim.LBFGS) for each in optimizers):
            raise InputError(
                "an optimizer is LBFGS, which repeats its step; expected one like torch.optim.Adam"
            )
        return optimizers

    def forward(self, planes: Tensor, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return spread form factor and short-range order, (n, 1, h, w) each, of planes (n, 2, h, w).

        The averaged weights are used if there are any. `order` is I_SRO where it is known, as
        `dsfunet.networks.inputs.select_inputs` takes it.
        """
        averages = self.averages if self.averages is not None else self.generators
        form_factor, short_range_order = self._generate(averages, planes, order).values()
        return form_factor, short_range_order

    def _generate(
        self,
        generators: nn.ModuleDict,
        planes: Tensor,
        order: Tensor | None = None,
        names: tuple[str, ...] = COMPONENTS,
    ) -> dict[str, Tensor]:
        outputs = {}
        for name in names:
            # Short-range order is an input of the form factor's generator only.
            shown = select_inputs(generators[name], planes, order if name == "form_factor" else None)
            if self.channels_last:
                shown = shown.contiguous(memory_format=torch.channels_last)
            outputs[name] = generators[name](shown).float()
        return outputs

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Train on one batch: generators, discriminators, joint step."""
        self.start_batch(batch)
        optimizers = self.optimizers()
        generator_optimizer, *rest = optimizers if isinstance(optimizers, list) else [optimizers]
        parts = self.split(batch)
        outputs = self._generator_step(parts, generator_optimizer)
        if rest:
            self._discriminator_step(parts, outputs, rest[0])
        if self.joint_step == "separate":
            self._joint_step(parts, generator_optimizer)
        self._update_averages()
        self.finish_batch()

    def _generator_step(self, parts: list[Batch], optimizer: Any) -> list[dict[str, Tensor]]:
        """Step the generators by equation 10; returns their outputs, detached, for the discriminators."""
        kept = []
        with self.take_step(optimizer, self.gradient_clip):
            for part in parts:
                outputs = self._generate(
                    self.generators, part["input"], self._draw_known_order(part), self.trained
                )
                self.accumulate_gradients(self._generator_losses(part, outputs))
                kept.append({name: output.detach() for name, output in outputs.items()})
        return kept

    def _generator_losses(self, batch: Batch, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = {}
        for name in outputs:
            error = reconstruction_loss(outputs[name], batch[name])
            losses[f"{name}_l1"] = self.reconstruction_weight * error
            if self.squared_weight:
                squares = squared_error_loss(outputs[name], batch[name])
                losses[f"{name}_squared"] = self.squared_weight * squares
            if self.discriminators:
                logits = self.discriminators[name](outputs[name], self._condition_planes(batch))
                losses[f"{name}_adversarial"] = adversarial_loss_generator(logits, self.objective)
        if self.joint_step == "fused":
            losses["joint"] = self._joint_loss(batch, outputs["form_factor"], outputs["short_range_order"])
        if self.explanation_weight:
            unexplained = explanation_loss(
                outputs["form_factor"], outputs["short_range_order"], batch["input"]
            )
            losses["explanation"] = self.explanation_weight * unexplained
        return losses

    def _discriminator_step(
        self, parts: list[Batch], outputs: list[dict[str, Tensor]], optimizer: Any
    ) -> None:
        """Step both discriminators on true and generated components, each with the *clean* scattering.

        If the discriminators saw artefacts, the generators would learn to reproduce them.
        """
        with self.take_step(optimizer, None):
            for part, made in zip(parts, outputs, strict=True):
                losses = {}
                for name in COMPONENTS:
                    real = self.discriminators[name](part[name], self._condition_planes(part))
                    fake = self.discriminators[name](made[name], self._condition_planes(part))
                    losses[f"{name}_discriminator"] = adversarial_loss_discriminator(
                        real, fake, self.objective
                    )
                self.accumulate_gradients(losses)

    def _joint_step(self, parts: list[Batch], optimizer: Any) -> None:
        """Step the generators by the product of both outputs, recomputed after their first step."""
        with self.take_step(optimizer, self.gradient_clip):
            for part in parts:
                outputs = self._generate(self.generators, part["input"], self._draw_known_order(part))
                self.accumulate_gradients({"joint": self._joint_loss(part, *outputs.values())})

    def _joint_loss(self, batch: Batch, form_factor: Tensor, short_range_order: Tensor) -> Tensor:
        return self.joint_weight * joint_product_loss(
            form_factor, short_range_order, batch["form_factor"], batch["short_range_order"]
        )

    def _draw_known_order(self, batch: Batch) -> Tensor | None:
        """Return the true I_SRO of a share of the planes, drawn anew at each call, and zeros for the others."""
        if not self.order_shown:
            return None
        order = restore_floor(batch["short_range_order"], batch["short_range_order_floor"])
        known = torch.rand(len(order), 1, 1, 1, device=order.device) < self.order_shown
        return torch.where(known, order, torch.zeros_like(order))

    def _condition_planes(self, batch: Batch) -> Tensor:
        """Return the scattering that the discriminators get, (n, 1, h, w)."""
        return batch["clean"] if self.condition == "clean" else batch["input"][:, :1]

    @torch.no_grad()
    def _update_averages(self) -> None:
        if self.averages is None or self.average_decay is None:
            return
        # The average forgets quickly at first; otherwise it would keep the first random weights for long.
        decay = min(self.average_decay, (1 + self.batches_done) / (10 + self.batches_done))
        # All weights in one call: on a GPU, hundreds of small calls cost more than the work itself.
        torch._foreach_lerp_(list(self.averages.parameters()), list(self.generators.parameters()), 1 - decay)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect the mean squared error of every plane, in spread space."""
        for name, output in zip(COMPONENTS, self(batch["input"]), strict=True):
            self.errors.add(name, (output - batch[name]).square().mean(dim=(1, 2, 3)))
        if ORDER_SHOWN in self.errors:
            order = restore_floor(batch["short_range_order"], batch["short_range_order_floor"])
            averages = self.averages if self.averages is not None else self.generators
            [output] = self._generate(averages, batch["input"], order, ("form_factor",)).values()
            self.errors.add(ORDER_SHOWN, (output - batch["form_factor"]).square().mean(dim=(1, 2, 3)))

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Do the same as `validation_step`."""
        self.validation_step(batch, batch_index)

    def on_validation_epoch_end(self) -> None:
        """Log mean, median and 90th percentile over planes for each component, and the mean of the two means."""
        self._log_errors("validation")
        # Logged again with its exact value, because checkpoints are named by it.
        self.log("batches_seen", self.batches_seen.float(), sync_dist=True)

    def on_test_epoch_end(self) -> None:
        """Do the same as `on_validation_epoch_end`."""
        self._log_errors("test")

    def _log_errors(self, stage: str) -> None:
        for name, value in self.errors.summary().items():
            # The value is the same on every rank already; Lightning warns without sync_dist.
            self.log(f"{stage}/{name}", value, prog_bar=name.endswith("_mse"), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record in plain types the networks, the version and the machine, so that a checkpoint stands alone."""
        checkpoint["networks"] = {name: describe_network(self.generators[name]) for name in COMPONENTS}
        checkpoint["made_by"] = {"version": describe_code(), "machine": describe_machine(str(self.device))}
