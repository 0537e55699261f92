"""Test cases, their truths, and the interface of predictors: the networks and the methods without a network."""

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
    """A test case: one measured plane with its lattice, as a user has it, without the truth.

    Attributes:
        number: of the plane in its store; it seeds the random numbers that a predictor draws for it.
        scattering: (256, 256) float32, linear, at most 1; missing pixels are 0, so that their values cannot leak.
        mask: (256, 256), True = measured.
        cell: unit cell of the average structure.
        plane: position of the pixels in reciprocal space.
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
        """Lattice of the plane, which gives the periods of I_SRO."""
        return LatticePlane(self.cell, self.plane, self.axes)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to n cases: both components (n, 256, 256), linear in [0, 1], each normalised separately.

    A predictor that estimates its uncertainty adds standard deviations in spread space, s = 2 sqrt(x) - 1.
    """

    form_factor: Planes
    short_range_order: Planes
    form_factor_deviation: Planes | None = None
    short_range_order_deviation: Planes | None = None


class Predictor(Protocol):
    """A method that splits planes into components."""

    @property
    def title(self) -> str:
        """A few words for a table, such as "cosine series on the known lattice"."""
        ...

    @property
    def description(self) -> Mapping[str, Any]:
        """All settings and digests that determine its answers, in plain values."""
        ...

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases; the answer to a case does not depend on the others.

        Raises:
            InputError: if a case cannot be split.
        """
        ...


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a case: both components (256, 256), linear in [0, 1], and the floor of I_SRO.

    The floor is the minimum that normalisation subtracted, divided by the range; it is dimensionless.
    """

    form_factor: Planes
    short_range_order: Planes
    short_range_order_floor: float


class CaseReader:
    """A reader of the planes of a store as cases, each with its truth.

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
        """Read one plane as a case, and its truth.

        Args:
            number: of the plane in the store.
            counts: if given, draw new Poisson noise for the exact plane, with this expected number of counts in its
                brightest pixel; None keeps the noise as stored.
            seed: of the noise; the noise of a plane depends on the seed and its number only.

        Raises:
            InputError: if the stored plane is damaged.
        """
        sample = self._store.sample(number)
        scattering = (
            sample.scattering if counts is None else _with_noise(sample.clean, counts, [seed, number])
        )
        origin, step_u, step_v = self._planes[number]
        first, second = self._axes[number].tolist()
        case = Case(
            number=number,
            # Missing pixels are set to 0 here, so that no predictor can use their values.
            scattering=np.where(sample.mask, scattering, np.float32(0)),
            mask=sample.mask,
            cell=Cell(*self._cells[number].tolist()),
            plane=Plane(origin, step_u, step_v),
            axes=(first, second),
        )
        return case, Truth(sample.form_factor, sample.short_range_order, float(self._floors[number]))


def _with_noise(clean: Planes, counts: float, seed: list[int]) -> Planes:
    noisy = np.random.default_rng(seed).poisson(clean.astype(np.float64) * counts)
    scaled: Planes = (noisy / max(int(noisy.max()), 1)).astype(np.float32)
    return scaled
