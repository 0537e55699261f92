"""One factorizer on several devices: each batch is divided between copies of the networks."""

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from dsfunet._typing import Float32
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.networks.inputs import select_inputs
from dsfunet.networks.weights import Generators


class SeveralDevicesFactorizer(Factorizer):
    """A `Factorizer` whose networks run on several devices at once, such as all GPUs of a machine.

    A stack of planes is divided into equal parts, one for each device; answers are those of one device, but for
    rounding. Everything else on a plane runs on the CPU.

    Args:
        generators: Both networks, from `dsfunet.networks.weights`.
        devices: Names of devices, such as ("cuda:0", "cuda:1"); a device may be named several times.
        batch_size: Number of planes that go through the networks at once, on each device.

    Raises:
        InputError: No device is named.
    """

    def __init__(self, generators: Generators, devices: Sequence[str], batch_size: int = 8) -> None:
        if not devices:
            raise InputError("device: no device is named; expected one or more, such as cuda:0,cuda:1")
        super().__init__(generators, devices[0], batch_size * len(devices))
        self.devices = [torch.device(each) for each in devices]
        self._copies: dict[int, list[nn.Module]] = {}
        for network in self._networks:
            others = [copy.deepcopy(network).to(device) for device in self.devices[1:]]
            self._copies[id(network)] = [network, *others]
        self._threads = ThreadPoolExecutor(len(self.devices))

    def _infer(
        self, shown: torch.Tensor, networks: Sequence[nn.Module], order: torch.Tensor | None = None
    ) -> Float32:
        """Outputs of each network, (networks, n, 256, 256) in spread space, from all devices together."""
        parts = shown.chunk(len(self.devices))
        orders = [None] * len(parts) if order is None else order.chunk(len(self.devices))
        futures = [
            self._threads.submit(self._infer_part, place, part, networks, its_order)
            for place, (part, its_order) in enumerate(zip(parts, orders, strict=True))
        ]
        # On a GPU the transfer to the CPU waits for its part; the other devices go on meanwhile.
        result: Float32 = torch.cat([future.result() for future in futures], dim=1).numpy()
        return result

    def _infer_part(
        self,
        place: int,
        shown: torch.Tensor,
        networks: Sequence[nn.Module],
        order: torch.Tensor | None,
    ) -> torch.Tensor:
        device = self.devices[place]
        with torch.inference_mode():  # which holds for one thread
            outputs = [
                self._copies[id(network)][place](
                    select_inputs(network, shown, order).to(device, memory_format=torch.channels_last)
                )[:, 0]
                for network in networks
            ]
            return torch.stack(outputs).float().cpu()
