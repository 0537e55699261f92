"""Compilation of the networks, each generator and discriminator by itself."""

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from dsfunet.errors import InputError
from dsfunet.training.module import DSFUNet

# Torch keeps compiled code by class, so both networks of a pair share a cache, each with several variants: training,
# frozen while the opponents train, validation, and the last, smaller batch. Beyond 8 variants, the default, torch stops
# compiling.
_VARIANTS = 64


class CompileNetworks(Callback):
    """Compilation of every network by `nn.Module.compile`, before its first use.

    The networks are compiled in place, so that the names in checkpoints stay (`torch.compile(network)` would put
    `_orig_mod.` before each). The LightningModule itself is not compiled: its training step is not one graph. The
    averaged copies are compiled too. The first batch and the first validation take a minute or more.

    Args:
        backend: compiler that torch knows: `inductor` generates kernels; `aot_eager` only traces, for tests.
        mode: mode of inductor: `default`, `reduce-overhead` or `max-autotune`; None is `default`.

    Raises:
        InputError: torch knows no such backend.
    """

    def __init__(self, backend: str = "inductor", mode: str | None = None) -> None:
        known = torch.compiler.list_backends(exclude_tags=None)
        if backend not in known:
            raise InputError(f"backend is {backend!r}; expected one of {', '.join(sorted(known))}")
        self.backend = backend
        self.mode = mode

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Mark the networks for compilation, which happens at their first call."""
        assert isinstance(pl_module, DSFUNet)
        # Both settings hold for the whole process. DistributedDataParallel sends no gradients here (see
        # `dsfunet.training.manual_optimization`), so graphs need not be split for it.
        torch._dynamo.config.optimize_ddp = False
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
        for networks in (pl_module.generators, pl_module.discriminators, pl_module.averages):
            for network in networks.values() if networks is not None else ():
                network.compile(backend=self.backend, mode=self.mode)
