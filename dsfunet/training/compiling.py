"""Compiled networks: each generator and discriminator by itself, in place."""

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from dsfunet.errors import InputError
from dsfunet.training.module import DSFUNet

# Code is kept by class, and both networks of a pair share theirs, each with variants: training, frozen while the
# opponents train, validated, and the last, smaller batch. Torch gives up, and runs uncompiled, after 8 by default.
_VARIANTS = 64


class CompileNetworks(Callback):
    """Compiles every network of a module by `nn.Module.compile`, before it is first used.

    In place, so that checkpoints keep their names (`torch.compile(network)` would put `_orig_mod.` before each), and
    never the whole module, whose training step is no graph. The averaged copies are compiled too. The first batch and
    the first validation take a minute or more.

    Args:
        backend: a compiler that torch knows: `inductor` makes kernels, `aot_eager` only traces, for tests.
        mode: inductor's `default`, `reduce-overhead` or `max-autotune`; None is `default`.

    Raises:
        InputError: there is no such backend.
    """

    def __init__(self, backend: str = "inductor", mode: str | None = None) -> None:
        known = torch.compiler.list_backends(exclude_tags=None)
        if backend not in known:
            raise InputError(f"backend is {backend!r}: expected one of {', '.join(sorted(known))}")
        self.backend = backend
        self.mode = mode

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Compile, which costs nothing until the first call."""
        assert isinstance(pl_module, DSFUNet)
        # Both settings hold for the whole process. Graphs need not be cut where DistributedDataParallel would send
        # gradients: it sends none here, see `dsfunet.training.manual_optimization`.
        torch._dynamo.config.optimize_ddp = False
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
        for networks in (pl_module.generators, pl_module.discriminators, pl_module.averages):
            for network in networks.values() if networks is not None else ():
                network.compile(backend=self.backend, mode=self.mode)
