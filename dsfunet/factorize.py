"""Planes in, components out: `Factorizer` is what users call."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from dsfunet.errors import InputError
from dsfunet.lattice_mode import LatticeAnswer, split_on_lattice
from dsfunet.lattice_search import FoundLattice, find_lattice
from dsfunet.networks.inputs import shown_to
from dsfunet.networks.spectral_unet import MOST_CHANNELS
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.preprocessing import PIXELS, measured_pixels, network_input, spread, unspread
from dsfunet.weights import Generators, load_generators, load_release

Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Components:
    """Both components of one plane (256, 256) or of several (n, 256, 256): linear intensity in [0, 1], float32.

    Each component is normalised on its own (minimum 0, maximum 1 in the truth the networks were trained on), so
    the plane is s (F + f) (S + g) with three numbers, which `dsfunet.product.fit_product` finds. `mask` is True
    where the plane was measured; the components are given everywhere.

    With a lattice, `lattice_answers` has one `LatticeAnswer` a plane. Where it is accepted, its components are those
    given here; `of_networks` has what the networks alone said of every plane, form factor and short-range order.
    Where the lattice had to be found, `found_lattices` has what was found, None for a plane on which nothing repeats or
    nothing convinces; its answer is then None, too.
    """

    form_factor: Planes
    short_range_order: Planes
    mask: npt.NDArray[np.bool_]
    lattice_answers: tuple[LatticeAnswer | None, ...] = ()
    of_networks: tuple[Planes, Planes] | None = None
    found_lattices: tuple[FoundLattice | None, ...] = ()


class Factorizer:
    """Splits planes of diffuse scattering into form factor and short-range order.

    The answer is deterministic: dropout is off. A plane whose lattice is known is best split with it: I_SRO then
    follows from the lattice and the plane themselves (`dsfunet.lattice_mode`).

    Example:
        >>> components = Factorizer.from_pretrained()(plane)  # plane: (256, 256), NaN where not measured
        >>> components.short_range_order

    Args:
        generators: both networks, from `dsfunet.weights`.
        device: where they run, such as "cpu" or "cuda"; None takes a GPU where there is one.
        batch_size: planes that go through the networks at once.
    """

    def __init__(self, generators: Generators, device: str | None = None, batch_size: int = 8) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.generators = generators
        self.batch_size = batch_size
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
    ) -> Components:
        """Factorise one plane (256, 256) or several (n, 256, 256), in any positive unit.

        NaN, infinite and negative pixels are missing, and so are those where `mask` (True = measured, shape of
        one plane or of all) is False, and those that a numpy masked array hides. `lattice` says where the pixels of
        all the planes lie in reciprocal space, and on which cell; "find" finds one for each from the plane itself.

        Raises:
            InputError: wrong shape or type, a lattice of another shape of planes, or a plane with nothing to factorise:
                no measured pixel, or all of them equal.
        """
        if isinstance(lattice, LatticePlane) and lattice.plane.shape != (PIXELS, PIXELS):
            raise InputError(
                f"lattice of planes of {lattice.plane.shape} pixels: expected {(PIXELS, PIXELS)}"
            )
        stack, measured = check_planes(planes, mask)
        outputs = np.empty((2, *stack.shape), np.float32)
        for start in range(0, len(stack), self.batch_size):
            part = slice(start, start + self.batch_size)
            pairs = zip(stack[part], measured[part], strict=True)
            shown = np.stack([_shown(*pair, number) for number, pair in enumerate(pairs, start)])
            outputs[:, part] = self._infer(torch.from_numpy(shown), self._networks)
        form_factor, short_range_order = np.clip(unspread(outputs), 0.0, 1.0)
        shape = np.shape(planes)
        networks = form_factor.reshape(shape), short_range_order.reshape(shape)
        if lattice is None:
            return Components(*networks, measured.reshape(shape))
        each_plane = list(zip(stack, measured, form_factor, short_range_order, strict=True))
        found: tuple[FoundLattice | None, ...] = ()
        lattices: list[LatticePlane | None] = []
        if isinstance(lattice, LatticePlane):
            lattices = [lattice] * len(stack)
        else:
            found = tuple(self._convincing(*each) for each in each_plane)
            lattices = [each.lattice if each else None for each in found]
        answers = tuple(
            self.split_on_lattice(*each[:2], its_lattice, *each[2:]) if its_lattice else None
            for each, its_lattice in zip(each_plane, lattices, strict=True)
        )
        chosen = np.stack([form_factor, short_range_order])
        for place, answer in enumerate(answers):
            if answer is not None and answer.accepted:
                chosen[:, place] = answer.form_factor, answer.short_range_order
        return Components(
            chosen[0].reshape(shape),
            chosen[1].reshape(shape),
            measured.reshape(shape),
            answers,
            networks,
            found,
        )

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
    ) -> LatticeAnswer:
        """`dsfunet.lattice_mode.split_on_lattice` of one plane with these networks and what they answered to it.

        Raises:
            InputError: no pixel was measured.
        """
        network = self._networks[0]
        if int(network.in_channels) < MOST_CHANNELS:  # type: ignore[arg-type]
            return split_on_lattice(scattering, mask, lattice, form_factor, short_range_order)

        def look_again(order: Planes) -> Planes:
            shown = torch.from_numpy(network_input(scattering, mask)[None])
            answer = self._infer(shown, [network], torch.from_numpy(spread(order)[None, None]))
            seen: Planes = np.clip(unspread(answer[0, 0]), 0.0, 1.0)
            return seen

        return split_on_lattice(scattering, mask, lattice, form_factor, short_range_order, look_again)

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


def check_planes(
    planes: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Planes as (n, 256, 256) float64 with missing pixels at 0, and where they were measured, of the same shape.

    Raises:
        InputError: wrong shape or type of planes or mask.
    """
    hidden = np.ma.getmaskarray(planes) if isinstance(planes, np.ma.MaskedArray) else None
    planes = np.asarray(planes)
    if planes.ndim not in (2, 3) or planes.shape[-2:] != (PIXELS, PIXELS) or planes.size == 0:
        raise InputError(
            f"planes of shape {planes.shape}: expected ({PIXELS}, {PIXELS}) or (n, {PIXELS}, {PIXELS})"
        )
    if planes.dtype.kind not in "fiub":
        raise InputError(f"planes of type {planes.dtype}: expected real numbers")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape not in (planes.shape, planes.shape[-2:]):
            raise InputError(
                f"mask of shape {mask.shape} and type {mask.dtype}:"
                f" expected bool (True = measured) of shape {planes.shape}"
            )
        mask = np.broadcast_to(mask, planes.shape)
    if hidden is not None:  # numpy's masked arrays say True where a value is *not* to be used
        mask = ~hidden if mask is None else mask & ~hidden
    stack = planes.astype(np.float64).reshape(-1, PIXELS, PIXELS)
    measured = measured_pixels(stack, None if mask is None else mask.reshape(stack.shape))
    return np.where(measured, stack, 0.0), measured


def _shown(
    plane: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_], number: int
) -> npt.NDArray[np.float32]:
    try:
        return network_input(plane, measured)
    except InputError as error:
        raise InputError(f"plane number {number}: {error}") from error
