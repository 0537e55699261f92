"""Averages of gradients over ranks, exchanged while the backward pass still computes the others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

_BUCKET_BYTES = (
    25 * 2**20
)  # as torch's DistributedDataParallel: large enough for the bandwidth, and small enough


class GradientExchange:
    """Exchange of the gradients of one optimizer's parameters between ranks, in buckets.

    A bucket is sent as soon as the backward pass has computed all of its gradients. The backward pass goes from the
    last layers to the first ones, and so do the buckets. All ranks send them in the same order, whatever the order in
    which they become ready; a bucket with a parameter that got no gradient is sent at the end.

    Args:
        parameters: parameters of the optimizer, all of which require gradients now.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._buckets: list[list[nn.Parameter]] = [[]]
        size = 0
        for parameter in reversed(parameters):
            size += parameter.numel() * parameter.element_size()
            if size > _BUCKET_BYTES and self._buckets[-1]:
                self._buckets.append([])
                size = parameter.numel() * parameter.element_size()
            self._buckets[-1].append(parameter)
        self._bucket_of = {
            parameter: number for number, bucket in enumerate(self._buckets) for parameter in bucket
        }
        self._active = False
        self._missing: list[int] = []
        self._sent: list[tuple[list[Tensor], Tensor, Any]] = []
        self.sent_early = 0
        """Number of buckets of the latest exchange that were sent before the backward pass ended."""
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._note)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """Send gradients from now on: call this before the last backward pass of a step."""
        self._active, self._sent = True, []
        self._missing = [len(bucket) for bucket in self._buckets]

    def _note(self, parameter: Tensor) -> None:
        if not self._active:
            return
        self._missing[self._bucket_of[parameter]] -= 1  # type: ignore[index]
        # Only in order: a collective call must be the same one on all ranks.
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    def _send(self) -> None:
        gradients = [each.grad for each in self._buckets[len(self._sent)] if each.grad is not None]
        if not gradients:
            self._sent.append(([], torch.empty(0), None))
            return
        message = torch.cat([each.reshape(-1) for each in gradients])
        self._sent.append((gradients, message, distributed.all_reduce(message, async_op=True)))

    @torch.no_grad()
    def finish(self, ranks: int) -> None:
        """Send what is left, wait for all ranks, and replace every gradient by its average."""
        self.sent_early = len(self._sent)
        while len(self._sent) < len(self._buckets):
            self._send()
        self._active = False
        for gradients, message, work in self._sent:
            if work is None:
                continue
            work.wait()
            message /= ranks
            means = torch.split(message, [each.numel() for each in gradients])
            torch._foreach_copy_(
                gradients, [mean.view(each.shape) for mean, each in zip(means, gradients, strict=True)]
            )
        self._sent = []
