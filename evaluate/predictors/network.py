"""The networks as predictors: alone in one of three evaluation modes, or followed by lattice mode."""

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

PassKind = Literal["deterministic", "dropout", "turns"]

SYMMETRIES = 8
"""Number of rotations and reflections of a square plane."""

_FEWEST_PASSES = 2


@dataclass(frozen=True)
class Mode:
    """An evaluation mode: how many passes a plane makes through the networks, and what differs between them.

    `deterministic` is one pass. `dropout:n` is n passes with dropout switched on, which is the noise z of Fuller &
    Rudden (2024). `turns:n` is n passes over the first n of the eight rotated and reflected copies of the plane, each
    output turned back. The answer is the mean of the passes in spread space, and their standard deviation (n - 1 in the
    denominator) is its uncertainty.
    """

    kind: PassKind = "deterministic"
    passes: int = 1

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """Parse a mode such as `dropout:16`.

        Raises:
            InputError: if the text is not a mode.
        """
        kind, _, count = text.partition(":")
        if kind == "deterministic" and not count:
            return cls()
        largest = {"dropout": 1000, "turns": SYMMETRIES}.get(kind)
        if largest is None or not count.isdecimal() or not _FEWEST_PASSES <= int(count) <= largest:
            raise InputError(
                f"mode {text!r}: this is not an evaluation mode; expected deterministic, dropout:N with N from"
                f" {_FEWEST_PASSES} to 1000, or turns:N with N from {_FEWEST_PASSES} to {SYMMETRIES}"
            )
        return cls("dropout" if kind == "dropout" else "turns", int(count))

    def __str__(self) -> str:
        return self.kind if self.kind == "deterministic" else f"{self.kind}:{self.passes}"


class NetworkPredictor:
    """Both generators as a predictor.

    All batches have one fixed size, and the dropout of a plane is seeded by its number. The answers therefore do not
    depend on how planes are distributed over processes.

    Args:
        factorizer: the networks.
        mode: evaluation mode; None is `deterministic`.
        seed: of the dropout.

    Raises:
        InputError: if the mode needs dropout and the networks have none.
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
        if self.mode.kind == "dropout" and not self._dropouts:
            raise InputError(
                f"mode {self.mode}: the networks of {factorizer.generators.source} have no dropout; expected"
                f" deterministic or turns:{SYMMETRIES}"
            )

    @property
    def title(self) -> str:
        """Name of the method in tables."""
        return "the networks" if self.mode.kind == "deterministic" else f"the networks, {self.mode}"

    @property
    def description(self) -> Mapping[str, Any]:
        """Weights, mode, kind of device and batch size."""
        return {
            "weights": self.factorizer.generators.source,
            "digest": self.factorizer.generators.digest,
            "mode": str(self.mode),
            "device": self.factorizer.device.type,
            "batch_size": self.factorizer.batch_size,
        }

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split planes; a second call with the same `cases` object returns the first answer without computing it again.

        Raises:
            InputError: if a plane has nothing to factorise.
        """
        if self._last is None or self._last[0] is not cases:
            # Makes a GPU exact and repeatable; on a CPU it changes nothing.
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                self._last = cases, self._split(cases)
        return self._last[1]

    def _split(self, cases: Sequence[Case]) -> Prediction:
        planes, masks = np.stack([case.scattering for case in cases]), np.stack([case.mask for case in cases])
        if self.mode.kind == "deterministic":
            answer = self.factorizer(planes, mask=masks)
            return Prediction(answer.form_factor, answer.short_range_order)
        # Welford's update of mean and squared differences needs little memory for any number of passes.
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
        """Return both components (2, n, 256, 256) of one pass, in spread space."""
        if self.mode.kind == "turns":
            answer = self.factorizer(rotate_and_flip(planes, number), mask=rotate_and_flip(masks, number))
            both = np.stack([answer.form_factor, answer.short_range_order])
            return spread(undo_rotation_and_flip(both, number))
        return spread(np.stack([self._dropout_pass(number, case) for case in cases], axis=1))

    def _dropout_pass(self, number: int, case: Case) -> Planes:
        device = self.factorizer.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            # Torch seeds a stream with a single number, so seed, plane and pass are combined into one.
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
    """The networks followed by lattice mode on the true lattice (`Factorizer.split_on_lattice`).

    Args:
        network: the networks; their answer to the same cases is reused if they gave it just before.
    """

    title = "the networks in lattice mode"

    def __init__(self, network: NetworkPredictor) -> None:
        self._network = network
        self.description: Mapping[str, Any] = {"method": "lattice_mode", "network": network.description}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split planes; keep the answer of the networks where lattice mode rejects the lattice.

        Raises:
            InputError: if a plane has nothing to factorise.
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
    """The networks followed by lattice mode on the lattice found from the plane; Q is known, the cell is not.

    Args:
        network: the networks; their answer to the same cases is reused if they gave it just before.
    """

    title = "the networks and the lattice they find"

    def __init__(self, network: NetworkPredictor) -> None:
        self._network = network
        self.description: Mapping[str, Any] = {"method": "lattice_found", "network": network.description}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split planes; keep the answer of the networks where no lattice is accepted.

        Raises:
            InputError: if a plane has nothing to factorise.
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
