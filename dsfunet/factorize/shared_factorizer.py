"""One pair of networks for several threads: what they ask for at the same time goes through as one batch."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dsfunet._typing import Float32
from dsfunet.factorize.factorizer import Factorizer


@dataclass(eq=False)
class _Request:
    """Planes (n, 2, 256, 256) that a thread wants an answer to, and the answer once there is one."""

    shown: torch.Tensor
    networks: Sequence[torch.nn.Module]
    order: torch.Tensor | None
    answer: Float32 | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def kind(self) -> tuple[object, ...]:
        """Requests of one kind can go through together."""
        return (*(id(each) for each in self.networks), self.order is None)


class SharedFactorizer(Factorizer):
    """A `Factorizer` for many threads at once, each with a plane of its own: the networks see them in batches.

    A GPU takes hardly longer for sixteen planes than for one, while all else that is done to a plane (resampling,
    the lattice, files) is done on the processor, in as many threads. Whichever thread finds the networks idle
    takes along what the others are waiting for, up to `batch_size` planes; none waits for a batch to fill. With one
    thread it does what a `Factorizer` does; answers depend on the size of a batch by rounding only.
    """

    _waiting: list[_Request]

    def __init__(self, factorizer: Factorizer, batch_size: int) -> None:
        super().__init__(factorizer.generators, str(factorizer.device), batch_size)
        self._waiting = []
        self._list_lock = threading.Lock()
        self._network_lock = threading.Lock()
        self.batches: list[int] = []
        """How many planes went through together, batch by batch."""

    def _infer(
        self, shown: torch.Tensor, networks: Sequence[torch.nn.Module], order: torch.Tensor | None = None
    ) -> Float32:
        request = _Request(shown, networks, order)
        with self._list_lock:
            self._waiting.append(request)
        with self._network_lock:
            if not request.done.is_set():
                self._run(self._taken_along(request))
        if request.error is not None:
            raise request.error
        assert request.answer is not None
        return request.answer

    def _taken_along(self, first: _Request) -> list[_Request]:
        with self._list_lock:
            together, planes = [first], len(first.shown)
            for other in self._waiting:
                fits = planes + len(other.shown) <= self.batch_size
                if other is not first and other.kind == first.kind and fits:
                    together.append(other)
                    planes += len(other.shown)
            self._waiting = [each for each in self._waiting if each not in together]
        return together

    def _run(self, together: list[_Request]) -> None:
        try:
            shown = torch.cat([each.shown for each in together])
            orders = [each.order for each in together if each.order is not None]
            # Full float32, as on a processor: cuDNN's convolutions would otherwise round to ten bits.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                answers = super()._infer(shown, together[0].networks, torch.cat(orders) if orders else None)
        except BaseException as error:
            for each in together:
                each.error = error
                each.done.set()
            return
        self.batches.append(len(shown))
        start = 0
        for each in together:
            each.answer = answers[:, start : start + len(each.shown)]
            start += len(each.shown)
            each.done.set()
