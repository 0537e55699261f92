"""Slow reference for `simulate.artefacts.rotation_scan.measured_mask`: rotate the crystal in small steps."""

from itertools import pairwise

import numpy as np

from dsfunet._typing import Array, Mask
from simulate.artefacts.rotation_scan import LAUE_OPERATIONS, ScanGeometry

STEPS_PER_DEGREE = 1
BISECTIONS = 30


def turned(q_start: Array, omega: Array) -> Array:
    """Vectors of shape (n, 3) rotated about x by omega, shape (n,) [radians]."""
    cosine, sine = np.cos(omega), np.sin(omega)
    x, y, z = q_start.T
    return np.stack([x, cosine * y - sine * z, sine * y + cosine * z], axis=1)


def excess(q_start: Array, omega: Array, wave_number: float) -> Array:
    """|k_i + Q| - |k_i|, shape (n,): positive outside the Ewald sphere, negative inside."""
    diffracted = turned(q_start, omega) + np.array([0.0, 0.0, wave_number])
    return np.asarray(np.linalg.norm(diffracted, axis=1) - wave_number)


def lands(diffracted: Array, geometry: ScanGeometry) -> bool:
    """Return whether one diffracted beam, shape (3,), is recorded: test every shadow and module in turn."""
    if diffracted[2] > 0:
        x, y = diffracted[:2] / diffracted[2]
        radius, azimuth = np.hypot(x, y), np.arctan2(y, x)
        if np.degrees(np.arctan(radius)) < geometry.beam_stop_degrees:
            return False
        arm = azimuth - np.radians(geometry.arm_azimuth_degrees)
        across = abs(radius * np.sin(arm))
        if np.cos(arm) > 0 and np.degrees(np.arctan(across)) < geometry.arm_half_width_degrees:
            return False
        sector = np.angle(np.exp(1j * (azimuth - np.radians(geometry.sector_azimuth_degrees))))
        if abs(np.degrees(sector)) < geometry.sector_half_width_degrees:
            return False

    swing = np.radians(geometry.two_theta_degrees)
    upward = np.array([0.0, np.cos(swing), -np.sin(swing)])
    normal = np.array([0.0, np.sin(swing), np.cos(swing)])
    if diffracted @ normal <= 0:
        return False
    hit = diffracted * geometry.distance_mm / (diffracted @ normal)
    detector = geometry.detector
    columns, rows = detector.pixels
    column_pixel = (hit[0] - geometry.shift_mm[0]) / detector.pixel_mm + columns / 2
    row_pixel = (hit @ upward - geometry.shift_mm[1]) / detector.pixel_mm + rows / 2
    for column in range(detector.module_columns):
        for row in range(detector.module_rows):
            left = column * (detector.module_width + detector.gap_width)
            bottom = row * (detector.module_height + detector.gap_height)
            on_module = (
                left <= column_pixel < left + detector.module_width
                and bottom <= row_pixel < bottom + detector.module_height
            )
            if on_module:
                return (column, row) not in geometry.dead_modules
    return False


def measured_mask(
    origin: Array, step_u: Array, step_v: Array, shape: tuple[int, int], geometry: ScanGeometry
) -> Mask:
    """Return the same as the compiled function: True where measured, shape `shape`."""
    wave_number = 2 * np.pi / geometry.wavelength_angstrom
    measured = np.zeros(shape[0] * shape[1], dtype=np.bool_)
    i, j = (index.reshape(-1, 1) for index in np.indices(shape))
    q_crystal = origin + (i - shape[0] // 2) * step_u + (j - shape[1] // 2) * step_v
    omegas = np.radians(
        np.linspace(0.0, geometry.sweep_degrees, int(STEPS_PER_DEGREE * geometry.sweep_degrees) + 1)
    )
    for signs in LAUE_OPERATIONS[geometry.laue_symmetry]:
        q_start = (q_crystal * signs) @ geometry.setting.T
        before = excess(q_start, np.full(len(q_start), omegas[0]), wave_number)
        for start, stop in pairwise(omegas):
            after = excess(q_start, np.full(len(q_start), stop), wave_number)
            crossing = np.flatnonzero((before > 0) != (after > 0))
            low, high = np.full(len(crossing), start), np.full(len(crossing), stop)
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                same = (excess(q_start[crossing], middle, wave_number) > 0) == (before[crossing] > 0)
                low, high = np.where(same, middle, low), np.where(same, high, middle)
            for pixel, q_lab in zip(crossing, turned(q_start[crossing], low), strict=True):
                if not measured[pixel]:
                    measured[pixel] = lands(q_lab + np.array([0.0, 0.0, wave_number]), geometry)
            before = after
    measured &= np.linalg.norm(q_crystal, axis=1) <= geometry.q_limit_inv_angstrom
    return measured.reshape(shape)
