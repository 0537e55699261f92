"""The networks as a predictor, in one of three evaluation modes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from dsfunet._typing import Planes
from dsfunet.errors import InputError
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.lattice.search import find_lattice
from dsfunet.networks.pix2pix_generator import NoiseDropout
from dsfunet.planes.preprocessing import spread, unspread
from dsfunet.planes.turns import rotate_and_flip, undo_rotation_and_flip
from evaluate.predictors.cases import Case, Prediction

Way = Literal["deterministic", "dropout", "turns"]

SYMMETRIES = 8
"""Turns and flips of a square plane."""

_SMALLEST_PASSES = 2


@dataclass(frozen=True)
class Mode:
    """How often a plane goes through the networks, and what differs between the passes.

    `deterministic` is one pass; `dropout:n` is n passes with dropout on, the noise z of the paper; `turns:n` is
    the first n of the eight turns and flips of the square, each turned back. Of several passes the mean in spread
    space is the answer and their standard deviation (n - 1 in the denominator) its uncertainty.
    """

    way: Way = "deterministic"
    passes: int = 1

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """A mode from its name, such as `dropout:16`.

        Raises:
            InputError: it is not one.
        """
        way, _, count = text.partition(":")
        if way == "deterministic" and not count:
            return cls()
        most = {"dropout": 1000, "turns": SYMMETRIES}.get(way)
        if most is None or not count.isdecimal() or not _SMALLEST_PASSES <= int(count) <= most:
            raise InputError(
                f"mode {text!r}: expected deterministic, dropout:N with N of {_SMALLEST_PASSES} to 1000, or"
                f" turns:N with N of {_SMALLEST_PASSES} to {SYMMETRIES}"
            )
        return cls("dropout" if way == "dropout" else "turns", int(count))

    def __str__(self) -> str:
        return self.way if self.way == "deterministic" else f"{self.way}:{self.passes}"


class NetworkPredictor:
    """Both generators as a predictor.

    Planes go through one batch of a fixed size after another, and the dropout of a plane is seeded by its number:
    answers do not depend on how planes are shared out over processes.

    Args:
        factorizer: the networks.
        mode: how they are asked.
        seed: of the dropout.

    Raises:
        InputError: the mode asks for dropout, and a network has none.
    """

    def __init__(self, factorizer: Factorizer, mode: Mode | None = None, seed: int = 0) -> None:
        self.factorizer = factorizer
        self.mode = mode or Mode()
        self._seed = seed
        self._last: tuple[Sequence[Case], Prediction] | None = None
        networks = (factorizer.generators.form_factor, factorizer.generators.short_range_order)
        self._dropouts = [
            layer
            for network in networks
            for layer in network.modules()
            if isinstance(layer, NoiseDropout) and layer.probability > 0
        ]
        if self.mode.way == "dropout" and not self._dropouts:
            raise InputError(
                f"mode {self.mode}: the networks of {factorizer.generators.source} have no dropout; expected"
                f" deterministic or turns:{SYMMETRIES}"
            )

    @property
    def title(self) -> str:
        """For tables."""
        return "the networks" if self.mode.way == "deterministic" else f"the networks, {self.mode}"

    @property
    def description(self) -> Mapping[str, Any]:
        """Which weights, how asked, and on what kind of device."""
        return {
            "weights": self.factorizer.generators.source,
            "digest": self.factorizer.generators.digest,
            "mode": str(self.mode),
            "device": self.factorizer.device.type,
            "batch_size": self.factorizer.batch_size,
        }

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split planes, in the order given; asked again of the very same, it gives the answer it gave.

        Raises:
            InputError: a plane has nothing to factorise.
        """
        if self._last is None or self._last[0] is not cases:
            # On a GPU exact and repeatable, whichever does the work; on a CPU this changes nothing.
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                self._last = cases, self._split(cases)
        return self._last[1]

    def _split(self, cases: Sequence[Case]) -> Prediction:
        planes, masks = np.stack([case.scattering for case in cases]), np.stack([case.mask for case in cases])
        if self.mode.way == "deterministic":
            answer = self.factorizer(planes, mask=masks)
            return Prediction(answer.form_factor, answer.short_range_order)
        # Mean and sum of squared differences pass by pass (Welford), for any number of them in little memory.
        mean = np.zeros((2, *planes.shape))
        squares = np.zeros_like(mean)
        for number in range(self.mode.passes):
            found = self._pass(number, planes, masks, cases)
            difference = found - mean
            mean += difference / (number + 1)
            squares += difference * (found - mean)
        deviation = np.sqrt(squares / (self.mode.passes - 1))
        form_factor, short_range_order = unspread(mean).astype(np.float32)
        return Prediction(form_factor, short_range_order, *deviation.astype(np.float32))

    def _pass(
        self, number: int, planes: Planes, masks: npt.NDArray[np.bool_], cases: Sequence[Case]
    ) -> Planes:
        """Both components (2, n, 256, 256), in spread space, of one pass."""
        if self.mode.way == "turns":
            answer = self.factorizer(rotate_and_flip(planes, number), mask=rotate_and_flip(masks, number))
            both = np.stack([answer.form_factor, answer.short_range_order])
            return spread(undo_rotation_and_flip(both, number))
        return spread(np.stack([self._dropout_pass(number, case) for case in cases], axis=1))

    def _dropout_pass(self, number: int, case: Case) -> Planes:
        device = self.factorizer.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # One number for each plane and pass: streams of torch take no more.
            seeds = np.random.SeedSequence([self._seed, case.number, number])
            torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
            for layer in self._dropouts:
                layer.sampling = True
            try:
                answer = self.factorizer(case.scattering[None], mask=case.mask[None])
            finally:
                for layer in self._dropouts:
                    layer.sampling = False
        return np.concatenate([answer.form_factor, answer.short_range_order])


class LatticeModePredictor:
    """The networks, and then the lattice: `Factorizer.split_on_lattice`, where it accepts the lattice.

    Args:
        network: the networks; what they answered to the same cases just before is not asked again.
    """

    title = "the networks in lattice mode"

    def __init__(self, network: NetworkPredictor) -> None:
        self._network = network
        self.description: Mapping[str, Any] = {"method": "lattice_mode", "network": network.description}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split planes; where the lattice does not fit, the networks' answer stands.

        Raises:
            InputError: a plane has nothing to factorise.
        """
        answer = self._network(cases)
        form_factors, orders = answer.form_factor.copy(), answer.short_range_order.copy()
        for place, case in enumerate(cases):
            found = self._network.factorizer.split_on_lattice(
                case.scattering, case.mask, case.lattice, form_factors[place], orders[place]
            )
            if found.accepted:
                form_factors[place], orders[place] = found.form_factor, found.short_range_order
        return Prediction(form_factors, orders)


class LatticeFoundPredictor:
    """The networks, and then lattice mode on the lattice found from the plane: they are told Q, but not the cell.

    Args:
        network: the networks; what they answered to the same cases just before is not asked again.
    """

    title = "the networks and the lattice they find"

    def __init__(self, network: NetworkPredictor) -> None:
        self._network = network
        self.description: Mapping[str, Any] = {"method": "lattice_found", "network": network.description}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split planes; where no lattice convinces, the networks' answer stands.

        Raises:
            InputError: a plane has nothing to factorise.
        """
        answer = self._network(cases)
        form_factors, orders = answer.form_factor.copy(), answer.short_range_order.copy()
        for place, case in enumerate(cases):
            plane, mask = case.scattering, case.mask
            found = find_lattice(plane, mask, form_factors[place], orders[place], case.plane)
            if found is not None and found.accepted:
                split = self._network.factorizer.split_on_lattice(
                    plane, mask, found.lattice, form_factors[place], orders[place]
                )
                if split.accepted:
                    form_factors[place], orders[place] = split.form_factor, split.short_range_order
        return Prediction(form_factors, orders)
