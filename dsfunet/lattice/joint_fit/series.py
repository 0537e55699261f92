"""Sums of in-plane harmonics on a grid of pixels, by separable transforms; no matrix over all pixels is built."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dsfunet._typing import Array, ComplexArray
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.phases import Phases, Places, combine_indices, phases_of
from dsfunet.lattice.joint_fit.spline import SplineSurface


@dataclass(frozen=True, eq=False)
class Blur:
    """A Gaussian resolution.

    Attributes:
        covariance: along the axes of the plane, shape (2, 2) [squared r.l.u.].
        undone: whether the parameters of a series are those of the crystal; else they are what is left of them after
            the blur, so that a prior of the parameters tells nothing about the resolution.
    """

    covariance: Array
    undone: bool = True


@dataclass(frozen=True, eq=False)
class HarmonicSeries:
    """I_SRO = 1 + 2 sum Re[c_p exp(2 pi i p . q)] on a grid.

    Its parameters are the real parts of all c_p, then the imaginary parts of those that are not known to be real.

    Attributes:
        harmonics: the k harmonics.
        rows: coordinates of the pixels along the first axis, shape (n,) [r.l.u.].
        columns: coordinates along the second axis, shape (m,) [r.l.u.].
        blur: resolution of the plane; None for sharp pixels. What a detector sees of c_p is
            c_p exp(-2 pi^2 p . covariance . p).
    """

    harmonics: Harmonics
    rows: Array
    columns: Array
    blur: Blur | None = None

    @property
    def count(self) -> int:
        """Number of parameters."""
        return self.harmonics.count + len(self.harmonics.with_sine)

    @cached_property
    def lengths(self) -> Array:
        """Lengths of the harmonics of all parameters, shape (parameters,) [Angstrom]."""
        lengths = self.harmonics.lengths
        return np.concatenate([lengths, lengths[self.harmonics.with_sine]])

    @cached_property
    def damping(self) -> Array:
        """What the resolution leaves of each parameter, shape (k,)."""
        if self.blur is None or not self.blur.undone:
            return np.ones(self.harmonics.count)
        return np.asarray(np.exp(-np.pi * np.sum(self.harmonics.indices * self.shifts, axis=1)))

    @cached_property
    def shifts(self) -> Array:
        """Shifts 2 pi covariance p of the resolution, shape (k, 2) [r.l.u.]."""
        if self.blur is None:
            return np.zeros((self.harmonics.count, 2))
        return np.asarray(2 * np.pi * self.harmonics.indices @ self.blur.covariance)

    @cached_property
    def _dampings(self) -> Array:
        """Damping of all parameters, shape (parameters,)."""
        return np.concatenate([self.damping, self.damping[self.harmonics.with_sine]])

    @cached_property
    def _phases(self) -> Phases:
        return phases_of(self.harmonics.indices, self.rows, self.columns)

    @cached_property
    def _differences(self) -> tuple[Phases, Places, Places]:
        """Phases of all p - p' and p + p', and the places of these, shapes (k, k)."""
        place = (self.harmonics.indices, self.rows, self.columns)
        return _differences_of(*(np.asarray(each, np.float64).tobytes() for each in place))

    def evaluate(self, parameters: Array) -> Array:
        """Return I_SRO as the detector sees it at all pixels, shape (n, m); it may be negative."""
        return 1 + self.evaluate_terms(self.damping * self.coefficients(parameters))

    def evaluate_sharp(self, parameters: Array) -> Array:
        """Return I_SRO of the crystal at all pixels, shape (n, m); it may be negative."""
        return 1 + self.evaluate_terms(self.coefficients(parameters))

    def evaluate_terms(self, coefficients: ComplexArray) -> Array:
        """Return twice the sum of Re[c_p exp(2 pi i p . q)] for c_p of shape (k,), shape (n, m)."""
        return self._phases.evaluate(2 * coefficients)

    def coefficients(self, parameters: Array) -> ComplexArray:
        """Return c_p of the parameters, shape (k,)."""
        values = parameters[: self.harmonics.count].astype(np.complex128)
        values[self.harmonics.with_sine] += 1j * parameters[self.harmonics.count :]
        return values

    def gradient(self, field: Array) -> Array:
        """Return the sums over pixels of a field times the derivatives of I_SRO, shape (parameters,)."""
        return self._dampings * self._real(2 * self._phases.transform(field))

    def _real(self, values: ComplexArray) -> Array:
        return np.concatenate([values.real, values[self.harmonics.with_sine].imag])

    def normal_matrix(self, weights: Array) -> Array:
        """Return the sums over pixels of weight times products of two derivatives, shape (parameters, parameters).

        With q(u) = sum of weights exp(-2 pi i u . q), these sums are real or imaginary parts of q(p - p') +- q(p + p').
        """
        phases, minus, plus = self._differences
        values = 2 * phases.transform(weights)
        difference, total = values[minus], values[plus]
        sine = self.harmonics.with_sine
        cosines = (difference + total).real
        mixed = (total - difference).imag[:, sine]
        sines = (difference - total).real[np.ix_(sine, sine)]
        matrix = np.block([[cosines, mixed], [mixed.T, sines]])
        return np.asarray(self._dampings[:, None] * matrix * self._dampings)

    def variances(self, covariance: Array) -> Array:
        """Return the variance of I_SRO of the crystal at all pixels, of the covariance of the parameters."""
        phases, minus, plus = self._differences
        k, sine = self.harmonics.count, self.harmonics.with_sine
        difference = 2 * covariance[:k, :k].astype(np.complex128)
        total = difference.copy()
        difference[:, sine] -= 4j * covariance[:k, k:]
        total[:, sine] += 4j * covariance[:k, k:]
        sines = 2 * covariance[k:, k:]
        difference[np.ix_(sine, sine)] += sines
        total[np.ix_(sine, sine)] -= sines
        place = np.concatenate([minus.reshape(-1), plus.reshape(-1)])
        values = np.concatenate([difference.reshape(-1), total.reshape(-1)])
        sums = np.bincount(place, values.real) + 1j * np.bincount(place, values.imag)
        return np.maximum(phases.evaluate(sums), 0)

    def cross_matrix(self, surface: SplineSurface, weights: Array) -> Array:
        """Return the sums over pixels of weight times a spline times a derivative of I_SRO, (n, m, parameters)."""
        values = self._phases.cross(surface, weights, self.harmonics.with_sine)
        values *= 2 * self._dampings
        return values


@lru_cache(maxsize=6)
def _differences_of(indices: bytes, rows: bytes, columns: bytes) -> tuple[Phases, Places, Places]:
    """Return phases of all p - p' and p + p', and their places; the fits of a plane ask for the same many times."""
    different, (minus, plus) = combine_indices(np.frombuffer(indices).reshape(-1, 2))
    return phases_of(different, np.frombuffer(rows), np.frombuffer(columns)), minus, plus
