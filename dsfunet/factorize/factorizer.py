"""`Factorizer`: the networks and lattice mode behind one call on arrays."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from dsfunet._typing import Planes
from dsfunet.errors import InputError
from dsfunet.factorize.components import Components, StackAnswers
from dsfunet.factorize.own_grid import factorize_on_own_grid
from dsfunet.factorize.uncertainty import Passes, describe_uncertainty, estimate_sigmas, summarise_passes
from dsfunet.lattice.mode import LatticeAnswer, average_friedel_mates, split_on_lattice
from dsfunet.lattice.search import FoundLattice, find_convincing_lattice
from dsfunet.networks.calibration import Calibration
from dsfunet.networks.inputs import select_inputs
from dsfunet.networks.spectral_unet import MAX_CHANNELS
from dsfunet.networks.weights import Generators, load_generators, load_release
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.geometry import Geometry
from dsfunet.planes.preprocessing import (
    PIXELS,
    check_planes,
    network_input,
    scale_by_power_of_two,
    spread,
    unspread,
)
from dsfunet.planes.resampling import is_network_grid
from dsfunet.planes.turns import choose_turns, rotate_and_flip, undo_rotation_and_flip


class Factorizer:
    """Splits planes of diffuse scattering into form factor and short-range order.

    The answer is deterministic: dropout is off. Where the lattice of a plane is known, give it: short-range order is
    then fitted to the plane itself as a cosine series, which is far more accurate (`dsfunet.lattice.mode`).

    Args:
        generators: Both networks, from `dsfunet.networks.weights`.
        device: Where the networks run, such as "cpu" or "cuda"; None chooses a GPU when there is one.
        batch_size: Number of planes that go through the networks at once.

    Examples:
        >>> import numpy as np
        >>> from dsfunet import Factorizer
        >>> rows, columns = np.indices((256, 256)) - 128
        >>> smooth = np.exp(-(rows**2 + columns**2) / 8000)
        >>> order = 1 + 0.5 * np.cos(rows / 5) + 0.4 * np.cos(columns / 5)
        >>> factorize = Factorizer.from_pretrained(device="cpu")
        >>> components = factorize(smooth * order)
        >>> components.form_factor.shape, components.short_range_order.dtype
        ((256, 256), dtype('float32'))
    """

    def __init__(self, generators: Generators, device: str | None = None, batch_size: int = 8) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.generators = generators
        self.batch_size = batch_size
        self.calibration: Calibration | None = None
        if generators.calibration:
            calibration = Calibration.from_plain(generators.calibration, generators.source)
            # A calibration holds for the weights it was made with, and for no others.
            self.calibration = calibration if calibration.digest == generators.digest else None
        self._networks = [
            network.to(self.device).to(memory_format=torch.channels_last).eval()
            for network in (generators.form_factor, generators.short_range_order)
        ]

    @classmethod
    def from_pretrained(cls, device: str | None = None, batch_size: int = 8) -> "Factorizer":
        """Make a factorizer with the weights that ship with the package."""
        return cls(load_release(), device, batch_size)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | None = None, batch_size: int = 8
    ) -> "Factorizer":
        """Make a factorizer with the weights of a training checkpoint (.ckpt) or of a folder of safetensors.

        Raises:
            InputError: The path holds neither.
        """
        return cls(load_generators(path), device, batch_size)

    @property
    def description(self) -> dict[str, Any]:
        """The weights' name, their SHA-256 digest, and their model card if they have one."""
        generators = self.generators
        return {"name": generators.source, "digest": generators.digest, "card": generators.card}

    def __call__(
        self,
        planes: npt.NDArray[Any],
        mask: npt.NDArray[np.bool_] | None = None,
        lattice: LatticePlane | Literal["find"] | None = None,
        passes: int = 1,
        seed: int = 0,
        geometry: Geometry | None = None,
    ) -> Components:
        """Split one plane (256, 256) or a stack of planes (n, 256, 256), in any positive unit.

        Missing pixels are those that are NaN, infinite or negative, those where `mask` is False, and those that a
        numpy masked array hides.

        Args:
            planes: Intensities. Give planes of another size or spacing together with `geometry`.
            mask: True where a pixel was measured; the shape of one plane, or of all.
            lattice: The lattice and the position of the pixels in reciprocal space, the same for all planes; "find"
                searches for the lattice of each plane in the plane itself; None uses the networks alone.
            passes: Number of passes over rotated and flipped copies of each plane, 0 to 8. The answer is their mean in
                spread space, s = 2 sqrt(x) - 1, and their scatter sharpens the standard uncertainties. One pass gives
                uncertainties too; 0 gives the answer of one pass without them.
            seed: Chooses the rotations and flips.
            geometry: Instead of `lattice`: a lattice in any orientation, with a plane of any shape along any two of its
                reciprocal-lattice vectors. A plane that is not 256 x 256 square Cartesian pixels out to 6 to 8.8
                1/Angstrom is resampled for the networks; the components come back on the plane's own grid, while
                `lattice_answers` stay on the networks' grid.

        Raises:
            InputError: The planes have the wrong shape or type, the lattice is of another shape, both `lattice` and
                `geometry` are given, the geometry's plane has no lattice periods, `passes` or `seed` is out of range,
                or a plane has no measured pixel or no contrast.
        """
        if geometry is not None:
            if lattice is not None:
                raise InputError("lattice and geometry are both given; give one of the two")
            if not is_network_grid(geometry):
                return factorize_on_own_grid(self, planes, mask, geometry, passes, seed)
            lattice = geometry.lattice_plane()
        if isinstance(lattice, LatticePlane) and lattice.plane.shape != (PIXELS, PIXELS):
            raise InputError(
                f"the lattice is of planes of {lattice.plane.shape} pixels; expected {(PIXELS, PIXELS)}"
            )
        turns = choose_turns(passes, seed) if passes else (0,)
        stack, measured = check_planes(planes, mask)
        single = np.ndim(planes) == 2
        summaries = self._summarise_passes(stack, measured, turns, single)
        stack = scale_by_power_of_two(stack)
        networks = np.clip(unspread(np.stack([each.mean for each in summaries], axis=1)), 0.0, 1.0)
        sigmas = estimate_sigmas(self.calibration, "networks", passes, summaries, stack, measured)
        of_networks = StackAnswers(networks, sigmas)
        if lattice is None:
            return of_networks.to_components(measured, single, describe_uncertainty(self.calibration, passes))
        return self.use_lattice(lattice, stack, measured, of_networks, passes, turns, single)

    def _summarise_passes(
        self,
        stack: npt.NDArray[np.float64],
        measured: npt.NDArray[np.bool_],
        turns: Sequence[int],
        single: bool,
    ) -> list[Passes]:
        """Mean and deviation over the passes of the networks, for each plane of a stack."""
        summaries: list[Passes] = []
        for start in range(0, len(stack), self.batch_size):
            part = slice(start, start + self.batch_size)
            outputs = self.network_passes(stack[part], measured[part], turns, None if single else start)
            summaries += [summarise_passes(outputs[:, :, place]) for place in range(outputs.shape[2])]
        return summaries

    def use_lattice(
        self,
        lattice: LatticePlane | Literal["find"],
        stack: npt.NDArray[np.float64],
        measured: npt.NDArray[np.bool_],
        of_networks: StackAnswers,
        passes: int,
        turns: Sequence[int],
        single: bool,
    ) -> Components:
        """Components of lattice mode where it explains a plane of a checked stack, of the networks elsewhere."""
        each_plane = list(zip(stack, measured, *of_networks.planes, strict=True))
        found: tuple[FoundLattice | None, ...] = ()
        lattices: list[LatticePlane | None]
        if isinstance(lattice, LatticePlane):
            lattices = [lattice] * len(stack)
        else:
            found = tuple(find_convincing_lattice(*each) for each in each_plane)
            lattices = [each.lattice if each else None for each in found]
        chosen = of_networks.copy()
        lattice_answers: list[LatticeAnswer | None] = []
        for place, ((plane, its_mask, *both), its_lattice) in enumerate(
            zip(each_plane, lattices, strict=True)
        ):
            if its_lattice is None:
                lattice_answers.append(None)
                continue
            answer, outputs = self.lattice_passes(plane, its_mask, its_lattice, both[0], both[1], turns)
            if len(outputs) > 1:
                means = np.clip(unspread(outputs.mean(axis=0)), 0.0, 1.0)
                answer = replace(answer, form_factor=means[0], short_range_order=means[1])
            lattice_answers.append(answer)
            if answer.accepted:
                sigmas = estimate_sigmas(
                    self.calibration,
                    "lattice",
                    passes,
                    [summarise_passes(outputs)],
                    plane[None],
                    its_mask[None],
                )
                chosen.replace_plane(place, answer, sigmas)
        uncertainty = describe_uncertainty(self.calibration, passes)
        components = chosen.to_components(measured, single, uncertainty)
        alone = of_networks.to_components(measured, single, uncertainty)
        return replace(
            components,
            lattice_answers=tuple(lattice_answers),
            of_networks=(alone.form_factor, alone.short_range_order),
            found_lattices=found,
            sigma_of_networks=alone.sigmas,
        )

    def network_passes(
        self,
        stack: npt.NDArray[np.float64],
        measured: npt.NDArray[np.bool_],
        turns: Sequence[int],
        first: int | None = 0,
    ) -> Planes:
        """Answers of the networks alone to planes (n, 256, 256), one for each rotation and flip, in spread space.

        Args:
            stack: Intensities in any positive unit.
            measured: True where a pixel was measured.
            turns: Which rotations and flips, as `dsfunet.planes.turns` numbers them.
            first: Number of the first plane, which errors name; None when the user gave a single plane.

        Returns:
            (turns, 2, n, 256, 256), in [-1, 1].

        Raises:
            InputError: A plane has no measured pixel or no contrast.
        """
        inputs = []
        for number, (plane, its_mask) in enumerate(zip(stack, measured, strict=True), first or 0):
            try:
                inputs.append(network_input(plane, its_mask))
            except InputError as error:
                if first is None:
                    raise
                raise InputError(f"plane number {number}: {error}") from error
        shown = np.stack(inputs)
        outputs = np.empty((len(turns), 2, *stack.shape), np.float32)
        for place, turn in enumerate(turns):
            answer = unspread(
                undo_rotation_and_flip(self._infer(_turned_tensor(shown, turn), self._networks), turn)
            )
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
        """Answers of `split_on_lattice` to one plane, one for each of the `turns`, if the first one is accepted.

        Returns:
            The first answer, and all of them in spread space, (turns, 2, 256, 256).
        """
        given = (scattering, mask, lattice, form_factor, short_range_order)
        answers = [self.split_on_lattice(*given, turns[0])]
        if answers[0].accepted:
            answers += [self.split_on_lattice(*given, turn) for turn in turns[1:]]
        both = [np.stack([each.form_factor, each.short_range_order]) for each in answers]
        return answers[0], spread(np.stack(both))

    def split_on_lattice(
        self,
        scattering: npt.NDArray[np.floating[Any]],
        mask: npt.NDArray[np.bool_],
        lattice: LatticePlane,
        form_factor: Planes,
        short_range_order: Planes,
        turn: int = 0,
    ) -> LatticeAnswer:
        """Lattice mode on one plane (`dsfunet.lattice.mode`); the network is shown a copy with the `turn`.

        Raises:
            InputError: No pixel was measured.
        """
        if not self.takes_order and not turn:
            return split_on_lattice(scattering, mask, lattice, form_factor, short_range_order)
        pairs = average_friedel_mates(scattering, mask, lattice)
        return split_on_lattice(
            scattering,
            mask,
            lattice,
            form_factor,
            short_range_order,
            lambda order: self.predict_form_factor(*pairs, order, turn),
        )

    @property
    def takes_order(self) -> bool:
        """Whether the form-factor network takes I_SRO as a third input, where it is known."""
        return int(self._networks[0].in_channels) >= MAX_CHANNELS  # type: ignore[arg-type]

    def predict_form_factor(
        self,
        scattering: npt.NDArray[np.floating[Any]],
        mask: npt.NDArray[np.bool_],
        short_range_order: Planes,
        turn: int = 0,
    ) -> Planes:
        """Predict I_FF of a plane (256, 256) for a known I_SRO, linear, in [0, 1].

        Args:
            scattering: Intensity of the plane, any positive unit; ignored where missing.
            mask: True where a pixel was measured.
            short_range_order: I_SRO with maximum 1 and its minimum not subtracted, linear.
            turn: Rotation or flip of the plane that the network is shown, as `dsfunet.planes.turns` numbers them.

        Raises:
            InputError: No pixel was measured, or the plane has no contrast.
        """
        shown = _turned_tensor(network_input(scattering, mask)[None], turn)
        order = _turned_tensor(spread(short_range_order)[None, None], turn)
        answer = self._infer(shown, self._networks[:1], order)
        seen: Planes = np.clip(unspread(undo_rotation_and_flip(answer[0, 0], turn)), 0.0, 1.0)
        return seen

    @torch.inference_mode()
    def _infer(
        self, shown: torch.Tensor, networks: Sequence[torch.nn.Module], order: torch.Tensor | None = None
    ) -> npt.NDArray[np.float32]:
        """Outputs of each network, (networks, n, 256, 256) in spread space, for inputs (n, 2, 256, 256) and I_SRO."""
        outputs = [
            network(select_inputs(network, shown, order).to(self.device, memory_format=torch.channels_last))[
                :, 0
            ]
            for network in networks
        ]
        result: npt.NDArray[np.float32] = torch.stack(outputs).float().cpu().numpy()
        return result


def _turned_tensor(planes: npt.NDArray[np.float32], turn: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rotate_and_flip(planes, turn)))
