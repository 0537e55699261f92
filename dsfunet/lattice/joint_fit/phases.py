"""Phase factors exp(2 pi i p . q) of many harmonics on a grid of pixels, and sums over pixels with them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, ComplexArray
from dsfunet.lattice.joint_fit.spline import SplineSurface

_DECIMALS = 5
_LARGEST_TABLE = 12  # pairs of unique indices per harmonic for which all pairs are summed at once
_GROUP = 32
Places = npt.NDArray[np.intp]


class Phases(Protocol):
    """exp(2 pi i p . q) of many p on a grid."""

    def transform(self, field: Array) -> ComplexArray:
        """Return sum over pixels of field exp(-2 pi i p . q), shape (number of p,)."""
        ...

    def evaluate(self, coefficients: ComplexArray) -> Array:
        """Return the real part of the sum of coefficients times exp(2 pi i p . q), shape (n, m)."""
        ...

    def cross(self, surface: SplineSurface, weights: Array, sines: Places) -> Array:
        """Return sums over pixels of weight times a spline times cos 2 pi p . q, then times -sin of some p.

        Args:
            surface: the splines.
            weights: shape (n, m).
            sines: places of the harmonics whose sines are wanted.

        Returns:
            shape (splines along the rows, splines along the columns, number of p + number of sines).
        """
        ...


def phases_of(indices: Array, rows: Array, columns: Array) -> Phases:
    """Return the phases of harmonics.

    On axes along a lattice few indices occur along each; then all pairs of them are summed at once. Otherwise each
    harmonic is summed alone.

    Args:
        indices: p, each once, shape (number, 2).
        rows: coordinates of the pixels along the first axis, shape (n,).
        columns: coordinates along the second axis, shape (m,).
    """
    (first, first_place), (second, second_place) = (_unique(indices[:, axis]) for axis in (0, 1))
    if len(first) * len(second) <= _LARGEST_TABLE * max(len(indices), _GROUP):
        return SeparablePhases(first, second, rows, columns, first_place, second_place)
    return ListedPhases(indices[:, 0], indices[:, 1], rows, columns)


def combine_indices(indices: Array) -> tuple[Array, Places]:
    """Return the different ones among all p - p' and p + p', and the places of these, shape (2, number, number).

    Args:
        indices: p, shape (number, 2).
    """
    axes = []
    for axis in (0, 1):
        values, place = _unique(indices[:, axis])
        pairs = np.stack([values[:, None] - values[None], values[:, None] + values[None]])
        different, pair_place = _unique(pairs.reshape(-1))
        axes.append((different, pair_place.reshape(pairs.shape)[:, place[:, None], place[None]]))
    (first, first_place), (second, second_place) = axes
    codes = first_place * len(second) + second_place
    size = len(first) * len(second)
    if size <= 20 * codes.size:
        occurs = np.zeros(size, bool)
        occurs[codes] = True
        used = np.flatnonzero(occurs)
        place = (np.cumsum(occurs) - 1)[codes]
    else:
        used, place = np.unique(codes, return_inverse=True)
        place = place.reshape(codes.shape)
    return np.stack([first[used // len(second)], second[used % len(second)]], axis=1), place


def _unique(values: Array) -> tuple[Array, Places]:
    _, chosen, place = np.unique(np.round(values, _DECIMALS), return_index=True, return_inverse=True)
    return values[chosen], place.reshape(-1)


def _trigonometry(coordinates: Array, indices: Array) -> Array:
    """Return cosines, then sines, of 2 pi x p, shape (pixels, 2 indices)."""
    angles = 2 * np.pi * np.outer(coordinates, indices)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


@dataclass(frozen=True, eq=False)
class _AxisPhases:
    """Cosines and sines of some indices along both axes.

    Attributes:
        first: indices along the first axis.
        second: indices along the second axis.
        rows: coordinates of the pixels along the first axis.
        columns: coordinates along the second axis.
    """

    first: Array
    second: Array
    rows: Array
    columns: Array

    @cached_property
    def _along_rows(self) -> Array:
        return _trigonometry(self.rows, self.first)

    @cached_property
    def _along_columns(self) -> Array:
        return _trigonometry(self.columns, self.second)


@dataclass(frozen=True, eq=False)
class SeparablePhases(_AxisPhases):
    """Phases of p = (first[first_place], second[second_place]), where each index is listed once.

    Attributes:
        first_place: which of the first indices each p has.
        second_place: which of the second.
    """

    first_place: Places
    second_place: Places

    def transform(self, field: Array) -> ComplexArray:
        """Return sum over pixels of field exp(-2 pi i p . q), shape (number of p,)."""
        n, m = len(self.first), len(self.second)
        table = (self._along_rows.T @ field) @ self._along_columns
        real = table[:n, :m] - table[n:, m:]
        imaginary = -(table[n:, :m] + table[:n, m:])
        place = self.first_place, self.second_place
        return np.asarray(real[place] + 1j * imaginary[place])

    def evaluate(self, coefficients: ComplexArray) -> Array:
        """Return the real part of the sum of coefficients times exp(2 pi i p . q), shape (n, m)."""
        n, m = len(self.first), len(self.second)
        real, imaginary = np.zeros((n, m)), np.zeros((n, m))
        real[self.first_place, self.second_place] = coefficients.real
        imaginary[self.first_place, self.second_place] = coefficients.imag
        table = np.block([[real, -imaginary], [-imaginary, -real]])
        return np.asarray((self._along_rows @ table) @ self._along_columns.T)

    def cross(self, surface: SplineSurface, weights: Array, sines: Places) -> Array:
        """Return sums over pixels of weight times a spline times cos 2 pi p . q, then times -sin of some p."""
        halves = _project_rows(surface, self._along_rows, weights)
        count, firsts, seconds = len(self.first_place), len(self.first), len(self.second)
        values = np.empty((*surface.shape, count + len(sines)))
        sine_place = np.full(count, -1)
        sine_place[sines] = count + np.arange(len(sines))
        for place in range(firsts):
            used = np.flatnonzero(self.first_place == place)
            with_sine = used[sine_place[used] >= 0]
            cosine, sine = halves[place], halves[firsts + place]
            along = self.second_place[used]
            values[:, :, used] = _project_columns(surface, cosine, self._along_columns[:, along])
            values[:, :, used] -= _project_columns(surface, sine, self._along_columns[:, seconds + along])
            if len(with_sine):
                along, target = self.second_place[with_sine], sine_place[with_sine]
                values[:, :, target] = -_project_columns(surface, sine, self._along_columns[:, along])
                values[:, :, target] -= _project_columns(
                    surface, cosine, self._along_columns[:, seconds + along]
                )
        return values


@dataclass(frozen=True, eq=False)
class ListedPhases(_AxisPhases):
    """Phases of p = (first, second), each summed alone; both indices have shape (number of p,)."""

    def transform(self, field: Array) -> ComplexArray:
        """Return sum over pixels of field exp(-2 pi i p . q), shape (number of p,)."""
        count = len(self.first)
        cosine, sine = self._along_columns[:, :count], self._along_columns[:, count:]
        half = (field.T @ self._along_rows).reshape(len(self.columns), 2, count)
        real = np.einsum("vp,vp->p", half[:, 0], cosine) - np.einsum("vp,vp->p", half[:, 1], sine)
        imaginary = np.einsum("vp,vp->p", half[:, 1], cosine) + np.einsum("vp,vp->p", half[:, 0], sine)
        return np.asarray(real - 1j * imaginary)

    def evaluate(self, coefficients: ComplexArray) -> Array:
        """Return the real part of the sum of coefficients times exp(2 pi i p . q), shape (n, m)."""
        count = len(self.first)
        cosine, sine = self._along_columns[:, :count], self._along_columns[:, count:]
        real, imaginary = coefficients.real, coefficients.imag
        right = np.concatenate([real * cosine - imaginary * sine, -real * sine - imaginary * cosine], axis=1)
        return np.asarray(self._along_rows @ right.T)

    def cross(self, surface: SplineSurface, weights: Array, sines: Places) -> Array:
        """Return sums over pixels of weight times a spline times cos 2 pi p . q, then times -sin of some p."""
        count, n = len(self.first), surface.rows.count
        values = np.empty((*surface.shape, count + len(sines)))
        sine_place = np.full(count, -1)
        sine_place[sines] = count + np.arange(len(sines))
        for start in range(0, count, _GROUP):
            used = np.arange(start, min(start + _GROUP, count))
            halves = _project_rows(surface, self._along_rows[:, [*used, *(count + used)]], weights)
            cosine, sine = halves[: len(used)], halves[len(used) :]
            along = self._along_columns.T[:, None]
            both = cosine * along[used] - sine * along[count + used]
            values[:, :, used] = _onto_columns(surface, both).reshape(len(used), n, -1).transpose(1, 2, 0)
            chosen = np.flatnonzero(sine_place[used] >= 0)
            if len(chosen):
                used = used[chosen]
                both = -sine[chosen] * along[used] - cosine[chosen] * along[count + used]
                values[:, :, sine_place[used]] = (
                    _onto_columns(surface, both).reshape(len(used), n, -1).transpose(1, 2, 0)
                )
        return values


def _project_rows(surface: SplineSurface, factors: Array, weights: Array) -> Array:
    """Return sums over the first axis of weight times a spline times each factor, shape (factors, splines, m)."""
    result = np.zeros((factors.shape[1], surface.rows.count, weights.shape[1]))
    for pixels, splines, basis in surface.rows.chunks:
        products = factors[pixels, :, None] * basis[:, None]
        sums = products.reshape(len(basis), -1).T @ weights[pixels]
        result[:, splines] += sums.reshape(factors.shape[1], basis.shape[1], -1)
    return result


def _project_columns(surface: SplineSurface, field: Array, factors: Array) -> Array:
    """Return sums over the second axis of a field times a spline times each factor, shape (n, splines, factors)."""
    result = np.zeros((len(field), surface.columns.count, factors.shape[1]))
    for pixels, splines, basis in surface.columns.chunks:
        products = basis[:, :, None] * factors[pixels, None]
        sums = field[:, pixels] @ products.reshape(len(basis), -1)
        result[:, splines] += sums.reshape(len(field), basis.shape[1], -1)
    return result


def _onto_columns(surface: SplineSurface, fields: Array) -> Array:
    """Return the sums over the second axis of fields times splines, shape (..., m) -> (all others, splines)."""
    flat = fields.reshape(-1, fields.shape[-1])
    result = np.zeros((len(flat), surface.columns.count))
    for pixels, splines, basis in surface.columns.chunks:
        result[:, splines] += flat[:, pixels] @ basis
    return result
