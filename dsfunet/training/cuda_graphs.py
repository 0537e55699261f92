"""Optimizer steps recorded once as a CUDA graph: small networks' steps are thousands of kernels of microseconds."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from dsfunet.errors import InputError

_STEPS_BEFORE = 3  # as they are: they make the optimizer's state, and what libraries keep


class GraphSteps(Callback):
    """Records the step of every optimizer as a CUDA graph and replays it; on other devices it records nothing.

    Starting the kernels of Muon's step takes a CPU longer than a GPU takes to run them. The results are the same but
    for rounding (timm multiplies by a rate on the device in bfloat16): learning rates may change from step to step, the
    optimizer's state is kept where it was, and checkpoints are those of a run without this.

    Raises:
        InputError: at the start of training, an optimizer that cannot be recorded (it has no setting `capturable`).
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the recorder in each optimizer's place."""
        if pl_module.device.type != "cuda":
            return
        for optimizer in trainer.optimizers:
            if "capturable" not in optimizer.defaults:
                raise InputError(
                    f"{type(optimizer).__name__} cannot be recorded: expected an optimizer with the setting capturable,"
                    " or no GraphSteps among trainer.callbacks"
                )
            optimizer.step = _GraphedStep(optimizer)  # type: ignore[method-assign]

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leave out that steps can be recorded: a run that goes on without a GPU would be refused by its optimizer."""
        for state in checkpoint.get("optimizer_states", ()):
            for group in state["param_groups"]:
                if "capturable" in group:
                    group["capturable"] = False


class _GraphedStep:
    """Takes the place of `optimizer.step`."""

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
        optimizer._warned_capturable_if_run_uncaptured = True  # the first steps are
        for parameter, state in optimizer.state.items():
            if isinstance(state.get("step"), Tensor):
                state["step"] = state["step"].to(parameter.device)

    def __call__(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step by the gradients that are there; what the closure gives."""
        result = closure() if closure is not None else None
        parameters = [
            each
            for group in self._optimizer.param_groups
            for each in group["params"]
            if each.grad is not None
        ]
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            rate.fill_(group["lr"])
        if self._steps < _STEPS_BEFORE:
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
        """The step by gradients at an address of their own, which are filled before every replay."""
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
        """The optimizer's own step, with learning rates on the device."""
        groups = self._optimizer.param_groups
        rates = [group["lr"] for group in groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate
        try:
            self._eager()
        finally:
            for group, number in zip(groups, rates, strict=True):
                group["lr"] = number
