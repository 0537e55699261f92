"""What a predictor is given and what it answers: the one interface of networks and of methods without one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsfunet.physics import Cell, Plane
from dsfunet.sample import Sample
from dsfunet.shards import Store

Planes = npt.NDArray[np.float32]


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

    def __call__(self, number: int) -> tuple[Case, Sample]:
        """Plane `number` as a case, and the sample with its truth."""
        sample = self._store.sample(number)
        shown = np.where(sample.mask, sample.scattering, np.float32(0))
        return self.with_scattering(number, shown, sample.mask), sample

    def with_scattering(self, number: int, scattering: Planes, mask: npt.NDArray[np.bool_]) -> Case:
        """Plane `number` with another measurement of it."""
        origin, step_u, step_v = self._planes[number]
        first, second = self._axes[number].tolist()
        return Case(
            number=number,
            scattering=scattering,
            mask=mask,
            cell=Cell(*self._cells[number].tolist()),
            plane=Plane(origin, step_u, step_v),
            axes=(first, second),
        )
