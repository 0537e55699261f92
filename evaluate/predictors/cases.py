"""What a predictor is given and what it answers: the one interface of networks and of methods without one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.data.store import Store
from dsfunet.physics import Cell, Plane
from dsfunet.physics.lattice_plane import LatticePlane


@dataclass(frozen=True, eq=False)
class Case:
    """One plane as a user has it: what was measured and on which lattice, and nothing of the truth.

    Attributes:
        number: of the plane in its store; it seeds whatever a predictor draws for it.
        scattering: (256, 256) float32, linear, at most 1; missing pixels are 0, so that nothing leaks.
        mask: (256, 256), True = measured.
        cell: of the average structure.
        plane: where the pixels lie in reciprocal space.
        axes: the two reciprocal axes (0, 1, 2 for a*, b*, c*) that span the plane.
    """

    number: int
    scattering: Planes
    mask: npt.NDArray[np.bool_]
    cell: Cell
    plane: Plane
    axes: tuple[int, int]

    @property
    def lattice(self) -> LatticePlane:
        """Where the lattice says that I_SRO repeats."""
        return LatticePlane(self.cell, self.plane, self.axes)


@dataclass(frozen=True, eq=False)
class Prediction:
    """An answer to n cases: both components (n, 256, 256), linear in [0, 1], each normalised on its own.

    A predictor that knows how sure it is gives the standard deviations too, in spread space s = 2 sqrt(x) - 1.
    """

    form_factor: Planes
    short_range_order: Planes
    form_factor_deviation: Planes | None = None
    short_range_order_deviation: Planes | None = None


class Predictor(Protocol):
    """Whatever splits planes into components."""

    @property
    def title(self) -> str:
        """A few words for a table, such as "cosine series on the known lattice"."""
        ...

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides its answers, in plain values: settings, digests."""
        ...

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases; the answer to a case does not depend on the others.

        Raises:
            InputError: a case cannot be split.
        """
        ...


@dataclass(frozen=True, eq=False)
class Truth:
    """What a case is scored against: both components (256, 256), linear in [0, 1], and the floor of I_SRO.

    The floor is what normalisation took away, minimum over range, dimensionless.
    """

    form_factor: Planes
    short_range_order: Planes
    short_range_order_floor: float


class CaseReader:
    """The planes of a store as cases, with their truths beside them.

    Args:
        store: a finished store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cells = store.metadata("cell")
        self._planes = store.metadata("plane")
        self._axes = store.metadata("plane_axes")
        self._floors = store.metadata("short_range_order_floor")

    def __call__(self, number: int, counts: float | None = None, seed: int = 0) -> tuple[Case, Truth]:
        """Plane `number` as a case and its truth.

        With `counts`, the exact plane is measured anew with Poisson noise, that many counts expected in its
        brightest pixel; the noise of a plane follows from seed and number alone.

        Raises:
            InputError: what is stored of the plane is damaged.
        """
        sample = self._store.sample(number)
        scattering = sample.scattering if counts is None else _counted(sample.clean, counts, [seed, number])
        origin, step_u, step_v = self._planes[number]
        first, second = self._axes[number].tolist()
        case = Case(
            number=number,
            # What lies under the mask is taken away here, so that no predictor is scored on having seen it.
            scattering=np.where(sample.mask, scattering, np.float32(0)),
            mask=sample.mask,
            cell=Cell(*self._cells[number].tolist()),
            plane=Plane(origin, step_u, step_v),
            axes=(first, second),
        )
        return case, Truth(sample.form_factor, sample.short_range_order, float(self._floors[number]))


def _counted(clean: Planes, counts: float, seed: list[int]) -> Planes:
    noisy = np.random.default_rng(seed).poisson(clean.astype(np.float64) * counts)
    shown: Planes = (noisy / max(int(noisy.max()), 1)).astype(np.float32)
    return shown
