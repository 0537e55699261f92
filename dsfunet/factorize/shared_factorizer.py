"""One pair of networks for several threads: requests made at the same time are answered in one batch."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dsfunet._typing import Float32
from dsfunet.factorize.factorizer import Factorizer


@dataclass(eq=False)
class _Request:
    """Network inputs (n, 2, 256, 256) of one thread, and the answer when it is available."""

    shown: torch.Tensor
    networks: Sequence[torch.nn.Module]
    order: torch.Tensor | None
    answer: Float32 | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def kind(self) -> tuple[object, ...]:
        """Requests of the same kind can be answered in one batch."""
        return (*(id(each) for each in self.networks), self.order is None)


class SharedFactorizer(Factorizer):
    """A `Factorizer` that many threads use at once, each with its own plane; the networks process them in batches.

    A GPU needs hardly more time for sixteen planes than for one, while the rest of the work on a plane (resampling,
    lattice mode, files) runs on the CPU, in as many threads. A thread that finds the networks idle also answers the
    requests of the threads that are waiting, up to `batch_size` planes. No thread waits for a batch to fill. With a
    single thread this is a `Factorizer`. The size of a batch changes answers by rounding only.
    """

    _waiting: list[_Request]

    def __init__(self, factorizer: Factorizer, batch_size: int) -> None:
        super().__init__(factorizer.generators, str(factorizer.device), batch_size)
        self._one = factorizer  # which may run on several devices
        self._waiting = []
        self._list_lock = threading.Lock()
        self._network_lock = threading.Lock()
        self.batches: list[int] = []
        """Number of planes in each batch so far."""

    def _infer(
        self, shown: torch.Tensor, networks: Sequence[torch.nn.Module], order: torch.Tensor | None = None
    ) -> Float32:
        request = _Request(shown, networks, order)
        with self._list_lock:
            self._waiting.append(request)
        with self._network_lock:
            if not request.done.is_set():
                self._run(self._collect_requests(request))
        if request.error is not None:
            raise request.error
        assert request.answer is not None
        return request.answer

    def _collect_requests(self, first: _Request) -> list[_Request]:
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
            # Full float32, as on a CPU: by default cuDNN's convolutions round to ten bits.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                answers = self._one._infer(shown, together[0].networks, torch.cat(orders) if orders else None)
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
