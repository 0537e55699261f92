"""Planes in, components out: `Factorizer` is what users call."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from dsfunet._typing import Planes
from dsfunet.errors import InputError
from dsfunet.factorize.components import Components
from dsfunet.factorize.uncertainty import Passes, sigmas_of, summarised, uncertainty_in_words
from dsfunet.lattice.mode import LatticeAnswer, average_friedel_mates, split_on_lattice
from dsfunet.lattice.search import FoundLattice, find_lattice
from dsfunet.networks.calibration import Calibration
from dsfunet.networks.inputs import shown_to
from dsfunet.networks.spectral_unet import MOST_CHANNELS
from dsfunet.networks.weights import Generators, load_generators, load_release
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.geometry import Geometry
from dsfunet.planes.preprocessing import PIXELS, check_planes, network_input, spread, unspread
from dsfunet.planes.resampling import is_network_grid, to_network_plane, to_user_grid
from dsfunet.planes.turns import turned, turned_back, turns_of


class Factorizer:
    """Splits planes of diffuse scattering into form factor and short-range order.

    The answer is deterministic: dropout is off. A plane whose lattice is known is best split with it: I_SRO then
    follows from the lattice and the plane themselves (`dsfunet.lattice.mode`).

    Example:
        >>> components = Factorizer.from_pretrained()(plane)  # plane: (256, 256), NaN where not measured
        >>> components.short_range_order

    Args:
        generators: both networks, from `dsfunet.networks.weights`.
        device: where they run, such as "cpu" or "cuda"; None takes a GPU where there is one.
        batch_size: planes that go through the networks at once.
    """

    def __init__(self, generators: Generators, device: str | None = None, batch_size: int = 8) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.generators = generators
        self.batch_size = batch_size
        self.calibration: Calibration | None = None
        if generators.calibration:
            calibration = Calibration.from_plain(generators.calibration, generators.source)
            # Of other weights it says nothing.
            self.calibration = calibration if calibration.digest == generators.digest else None
        self._networks = [
            network.to(self.device).to(memory_format=torch.channels_last).eval()
            for network in (generators.form_factor, generators.short_range_order)
        ]

    @classmethod
    def from_pretrained(cls, device: str | None = None, batch_size: int = 8) -> "Factorizer":
        """With the weights that ship with the package."""
        return cls(load_release(), device, batch_size)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | None = None, batch_size: int = 8
    ) -> "Factorizer":
        """With weights from a training checkpoint (.ckpt) or a folder of safetensors.

        Raises:
            InputError: it is neither.
        """
        return cls(load_generators(path), device, batch_size)

    @property
    def description(self) -> dict[str, Any]:
        """Which weights these are: name, SHA-256 digest, and the model card where there is one."""
        return {
            "name": self.generators.source,
            "digest": self.generators.digest,
            "card": self.generators.card,
        }

    def __call__(
        self,
        planes: npt.NDArray[Any],
        mask: npt.NDArray[np.bool_] | None = None,
        lattice: LatticePlane | Literal["find"] | None = None,
        passes: int = 1,
        seed: int = 0,
        geometry: Geometry | None = None,
    ) -> Components:
        """Factorise one plane (256, 256) or several (n, 256, 256), in any positive unit.

        NaN, infinite and negative pixels are missing, and so are those where `mask` (True = measured, shape of
        one plane or of all) is False, and those that a numpy masked array hides. `lattice` says where the pixels of
        all the planes lie in reciprocal space, and on which cell; "find" finds one for each from the plane itself.
        `geometry` says the same by a lattice in any orientation, and the plane may then run along any two
        reciprocal-lattice vectors of it, and have any shape, which the components then have, too. What is not 256 x 256
        pixels, square and Cartesian, out to 6 to 8.8 1/Angstrom, is resampled for the networks, and `lattice_answers`
        stay on their grid.

        With several `passes`, up to 8, each plane is asked as it is and turned, `seed` saying which turns; the answer
        is their mean in spread space. Their spread makes the standard uncertainties sharper, which one pass gives, too;
        with 0 passes the answer is that of one, without them.

        Raises:
            InputError: wrong shape or type, a lattice of another shape of planes, a geometry beside a lattice or of a
                plane on which nothing repeats, passes or seed out of range, or a plane with nothing to factorise: no
                measured pixel, or all of them equal.
        """
        if geometry is not None:
            if lattice is not None:
                raise InputError("found a lattice and a geometry, expected one of the two")
            if not is_network_grid(geometry):
                return _on_own_grid(self, planes, mask, geometry, passes, seed)
            lattice = geometry.lattice_plane()
        if isinstance(lattice, LatticePlane) and lattice.plane.shape != (PIXELS, PIXELS):
            raise InputError(
                f"lattice of planes of {lattice.plane.shape} pixels: expected {(PIXELS, PIXELS)}"
            )
        turns = turns_of(passes, seed) if passes else (0,)
        stack, measured = check_planes(planes, mask)
        shape = np.shape(planes)
        answers: list[Passes] = []
        for start in range(0, len(stack), self.batch_size):
            part = slice(start, start + self.batch_size)
            outputs = self.network_passes(stack[part], measured[part], turns, start)
            answers += [summarised(outputs[:, :, place]) for place in range(outputs.shape[2])]
        stack = _in_their_own_unit(stack)
        networks = np.clip(unspread(np.stack([each.mean for each in answers], axis=1)), 0.0, 1.0)
        alone = sigmas_of(self.calibration, "networks", passes, answers, stack, measured)
        words = uncertainty_in_words(self.calibration, passes)
        if lattice is None:
            return Components(
                *_shaped(networks, shape),
                measured.reshape(shape),
                sigma_form_factor=None if alone is None else alone[0].reshape(shape),
                sigma_short_range_order=None if alone is None else alone[1].reshape(shape),
                uncertainty=words,
            )
        found: tuple[FoundLattice | None, ...] = ()
        lattices: list[LatticePlane | None] = []
        each_plane = list(zip(stack, measured, *networks, strict=True))
        if isinstance(lattice, LatticePlane):
            lattices = [lattice] * len(stack)
        else:
            found = tuple(self._convincing(*each) for each in each_plane)
            lattices = [each.lattice if each else None for each in found]
        chosen, sigmas = networks.copy(), None if alone is None else alone.copy()
        on_lattice: list[LatticeAnswer | None] = []
        for place, (each, its_lattice) in enumerate(zip(each_plane, lattices, strict=True)):
            if its_lattice is None:
                on_lattice.append(None)
                continue
            plane, its_mask, *both = each
            answer, outputs = self.lattice_passes(plane, its_mask, its_lattice, both[0], both[1], turns)
            if len(outputs) > 1:
                means = np.clip(unspread(outputs.mean(axis=0)), 0.0, 1.0)
                answer = replace(answer, form_factor=means[0], short_range_order=means[1])
            on_lattice.append(answer)
            if answer.accepted:
                chosen[:, place] = answer.form_factor, answer.short_range_order
                own = sigmas_of(
                    self.calibration, "lattice", passes, [summarised(outputs)], plane[None], its_mask[None]
                )
                if sigmas is not None and own is not None:
                    sigmas[:, place] = own[:, 0]
        return Components(
            *_shaped(chosen, shape),
            measured.reshape(shape),
            tuple(on_lattice),
            _shaped(networks, shape),
            found,
            sigma_form_factor=None if sigmas is None else sigmas[0].reshape(shape),
            sigma_short_range_order=None if sigmas is None else sigmas[1].reshape(shape),
            sigma_of_networks=None if alone is None else _shaped(alone, shape),
            uncertainty=words,
        )

    def network_passes(
        self,
        stack: npt.NDArray[np.float64],
        measured: npt.NDArray[np.bool_],
        turns: Sequence[int],
        first: int = 0,
    ) -> Planes:
        """What the networks alone answer to planes (n, 256, 256), each turned: (turns, 2, n, 256, 256), spread.

        `first` is the number of the first plane, for the user to know a bad one by.

        Raises:
            InputError: a plane with nothing to factorise.
        """
        pairs = zip(stack, measured, strict=True)
        shown = np.stack([_shown(*pair, number) for number, pair in enumerate(pairs, first)])
        outputs = np.empty((len(turns), 2, *stack.shape), np.float32)
        for place, turn in enumerate(turns):
            answer = unspread(turned_back(self._infer(_turned_tensor(shown, turn), self._networks), turn))
            outputs[place] = spread(np.clip(answer, 0.0, 1.0))
        return outputs

    def lattice_passes(
        self,
        scattering: npt.NDArray[np.floating[Any]],
        mask: npt.NDArray[np.bool_],
        lattice: LatticePlane,
        form_factor: Planes,
        short_range_order: Planes,
        turns: Sequence[int],
    ) -> tuple[LatticeAnswer, Planes]:
        """What lattice mode answers to one plane, its network shown the plane turned: (turns, 2, 256, 256), spread.

        The first of them as it is, too; where that is not accepted, the other turns are not tried.

        Raises:
            InputError: no pixel was measured.
        """
        given = (scattering, mask, lattice, form_factor, short_range_order)
        answers = [self.split_on_lattice(*given, turns[0])]
        if answers[0].accepted:
            answers += [self.split_on_lattice(*given, turn) for turn in turns[1:]]
        both = [np.stack([each.form_factor, each.short_range_order]) for each in answers]
        return answers[0], spread(np.stack(both))

    @staticmethod
    def _convincing(
        scattering: npt.NDArray[np.float64],
        mask: npt.NDArray[np.bool_],
        form_factor: Planes,
        short_range_order: Planes,
    ) -> FoundLattice | None:
        found = find_lattice(scattering, mask, form_factor, short_range_order)
        return found if found is not None and found.accepted else None

    def split_on_lattice(
        self,
        scattering: npt.NDArray[np.floating[Any]],
        mask: npt.NDArray[np.bool_],
        lattice: LatticePlane,
        form_factor: Planes,
        short_range_order: Planes,
        turn: int = 0,
    ) -> LatticeAnswer:
        """`dsfunet.lattice.mode.split_on_lattice` of one plane with these networks and what they answered to it.

        With a `turn` other than 0 (`dsfunet.planes.turns.turned`) the network that says I_FF sees the plane so.

        Raises:
            InputError: no pixel was measured.
        """
        network = self._networks[0]
        if int(network.in_channels) < MOST_CHANNELS and not turn:  # type: ignore[arg-type]
            return split_on_lattice(scattering, mask, lattice, form_factor, short_range_order)

        def predict_form_factor(order: Planes) -> Planes:
            pairs = average_friedel_mates(scattering, mask, lattice)
            shown = _turned_tensor(network_input(*pairs)[None], turn)
            answer = self._infer(shown, [network], _turned_tensor(spread(order)[None, None], turn))
            seen: Planes = np.clip(unspread(turned_back(answer[0, 0], turn)), 0.0, 1.0)
            return seen

        return split_on_lattice(
            scattering, mask, lattice, form_factor, short_range_order, predict_form_factor
        )

    @torch.inference_mode()
    def _infer(
        self, shown: torch.Tensor, networks: Sequence[torch.nn.Module], order: torch.Tensor | None = None
    ) -> npt.NDArray[np.float32]:
        """What each network answers, spread (networks, n, 256, 256), to planes (n, 2, 256, 256) and their I_SRO."""
        outputs = [
            network(shown_to(network, shown, order).to(self.device, memory_format=torch.channels_last))[:, 0]
            for network in networks
        ]
        result: npt.NDArray[np.float32] = torch.stack(outputs).float().cpu().numpy()
        return result


def _on_own_grid(
    factorizer: Factorizer,
    planes: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_] | None,
    geometry: Geometry,
    passes: int,
    seed: int,
) -> Components:
    """Planes with other pixels: shown to the networks on their grid, and answered on the planes' own."""
    stack, measured = check_planes(planes, mask, geometry.shape)
    parts = []
    for plane, its_mask in zip(stack, measured, strict=True):
        shown, place = to_network_plane(np.where(its_mask, plane, np.nan), geometry)
        parts.append((factorizer(shown, None, geometry.on(place).lattice_plane(), passes, seed), place))

    def joined(name: str) -> Planes | None:
        answers = [(getattr(each, name), place) for each, place in parts]
        if any(values is None for values, _ in answers):
            return None
        own = [to_user_grid(values, place, geometry) for values, place in answers]
        return np.stack(own).astype(np.float32).reshape(np.shape(planes))

    form_factor, order = joined("form_factor"), joined("short_range_order")
    assert form_factor is not None and order is not None  # only uncertainties may be left out
    return Components(
        form_factor,
        order,
        measured.reshape(np.shape(planes)),
        tuple(each.lattice_answers[0] for each, _ in parts),
        sigma_form_factor=joined("sigma_form_factor"),
        sigma_short_range_order=joined("sigma_short_range_order"),
        uncertainty=parts[0][0].uncertainty,
    )


def _in_their_own_unit(stack: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Planes (n, 256, 256) of any positive unit, the brightest pixel of each brought to 1/2 ... 1.

    By a power of two, which changes no digit: squares of what is as small or as large as a file may have it would be
    zero or infinite.
    """
    _, exponents = np.frexp(stack.max(axis=(1, 2), keepdims=True))
    return np.asarray(np.ldexp(stack, -exponents))


def _turned_tensor(planes: npt.NDArray[np.float32], turn: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(turned(planes, turn)))


def _shaped(both: Planes, shape: tuple[int, ...]) -> tuple[Planes, Planes]:
    return both[0].reshape(shape), both[1].reshape(shape)


def _shown(
    plane: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_], number: int
) -> npt.NDArray[np.float32]:
    try:
        return network_input(plane, measured)
    except InputError as error:
        raise InputError(f"plane number {number}: {error}") from error
