"""Orbits of the lattice vectors of a volume's fit, and one alpha for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.analysis.refinement.equivalents import CombinedValues, combine_equivalents
from dsfunet.errors import InputError
from dsfunet.io.volume_results import VolumeCorrelations
from dsfunet.physics.centring import are_lattice_numerators, denominator_of, vector_of
from dsfunet.physics.symmetry import MAX_SHELLS, Orbit, nearest_shells, orbits_of

_NOT_WHOLE = 1e-3
_INVERSION = np.array([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class FittedVectors:
    """Correlations of a volume with their lattice vectors as integers.

    Attributes:
        correlations: of the volume.
        numerators: components of the vectors in units of 1 / denominator, shape (k, 3).
        denominator: 1, 2 or 3.
    """

    correlations: VolumeCorrelations
    numerators: Integers
    denominator: int

    @classmethod
    def of(cls, correlations: VolumeCorrelations) -> "FittedVectors":
        """Return the vectors of a volume's fit.

        Raises:
            InputError: shapes differ, numbers are not finite or a vector does not belong to the lattice.
        """
        count = len(correlations.vectors)
        expected = {"vectors": (count, 3), "alphas": (count,), "bias": (count,), "covariance": (count, count)}
        for name, shape in expected.items():
            values = getattr(correlations, name)
            if not count or values.shape != shape or not np.isfinite(values).all():
                raise InputError(
                    f"{name} of the correlations: found shape {values.shape} or numbers that are not finite; expected"
                    f" {shape} and one vector or more; make the result again"
                )
        denominator = denominator_of(correlations.centring)
        scaled = correlations.vectors * denominator
        numerators = np.rint(scaled).astype(np.int64)
        right = (np.abs(scaled - numerators).max(axis=1) < _NOT_WHOLE) & numerators.any(axis=1)
        right &= are_lattice_numerators(numerators, correlations.centring)
        if not right.all():
            found = " ".join(f"{each:g}" for each in correlations.vectors[int(np.argmin(right))])
            raise InputError(
                f"vector {found} of the correlations: it does not connect two points of centring"
                f" {correlations.centring}; make the result again"
            )
        return cls(correlations, numerators, denominator)

    @cached_property
    def places(self) -> dict[tuple[int, ...], int]:
        """Place of each vector and of its opposite in the list of correlations."""
        return {
            tuple((sign * each).tolist()): place
            for place, each in enumerate(self.numerators)
            for sign in (1, -1)
        }

    def holds(self, orbit: Orbit) -> bool:
        """Return whether the fit has all vectors of an orbit."""
        return all(tuple(each) in self.places for each in orbit.vectors.tolist())

    def find_places(self, orbit: Orbit) -> list[int]:
        """Return the places of the vectors of an orbit, one for each pair r and -r."""
        return sorted({self.places[tuple(each)] for each in orbit.vectors.tolist()})

    def significance(self, places: Sequence[int]) -> float:
        """Return the largest |alpha| of some vectors in units of its standard uncertainty."""
        alphas, sigmas = self.correlations.alphas[places], self.sigmas[places]
        return float(np.max(np.abs(alphas) / sigmas))

    @cached_property
    def sigmas(self) -> Array:
        """Standard uncertainties of the alphas, with the systematic error in quadrature, shape (k,)."""
        sigmas: Array = np.sqrt(np.diag(self.correlations.covariance) + self.correlations.bias**2)
        return sigmas

    def select_nearest_shells(
        self, number: int | None, default: int, rotations: Integers, metric: Array
    ) -> list[Orbit]:
        """Return the orbits of the nearest shells.

        Args:
            number: of shells; None takes the default, or as many as the fit has.
            default: number of shells.
            rotations: operations of the Laue class, shape (order, 3, 3).
            metric: of the cell [Angstrom^2], shape (3, 3).

        Raises:
            InputError: the fit does not have so many shells.
        """
        centring = self.correlations.centring
        wanted = default if number is None else number
        orbits = nearest_shells(wanted, rotations, metric, centring=centring)
        kept = []
        for orbit in orbits:
            if not self.holds(orbit):
                break
            kept.append(orbit)
        if len(kept) == len(orbits):
            return orbits
        # A shell counts only with all of its orbits.
        complete = [each for each in kept if each.length_angstrom < orbits[len(kept)].length_angstrom - 1e-6]
        shells = len({round(each.length_angstrom, 6) for each in complete})
        if number is not None or not complete:
            raise InputError(
                f"--shells {wanted}: the fit of the volume has {shells} complete shells; ask for at most"
                f" {max(min(shells, MAX_SHELLS), 1)}, or factorise a volume with finer voxels"
            )
        return complete

    def check_holds(self, orbits: Sequence[Orbit]) -> None:
        """Check that the fit has all vectors of orbits.

        Raises:
            InputError: it has not.
        """
        longest = float(
            np.linalg.norm(self.correlations.vectors @ self.correlations.cell.direct, axis=1).max()
        )
        for orbit in orbits:
            if not self.holds(orbit):
                raise InputError(
                    f"vector {orbit.name}: the fit of the volume has vectors up to {longest:.1f} Angstrom, and not all"
                    " of the equivalents of this one; choose shorter vectors"
                )

    def partition(self, rotations: Integers, metric: Array) -> list[Orbit]:
        """Return orbits that together hold every vector of the fit once, in order of length.

        Where the fit has only some of the equivalents, each pair r and -r is an orbit of its own.

        Args:
            rotations: operations of the Laue class, shape (order, 3, 3).
            metric: of the cell [Angstrom^2], shape (3, 3).
        """
        centring = self.correlations.centring
        seen: set[int] = set()
        found = []
        for place, numerators in enumerate(self.numerators.tolist()):
            if place in seen:
                continue
            vector = [vector_of(numerators, self.denominator)]
            (orbit,) = orbits_of(vector, rotations, metric, centring=centring)
            if not self.holds(orbit):
                (orbit,) = orbits_of(vector, _INVERSION, metric, centring=centring)
            seen.update(self.find_places(orbit))
            found.append(orbit)
        return sorted(found, key=lambda each: each.length_angstrom)

    def combine(self, orbits: Sequence[Orbit]) -> CombinedValues:
        """Combine alphas into one for each orbit; the covariance has statistical errors only.

        Args:
            orbits: which the fit holds, one or more.
        """
        design = np.zeros((len(self.numerators), len(orbits)))
        for column, orbit in enumerate(orbits):
            design[self.find_places(orbit), column] = 1.0
        found = self.correlations
        return combine_equivalents(found.alphas, found.covariance, design, np.abs(found.bias))

    def combine_with_bias(self, orbits: Sequence[Orbit]) -> tuple[CombinedValues, Array]:
        """Combine alphas as `combine`, and return their covariance with all errors, shape (n, n), beside them.

        Statistical errors are enlarged where equivalent alphas disagree. The systematic error of an orbit is the mean
        of those of its vectors, because one form factor causes them all.
        """
        combined = self.combine(orbits)
        bias = np.array([np.abs(self.correlations.bias[self.find_places(each)]).mean() for each in orbits])
        return combined, combined.enlarged + np.diag(bias**2)
