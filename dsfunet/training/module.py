"""The LightningModule: both generators, both discriminators, and the order in which they are trained."""

import copy
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from dsfunet.data.dataset import Batch
from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError
from dsfunet.networks.inputs import shown_to
from dsfunet.networks.weights import describe_network
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.losses import (
    AdversarialObjective,
    adversarial_loss_discriminator,
    adversarial_loss_generator,
    explanation_loss,
    joint_product_loss,
    reconstruction_loss,
    shown_order,
    squared_error_loss,
)
from dsfunet.training.manual_optimization import SteppedModule
from dsfunet.training.validation_errors import PlaneErrors

Condition = Literal["clean", "masked"]
JointStep = Literal["separate", "fused", "off"]
Trained = Literal["both", "form_factor", "short_range_order"]

ORDER_SHOWN = "form_factor_order_shown"
"""Name of the errors of the form factor where its generator was shown the true I_SRO."""


class DSFUNet(SteppedModule):
    """Two conditional GANs trained in step, one for each component (SPEC section 4).

    One training step, in this order:

    1. both generators together: adversarial loss + `reconstruction_weight` x L1 for each component (equation 10),
       discriminators frozen;
    2. both discriminators together, on (component, clean scattering), generators frozen;
    3. the joint step: both generators together, smooth L1 between the product of their outputs and the product of
       the normalised truths.

    One Adam over both generators and one over both discriminators equal four: Adam keeps its state per parameter.
    Batches come from `dsfunet.data.datamodule`: `input` (n, 2, h, w), `clean`, `form_factor`, `short_range_order`
    (n, 1, h, w), all in spread space [-1, 1] (the second input channel is the mask), `short_range_order_floor`
    (n, 1, 1, 1).

    Args:
        form_factor_generator: network from plane to form factor.
        short_range_order_generator: network from plane to short-range order.
        generator_optimizer: makes the optimizer of both generators from their parameters.
        discriminator_optimizer: makes the optimizer of both discriminators; None without discriminators.
        form_factor_discriminator: judges (form factor, clean scattering); None trains without adversarial loss.
        short_range_order_discriminator: judges (short-range order, clean scattering); None likewise.
        objective: adversarial objective, of equation 8 or least squares.
        condition: what the discriminators see beside a component: the `clean` scattering (the paper), or the
            `masked` one that the generators see (its ablation).
        reconstruction_weight: lambda of equation 10.
        squared_weight: factor on the mean squared error of each component, added to the generators' step; 0 leaves
            it out.
        joint_step: `separate` recomputes both outputs after the generators' step and steps again (the paper);
            `fused` adds the joint loss to the generators' step, a third cheaper; `off` leaves it out.
        joint_weight: factor on the joint loss.
        trained: which generators move, `both` or one; the other stays as it is, which needs a run without
            discriminators and without what joins both: `joint_step: off`, no explanation_weight.
        order_shown: share of training planes, drawn at random, whose true I_SRO a generator of three input channels
            is shown; of the others it sees zeros there. Then one network serves lattice mode and planes without.
        explanation_weight: factor on `dsfunet.training.losses.explanation_loss`, the share of the measured
        scattering that
            no product of the two outputs explains, added to the generators' step; 0 leaves it out.
        micro_batches: parts of equal size into which each batch is split, their gradients accumulated: what fits
            a small memory does what the whole batch would.
        gradient_clip: largest norm of the generators' gradients; None does not clip.
        average_decay: decay of an exponential moving average of the generators' weights, which then is what is
            validated and shipped; None keeps none.
        channels_last: keep planes and weights with channels innermost, which convolutions prefer on most machines.

    Raises:
        InputError: one discriminator without the other, discriminators without an optimizer, a number out of its
            range or, in training, a batch that does not split into the micro-batches.
        DivergedError: in training, a loss that is not finite; no weight has moved by it yet.
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
            raise InputError("one discriminator is given and the other is not: expected both or neither")
        if discriminators[0] is not None and discriminator_optimizer is None:
            raise InputError(
                "discriminators are given but no discriminator_optimizer: expected both or neither"
            )
        if trained != "both" and (discriminators[0] is not None or joint_step != "off" or explanation_weight):
            raise InputError(
                f"trained is {trained}, beside discriminators, a joint step or an explanation_weight: expected none of"
                " these, which need both"
            )
        if not 0 <= order_shown <= 1:
            raise InputError(f"order_shown is {order_shown:g}: expected a share of 0 to 1")
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

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer over the generators that train and, with discriminators, one over both of them."""
        moving = [each for name in self.trained for each in self.generators[name].parameters()]
        optimizers = [self.generator_optimizer(moving)]
        if self.discriminators:
            assert self.discriminator_optimizer is not None
            optimizers.append(self.discriminator_optimizer(self.discriminators.parameters()))
        return optimizers

    def forward(self, planes: Tensor, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Form factor and short-range order (n, 1, h, w), spread, of planes (n, 2, h, w), by the shipped weights.

        `order` is I_SRO where it is known, as `dsfunet.networks.inputs.shown_to` takes it.
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
            # Short-range order is what the other generator is asked for, never what it is shown.
            shown = shown_to(generators[name], planes, order if name == "form_factor" else None)
            if self.channels_last:
                shown = shown.contiguous(memory_format=torch.channels_last)
            outputs[name] = generators[name](shown).float()
        return outputs

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One iteration over a batch: generators, discriminators, joint step."""
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
        """Equation 10 for both components; returns the outputs, detached, for the discriminators."""
        kept = []
        with self.stepping(optimizer, self.gradient_clip):
            for part in parts:
                outputs = self._generate(
                    self.generators, part["input"], self._order_to_show(part), self.trained
                )
                self.descend(self._generator_losses(part, outputs))
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
                logits = self.discriminators[name](outputs[name], self._shown(batch))
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
        """Both discriminators on true and generated components, beside the *clean* scattering.

        With artefacts in the condition the generators learn to paint them.
        """
        with self.stepping(optimizer, None):
            for part, made in zip(parts, outputs, strict=True):
                losses = {}
                for name in COMPONENTS:
                    real = self.discriminators[name](part[name], self._shown(part))
                    fake = self.discriminators[name](made[name], self._shown(part))
                    losses[f"{name}_discriminator"] = adversarial_loss_discriminator(
                        real, fake, self.objective
                    )
                self.descend(losses)

    def _joint_step(self, parts: list[Batch], optimizer: Any) -> None:
        """The product of both outputs, recomputed after the generators moved, against the product of the truths."""
        with self.stepping(optimizer, self.gradient_clip):
            for part in parts:
                outputs = self._generate(self.generators, part["input"], self._order_to_show(part))
                self.descend({"joint": self._joint_loss(part, *outputs.values())})

    def _joint_loss(self, batch: Batch, form_factor: Tensor, short_range_order: Tensor) -> Tensor:
        return self.joint_weight * joint_product_loss(
            form_factor, short_range_order, batch["form_factor"], batch["short_range_order"]
        )

    def _order_to_show(self, batch: Batch) -> Tensor | None:
        """The true I_SRO of a share of the planes, drawn anew at each call, zeros for the others."""
        if not self.order_shown:
            return None
        order = shown_order(batch["short_range_order"], batch["short_range_order_floor"])
        known = torch.rand(len(order), 1, 1, 1, device=order.device) < self.order_shown
        return torch.where(known, order, torch.zeros_like(order))

    def _shown(self, batch: Batch) -> Tensor:
        """The scattering that the discriminators are shown, (n, 1, h, w)."""
        return batch["clean"] if self.condition == "clean" else batch["input"][:, :1]

    @torch.no_grad()
    def _update_averages(self) -> None:
        if self.averages is None or self.average_decay is None:
            return
        # Early on a short memory, or the first random weights would weigh on the average for long.
        decay = min(self.average_decay, (1 + self.batches_done) / (10 + self.batches_done))
        # All weights in one call: on a GPU hundreds of small ones cost more than the work.
        torch._foreach_lerp_(list(self.averages.parameters()), list(self.generators.parameters()), 1 - decay)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collect the mean squared error of every plane, in spread space."""
        for name, output in zip(COMPONENTS, self(batch["input"]), strict=True):
            self.errors.add(name, (output - batch[name]).square().mean(dim=(1, 2, 3)))
        if ORDER_SHOWN in self.errors:
            order = shown_order(batch["short_range_order"], batch["short_range_order_floor"])
            averages = self.averages if self.averages is not None else self.generators
            [output] = self._generate(averages, batch["input"], order, ("form_factor",)).values()
            self.errors.add(ORDER_SHOWN, (output - batch["form_factor"]).square().mean(dim=(1, 2, 3)))

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """As validation."""
        self.validation_step(batch, batch_index)

    def on_validation_epoch_end(self) -> None:
        """Log mean, median and 90th percentile over planes for each component, and the mean of the two means."""
        self._log_errors("validation")
        # Again, exactly: checkpoints are named by it.
        self.log("batches_seen", self.batches_seen.float(), sync_dist=True)

    def on_test_epoch_end(self) -> None:
        """As validation."""
        self._log_errors("test")

    def _log_errors(self, stage: str) -> None:
        for name, value in self.errors.summary().items():
            # The same on every rank, since the errors of all were gathered; Lightning wants to be told so.
            self.log(f"{stage}/{name}", value, prog_bar=name.endswith("_mse"), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in plain types what made the weights and which networks they belong to: a checkpoint stands alone."""
        checkpoint["networks"] = {name: describe_network(self.generators[name]) for name in COMPONENTS}
        checkpoint["made_by"] = {"version": describe_code(), "machine": describe_machine(str(self.device))}
