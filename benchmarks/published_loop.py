"""The published training loop in plain PyTorch, written from the paper's description.

It has four networks and four Adam optimizers, treats one component after the other, and uses contiguous float32 planes
without Lightning. benchmarks/training.py compares our speed with it, and tests/benchmarks/test_published_loop.py checks
`DSFUNet.training_step` against it.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsfunet.networks import Pix2PixGenerator
from dsfunet.networks.inputs import select_inputs
from dsfunet.planes.preprocessing import COMPONENTS

ADAM = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))


def layer_by_layer(network: nn.Module) -> nn.Module:
    """Return a copy of a network that runs layer by layer, as in the paper's figure."""
    network = copy.deepcopy(network)
    if isinstance(network, Pix2PixGenerator):
        # Our network merges the layers of its head into one (`dsfunet.networks.pix2pix_generator`); undo that.
        network.head = nn.Sequential(*network.head)  # type: ignore[assignment]
    return network


class PublishedLoop:
    """The published loop: a step of both GANs in turn, then the joint step.

    For each component the generator runs and takes a step with the adversarial loss of equation 8 plus 100 x L1, while
    the discriminator is frozen; then the discriminator takes a step on the true component and the detached output.
    Finally both generators run again and take a step with smooth L1 between the shifted products.

    Args:
        generators: generator of each component.
        discriminators: discriminator of each component; an empty mapping trains without adversarial loss.
        optimizer: makes an optimizer from a network's parameters; by default the paper's Adam.
        reconstruction_weight: lambda of equation 10.
    """

    def __init__(
        self,
        generators: Mapping[str, nn.Module],
        discriminators: Mapping[str, nn.Module],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = ADAM,
        reconstruction_weight: float = 100.0,
    ) -> None:
        self.generators = generators
        self.discriminators = discriminators
        self.reconstruction_weight = reconstruction_weight
        self.generator_optimizers, self.discriminator_optimizers = (
            {name: optimizer(network.parameters()) for name, network in networks.items()}
            for networks in (generators, discriminators)
        )

    def iterate(self, batch: Mapping[str, Tensor]) -> None:
        """Run one iteration on a batch with the tensors that `DSFUNet.training_step` takes."""
        for name in COMPONENTS:
            output = self._generate(name, batch)
            self._generator_step(name, output, batch)
            if self.discriminators:
                self._discriminator_step(name, output.detach(), batch)
        self._joint_step(batch)

    def _generate(self, name: str, batch: Mapping[str, Tensor]) -> Tensor:
        generator = self.generators[name]
        planes = select_inputs(generator, batch["input"])
        output: Tensor = generator(planes.contiguous())
        return output

    def _generator_step(self, name: str, output: Tensor, batch: Mapping[str, Tensor]) -> None:
        loss = self.reconstruction_weight * functional.l1_loss(output, batch[name])
        if self.discriminators:
            self.discriminators[name].requires_grad_(False)
            logits = self.discriminators[name](output, batch["clean"])
            loss = loss + _cross_entropy(logits, 1.0)
        self.generator_optimizers[name].zero_grad()
        loss.backward()
        self.generator_optimizers[name].step()

    def _discriminator_step(self, name: str, output: Tensor, batch: Mapping[str, Tensor]) -> None:
        discriminator, optimizer = self.discriminators[name], self.discriminator_optimizers[name]
        discriminator.requires_grad_(True)
        loss_real = _cross_entropy(discriminator(batch[name], batch["clean"]), 1.0)
        loss_fake = _cross_entropy(discriminator(output, batch["clean"]), 0.0)
        optimizer.zero_grad()
        (0.5 * (loss_real + loss_fake)).backward()
        optimizer.step()

    def _joint_step(self, batch: Mapping[str, Tensor]) -> None:
        first, second = (self._generate(name, batch) + 2 for name in COMPONENTS)
        truth_first, truth_second = (batch[name] + 2 for name in COMPONENTS)
        loss = functional.smooth_l1_loss(first * second - 2, truth_first * truth_second - 2)
        for optimizer in self.generator_optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.generator_optimizers.values():
            optimizer.step()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
