"""The monitor of a run: speed, use of the processor, waiting for planes, learning rates and memory."""

import copy
import resource
import sys
import time
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.flop_counter import FlopCounterMode

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS
from dsfunet.training.module import DSFUNet

PEAK_TFLOPS = {
    "H200": (67.0, 989.0),
    "H100": (67.0, 989.0),
    "A100": (19.5, 312.0),
    "L40S": (91.6, 362.0),
    "A10G": (31.2, 70.0),
    "A40": (37.4, 149.7),
    "L4": (30.3, 121.0),
}
"""Highest rates of GPUs by a part of their names, from their data sheets, without sparsity: float32 and bfloat16."""


def name_optimizers(trainer: lightning.Trainer) -> list[tuple[str, torch.optim.Optimizer]]:
    """Return the optimizers of a `DSFUNet` with the names of their networks; the second needs discriminators."""
    return list(zip(("generators", "discriminators"), trainer.optimizers, strict=False))


def find_peak_tflops(device: torch.device, precision: str) -> float | None:
    """Return the highest rate of a GPU at a precision of the trainer [TFLOP/s]; None if it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    for part, rates in PEAK_TFLOPS.items():
        if part in name:
            return rates["bf16" in precision]
    return None


@torch.no_grad()
def count_operations(module: DSFUNet) -> float:
    """Count the operations of the networks in a training step, for one plane [FLOP].

    Counted are convolutions and matrix products of one forward pass of each network, on a device without memory; a
    backward pass takes twice as many. The generators run once, and again in a separate joint step; each discriminator
    runs three times, and one of these goes back to its input only.
    """
    plane = torch.empty(1, 2, PIXELS, PIXELS, device="meta")
    flops = 0.0
    for component in COMPONENTS:
        generator = copy.deepcopy(module.generators[component]).to("meta")
        channels = int(getattr(generator, "in_channels", 1))
        passes = 3.0 * (1 + (module.joint_step == "separate")) if component in module.trained else 1.0
        flops += passes * _count(generator, plane[:, :1].expand(-1, channels, -1, -1))
        if component in module.discriminators:
            discriminator = copy.deepcopy(module.discriminators[component]).to("meta")
            flops += 8.0 * _count(discriminator, plane[:, :1], plane[:, :1])
    return flops


def _count(network: torch.nn.Module, *inputs: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return float(counter.get_total_flops())


class RunMonitor(Callback):
    """Monitor of the run: speed, use of the processor, waiting for planes, learning rates and memory.

    Every `log_every_n_steps` batches, as the losses, it logs

    * `samples_per_second`: mean since the last log, over all ranks and without validation;
    * `loader_wait`: share of that time in which this rank waited for planes, 0 to 1;
    * `mfu`: use of the processor, the operations of the networks divided by what the devices could do at most, 0 to 1,
      where that is known;
    * `learning_rate/generators` and `learning_rate/discriminators` of the batch;
    * `memory_gib`: largest memory of the training process so far, without its workers [GiB]; and on a GPU
      `gpu_memory_gib`, the largest memory used so far on this rank [GiB].

    Args:
        peak_tflops: highest rate of one device at the precision of the run [TFLOP/s], for `mfu`; None takes it from
            the name of the GPU.

    Raises:
        InputError: the rate is not above 0.
    """

    def __init__(self, peak_tflops: float | None = None) -> None:
        if peak_tflops is not None and not peak_tflops > 0:
            raise InputError(
                f"peak_tflops is {peak_tflops:g}; expected more than 0, or null for that of the GPU"
            )
        self.peak_tflops = peak_tflops
        self._operations = 0.0
        self._peak: float | None = None
        self._since = 0.0
        self._samples = 0
        self._waited = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Count the operations of a plane, if the highest rate of the device is known."""
        assert isinstance(pl_module, DSFUNet)
        self._peak = self.peak_tflops or find_peak_tflops(pl_module.device, str(trainer.precision))
        if self._peak is not None:
            self._operations = count_operations(pl_module)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average."""
        self._restart(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a new average, to leave out the time of the validation."""
        self._restart(trainer)

    def _restart(self, trainer: lightning.Trainer) -> None:
        self._since, self._samples, self._waited = time.monotonic(), 0, _seconds_waited(trainer)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the samples, and log every `log_every_n_steps` batches."""
        self._samples += len(batch["input"]) * trainer.world_size
        assert isinstance(pl_module, DSFUNet)
        if not pl_module.losses_are_due():
            return
        for name, optimizer in name_optimizers(trainer):
            pl_module.log(f"learning_rate/{name}", optimizer.param_groups[0]["lr"])
        seconds = time.monotonic() - self._since
        speed = self._samples / seconds
        pl_module.log("samples_per_second", speed, prog_bar=True)
        pl_module.log("loader_wait", (_seconds_waited(trainer) - self._waited) / seconds)
        if self._peak is not None:
            pl_module.log("mfu", speed * self._operations / (1e12 * self._peak * trainer.world_size))
        # Linux counts in KiB, macOS in bytes.
        unit = 2**30 if sys.platform == "darwin" else 2**20
        pl_module.log("memory_gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
        if torch.cuda.is_available():
            pl_module.log("gpu_memory_gib", torch.cuda.max_memory_allocated() / 2**30)
        self._restart(trainer)


def _seconds_waited(trainer: lightning.Trainer) -> float:
    """Return how long the training loader has been waited for in all [s]; 0 for a loader that does not tell."""
    return float(getattr(trainer.train_dataloader, "seconds_waited", 0.0))
