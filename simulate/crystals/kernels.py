"""Compiled kernels for both components on a plane, in single precision; about ten times faster than `dsfunet.physics`.

`dsfunet.physics` is the reference: float64, numpy, any plane. These kernels need planes that two reciprocal axes span,
as every simulated plane is. They work row by row, while a row is in the first cache. The inner loops run over columns,
which are independent of each other, so they vectorise without reordering any sum.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from dsfunet._typing import Array, Float32, Mask
from dsfunet.physics import MAX_INDEX, Cell, Molecule, Plane
from dsfunet.physics.scattering import TABLE_Q_STEP, scattering_factor_table


def form_factor_intensity(
    first: Molecule,
    second: Molecule,
    plane: Plane,
    concentration_first: float = 0.5,
    debye_waller_b_angstrom2: float = 0.0,
) -> Float32:
    """Return I_FF of equation 1 [electrons^2] on a plane, float32 of its shape.

    The result agrees with `dsfunet.physics.form_factor_intensity`. The atoms of each element are summed first, those
    of the second species with reversed sign, so that each element's scattering factor is looked up once per pixel. The
    tables include the Debye-Waller factor and m_A m_B.
    """
    elements = sorted({*first.elements, *second.elements})
    atoms = [
        (position, sign)
        for element in elements
        for molecule, sign in ((first, 1.0), (second, -1.0))
        for symbol, position in zip(molecule.elements, molecule.positions_angstrom, strict=True)
        if symbol == element
    ]
    counts = [(*first.elements, *second.elements).count(element) for element in elements]
    positions = np.array([position for position, _ in atoms]).reshape(-1, 3)
    signs = np.array([sign for _, sign in atoms])
    ends = np.cumsum([0, *counts])
    farthest = _farthest_q(plane)
    points = max(8192, 1 << int(farthest / TABLE_Q_STEP + 3).bit_length())
    tables = np.array([scattering_factor_table(element, points) for element in elements]).reshape(-1, points)
    amplitude = np.full(points, np.sqrt(concentration_first * (1 - concentration_first)))
    if debye_waller_b_angstrom2:
        q = np.arange(points) * TABLE_Q_STEP
        amplitude *= np.exp(-debye_waller_b_angstrom2 / (16 * np.pi**2) * q**2)
    return _form_factor(
        positions @ plane.origin,
        positions @ plane.step_u,
        positions @ plane.step_v,
        signs,
        ends,
        (tables * amplitude).astype(np.float32),
        1.0 / TABLE_Q_STEP,
        np.stack([plane.origin, plane.step_u, plane.step_v]),
        *plane.shape,
    )


def _farthest_q(plane: Plane) -> float:
    """Return |Q| of the corner farthest from the origin [1/Angstrom]."""
    ends = [
        plane.origin + i * plane.step_u + j * plane.step_v
        for i in plane.index_u[[0, -1]]
        for j in plane.index_v[[0, -1]]
    ]
    return float(np.linalg.norm(ends, axis=1).max())


@njit(cache=True, nogil=True, error_model="numpy")
def _powers(phase: float, count: int, real: Float32, imaginary: Float32) -> None:
    """Fill in exp(i n phase) for n = -count/2, ..., as double-precision products of two short tables."""
    block = 16
    start = -(count // 2)
    fine_real, fine_imaginary = np.empty(block), np.empty(block)
    for n in range(block):
        fine_real[n], fine_imaginary[n] = np.cos(n * phase), np.sin(n * phase)
    for first in range(0, count, block):
        coarse_real, coarse_imaginary = np.cos((start + first) * phase), np.sin((start + first) * phase)
        for n in range(min(block, count - first)):
            real[first + n] = coarse_real * fine_real[n] - coarse_imaginary * fine_imaginary[n]
            imaginary[first + n] = coarse_real * fine_imaginary[n] + coarse_imaginary * fine_real[n]


@njit(cache=True, nogil=True, error_model="numpy")
def _form_factor(
    origin_phases: Array,
    row_phases: Array,
    column_phases: Array,
    signs: Array,
    ends: npt.NDArray[np.int64],
    tables: Float32,
    points_per_q: float,
    vectors: Array,
    rows: int,
    columns: int,
) -> Float32:
    """Return |sum_e f_e(|Q|) sum_(atoms of e) +-exp(i Q . x)|^2, shape (rows, columns).

    The atoms of element e are numbers `ends[e]` to `ends[e + 1]`; `tables` (elements, points) are the scattering
    factors; `vectors` are origin, step_u and step_v of the plane.
    """
    atoms, elements = len(signs), len(tables)
    row_real, row_imaginary = np.empty((atoms, rows), np.float32), np.empty((atoms, rows), np.float32)
    cos_columns, sin_columns = np.empty((atoms, columns), np.float32), np.empty((atoms, columns), np.float32)
    for atom in range(atoms):
        _powers(row_phases[atom], rows, row_real[atom], row_imaginary[atom])
        _powers(column_phases[atom], columns, cos_columns[atom], sin_columns[atom])
        cosine = np.float32(signs[atom] * np.cos(origin_phases[atom]))
        sine = np.float32(signs[atom] * np.sin(origin_phases[atom]))
        for i in range(rows):
            real = row_real[atom, i]
            row_real[atom, i] = real * cosine - row_imaginary[atom, i] * sine
            row_imaginary[atom, i] = real * sine + row_imaginary[atom, i] * cosine
    origin, step_u, step_v = vectors[0], vectors[1], vectors[2]
    v_squared = step_v @ step_v
    intensity = np.empty((rows, columns), np.float32)
    low = np.empty(columns, np.int32)
    fraction = np.empty(columns, np.float32)
    sum_real, sum_imaginary = np.empty(columns, np.float32), np.empty(columns, np.float32)
    real, imaginary = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for i in range(rows):
        start = origin + (i - rows // 2) * step_u
        constant, slope = start @ start, 2 * (start @ step_v)
        for j in range(columns):
            n = j - columns // 2
            # Rounding may give a small negative number at Q = 0.
            q = np.sqrt(max(constant + n * (slope + n * v_squared), 0.0)) * points_per_q
            low[j] = np.int32(q)
            fraction[j] = np.float32(q - np.int32(q))
            sum_real[j] = np.float32(0)
            sum_imaginary[j] = np.float32(0)
        for element in range(elements):
            real[:] = np.float32(0)
            imaginary[:] = np.float32(0)
            for atom in range(ends[element], ends[element + 1]):
                a, b = row_real[atom, i], row_imaginary[atom, i]
                c, d = cos_columns[atom], sin_columns[atom]
                for j in range(columns):
                    real[j] += a * c[j] - b * d[j]
                    imaginary[j] += a * d[j] + b * c[j]
            table = tables[element]
            for j in range(columns):
                below = table[low[j]]
                factor = below + fraction[j] * (table[low[j] + 1] - below)
                sum_real[j] += factor * real[j]
                sum_imaginary[j] += factor * imaginary[j]
        for j in range(columns):
            intensity[i, j] = sum_real[j] * sum_real[j] + sum_imaginary[j] * sum_imaginary[j]
    return intensity


def short_range_order_intensity(alphas: Array, cell: Cell, plane: Plane, axes: Sequence[int]) -> Float32:
    """Return I_SRO of equation 3 on `plane_through(cell, axes, ...)`, clipped at 0, float32 of the plane's shape.

    The result agrees with `dsfunet.physics.short_range_order_intensity`. The phase of a component along the third axis
    is constant on the plane, so these terms are summed first. A Fourier series over 11 x 11 vectors remains, of which
    inversion symmetry gives half.
    """
    first, second = axes
    third = 3 - first - second
    steps = np.arange(-MAX_INDEX, MAX_INDEX + 1)
    # The origin lies along one reciprocal axis, so its phase depends on the third index alone.
    phases = np.exp(1j * steps * (cell.direct[third] @ plane.origin))
    in_plane = np.transpose(alphas, (first, second, third)) @ phases
    return _short_range_order(
        in_plane.real.astype(np.float64),
        in_plane.imag.astype(np.float64),
        cell.direct[first] @ plane.step_u,
        cell.direct[first] @ plane.step_v,
        cell.direct[second] @ plane.step_v,
        *plane.shape,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _short_range_order(
    in_plane_real: Array,
    in_plane_imaginary: Array,
    phase_u: float,
    phase_v_first: float,
    phase_v_second: float,
    rows: int,
    columns: int,
) -> Float32:
    """Return max(0, Re sum_pq c_pq exp(i m p u) exp(i n (p v + q w))) over p >= 0; terms with p > 0 count twice."""
    size = len(in_plane_real)
    reach = size // 2
    row_real = np.empty((reach + 1, rows), np.float32)
    row_imaginary = np.empty((reach + 1, rows), np.float32)
    column_real = np.zeros((reach + 1, columns), np.float32)
    column_imaginary = np.zeros((reach + 1, columns), np.float32)
    real, imaginary = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for p in range(reach + 1):
        weight = 1.0 if p == 0 else 2.0
        _powers(p * phase_u, rows, row_real[p], row_imaginary[p])
        for q in range(size):
            _powers(p * phase_v_first + (q - reach) * phase_v_second, columns, real, imaginary)
            a = np.float32(weight * in_plane_real[p + reach, q])
            b = np.float32(weight * in_plane_imaginary[p + reach, q])
            for n in range(columns):
                column_real[p, n] += a * real[n] - b * imaginary[n]
                column_imaginary[p, n] += a * imaginary[n] + b * real[n]
    intensity = np.zeros((rows, columns), np.float32)
    for m in range(rows):
        row = intensity[m]
        for p in range(reach + 1):
            a, b = row_real[p, m], row_imaginary[p, m]
            c, d = column_real[p], column_imaginary[p]
            for n in range(columns):
                row[n] += a * c[n] - b * d[n]
        for n in range(columns):
            row[n] = max(row[n], np.float32(0))
    return intensity


@njit(cache=True, nogil=True)
def measured_range(plane: Float32, mask: Mask) -> float:
    """Return the highest minus the lowest value over the measured pixels, or 0 if there are none."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for i in range(plane.shape[0]):
        for j in range(plane.shape[1]):
            if mask[i, j]:
                low, high = min(low, plane[i, j]), max(high, plane[i, j])
    return float(max(high - low, np.float32(0)))
