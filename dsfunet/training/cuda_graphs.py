"""Optimizer steps as CUDA graphs: a step of a small network is thousands of kernels of microseconds each."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dsfunet.errors import InputError

_EAGER_STEPS = 3  # before recording: they create the optimizer's state and the caches of libraries


class GraphSteps(Callback):
    """Recording of every optimizer's step as a CUDA graph, which is then replayed; does nothing on other devices.

    The CPU needs longer to launch the kernels of Muon's step than the GPU needs to run them. Results are the same but
    for rounding (timm multiplies by a learning rate on the device in bfloat16). Learning rates may change from step to
    step, the optimizer's state stays where it is, and checkpoints are the same as without this callback.

    Raises:
        InputError: at the start of training, an optimizer cannot be recorded (it has no setting `capturable`).
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Replace the step of each optimizer by the recorder."""
        if pl_module.device.type != "cuda":
            return
        for optimizer in trainer.optimizers:
            if "capturable" not in optimizer.defaults:
                raise InputError(
                    f"GraphSteps cannot record {type(optimizer).__name__}, which has no setting capturable; use another"
                    " optimizer, or remove GraphSteps from trainer.callbacks"
                )
            optimizer.step = _GraphedStep(optimizer)  # type: ignore[method-assign]

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Reset `capturable` in the checkpoint; without a GPU, optimizers refuse to resume with it."""
        for state in checkpoint.get("optimizer_states", ()):
            for group in state["param_groups"]:
                if "capturable" in group:
                    group["capturable"] = False


class _GraphedStep:
    """A replacement for `optimizer.step` that records the step and replays it."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._eager: Callable[[], Any] = optimizer.step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0
        self._gradients: list[Tensor] = []
        self._rates: list[Tensor] = []
        for group in optimizer.param_groups:
            group["capturable"] = True
            self._rates.append(torch.tensor(float(group["lr"]), device=group["params"][0].device))
        optimizer.defaults["capturable"] = True
        optimizer._warned_capturable_if_run_uncaptured = (
            True  # the first steps run uncaptured, which is intended
        )
        for parameter, state in optimizer.state.items():
            if isinstance(state.get("step"), Tensor):
                state["step"] = state["step"].to(parameter.device)

    def __call__(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the present gradients; returns the result of the closure."""
        result = closure() if closure is not None else None
        parameters = [
            each
            for group in self._optimizer.param_groups
            for each in group["params"]
            if each.grad is not None
        ]
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            rate.fill_(group["lr"])
        if self._steps < _EAGER_STEPS:
            self._step_eagerly()
        else:
            if self._graph is None:
                self._record(parameters)
            assert self._graph is not None
            torch._foreach_copy_(self._gradients, [each.grad for each in parameters])
            self._graph.replay()
        self._steps += 1
        return result

    def _record(self, parameters: list[Tensor]) -> None:
        """Record the step with gradients in fixed buffers, which are filled before every replay."""
        given = [each.grad for each in parameters]
        self._gradients = [torch.empty_like(each) for each in given if each is not None]
        for parameter, gradient in zip(parameters, self._gradients, strict=True):
            parameter.grad = gradient
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._step_eagerly()
        for parameter, before in zip(parameters, given, strict=True):
            parameter.grad = before
        self._graph = graph

    def _step_eagerly(self) -> None:
        """Run the optimizer's own step, with learning rates on the device."""
        groups = self._optimizer.param_groups
        rates = [group["lr"] for group in groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate
        try:
            self._eager()
        finally:
            for group, number in zip(groups, rates, strict=True):
                group["lr"] = number
