"""Which pixels of a plane in Q a rotation scan with an area detector measures.

A point Q of the crystal is measured when the rotation carries it through the Ewald sphere and its diffracted
beam meets an active, unshadowed part of the detector. In the laboratory frame z points along the beam and x along
the spindle.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from simulate.artefacts.detectors import Detector

_MOST_DEAD_MODULES = 4
_BLOCK = 64
_UNLIMITED = 1e30
_SMALLEST_FORWARD = 1e-9
_FAR_OUTSIDE = 1e6
# The kernel meets no infinity and no NaN; these flags let the compiler vectorise. Sums keep their order.
_NO_SPECIAL_NUMBERS = {"nnan", "ninf", "nsz"}

LAUE_OPERATIONS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "none": ((1, 1, 1),),
    "-1": ((1, 1, 1), (-1, -1, -1)),
    "2/m": ((1, 1, 1), (-1, -1, -1), (-1, 1, -1), (1, -1, 1)),
    "mmm": tuple((x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)),
}
"""Laue symmetries for averaging a reconstruction, as diagonals of their operations; b || y is unique in 2/m."""


@dataclass(frozen=True, eq=False)
class ScanGeometry:
    """Geometry of one rotation scan: crystal, beam, detector and everything that shadows the detector.

    Shadows are given as angles seen from the crystal. Azimuths count from the spindle (x) towards y.

    Attributes:
        detector: Layout of the detector.
        wavelength_angstrom: Wavelength [Angstrom].
        distance_mm: Distance from the crystal to the detector plane [mm].
        setting: Rotation from the crystal's Cartesian frame to the laboratory frame at the start, shape (3, 3).
        sweep_degrees: Rotation of the crystal about the spindle [degrees], up to 360.
        shift_mm: Centre of the detector relative to the foot of its normal through the crystal, (x, y) [mm].
        two_theta_degrees: Swing of the detector about the spindle [degrees]; 0 is perpendicular to the beam.
        beam_stop_degrees: Half opening angle of the round beam stop [degrees].
        arm_half_width_degrees: Half width of the beam stop's straight arm [degrees]; 0 for none.
        arm_azimuth_degrees: Azimuth of the arm [degrees].
        sector_half_width_degrees: Half width in azimuth of a shadowed sector, below 90 [degrees]; 0 for none.
        sector_azimuth_degrees: Azimuth of the sector's middle [degrees].
        dead_modules: (column, row) of each dead module, at most four.
        q_limit_inv_angstrom: Largest |Q| of the reconstruction [1/Angstrom].
        laue_symmetry: Key of `LAUE_OPERATIONS`; equivalent measurements fill each other's gaps.

    Raises:
        InputError: a length is not positive, an angle is out of range, or a name or module does not exist.
    """

    detector: Detector
    wavelength_angstrom: float
    distance_mm: float
    setting: Array
    sweep_degrees: float = 360.0
    shift_mm: tuple[float, float] = (0.0, 0.0)
    two_theta_degrees: float = 0.0
    beam_stop_degrees: float = 0.0
    arm_half_width_degrees: float = 0.0
    arm_azimuth_degrees: float = 0.0
    sector_half_width_degrees: float = 0.0
    sector_azimuth_degrees: float = 0.0
    dead_modules: tuple[tuple[int, int], ...] = ()
    q_limit_inv_angstrom: float = float("inf")
    laue_symmetry: str = "none"

    def __post_init__(self) -> None:
        ranges = {"wavelength_angstrom": (1e-3, 1e3), "distance_mm": (1e-3, 1e6)}
        ranges["sweep_degrees"] = (0.0, 360.0)
        for name in ("beam_stop_degrees", "arm_half_width_degrees", "sector_half_width_degrees"):
            ranges[name] = (0.0, 89.0)
        for name, (lowest, highest) in ranges.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise InputError(f"scan {name} is {value}; expected {lowest:g} to {highest:g}")
        if self.laue_symmetry not in LAUE_OPERATIONS:
            known = list(LAUE_OPERATIONS)
            raise InputError(f"scan laue_symmetry is {self.laue_symmetry!r}; expected one of {known}")
        counts = (self.detector.module_columns, self.detector.module_rows)
        for module in self.dead_modules:
            if not (0 <= module[0] < counts[0] and 0 <= module[1] < counts[1]):
                raise InputError(f"scan dead module is {module}; expected (column, row) below {counts}")
        if len(self.dead_modules) > _MOST_DEAD_MODULES:
            raise InputError(
                f"scan has {len(self.dead_modules)} dead modules; expected at most {_MOST_DEAD_MODULES}"
            )


class _Sweep(NamedTuple):
    """Rotation of a scan: its cosine and sine, and whether it is half a turn or more."""

    cosine: float
    sine: float
    half_turn: bool


class _Panel(NamedTuple):
    """Detector in the units of the kernel: lengths in modules including one gap, from the lower left corner."""

    cos_swing: float
    sin_swing: float
    distance_x: float
    distance_y: float
    left: float
    bottom: float
    active_x: float
    active_y: float
    columns: float
    rows: float
    # Numbers row * columns + column of the dead modules; -1 for none.
    dead_0: float
    dead_1: float
    dead_2: float
    dead_3: float


class _Shadow(NamedTuple):
    """Shadows in the plane (kx, ky) / kz: beam stop, arm and sector."""

    stop_squared: float
    arm_half_width: float
    arm_x: float
    arm_y: float
    sector_cos_squared: float
    sector_x: float
    sector_y: float


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_NO_SPECIAL_NUMBERS, inline="always")
def _recorded(kx: float, ky: float, kz: float, panel: _Panel, shadow: _Shadow) -> bool:
    """Return whether a beam along (kx, ky, kz) passes the shadows and meets an active module."""
    forward = ky * panel.sin_swing + kz * panel.cos_swing
    scale = 1.0 / (forward if forward > _SMALLEST_FORWARD else _SMALLEST_FORWARD)
    x = kx * scale * panel.distance_x - panel.left
    y = (ky * panel.cos_swing - kz * panel.sin_swing) * scale * panel.distance_y - panel.bottom
    # Limited to a value far outside, because int32 has a limited range.
    x = min(max(x, -1.0), _FAR_OUTSIDE)
    y = min(max(y, -1.0), _FAR_OUTSIDE)
    column, row = float(np.int32(x)), float(np.int32(y))
    module = row * panel.columns + column
    met = (
        (forward > _SMALLEST_FORWARD)
        & (x >= 0.0)
        & (x < panel.columns)
        & (y >= 0.0)
        & (y < panel.rows)
        & (x - column < panel.active_x)
        & (y - row < panel.active_y)
        & (module != panel.dead_0)
        & (module != panel.dead_1)
        & (module != panel.dead_2)
        & (module != panel.dead_3)
    )
    squared = kx * kx + ky * ky
    along_arm = kx * shadow.arm_x + ky * shadow.arm_y
    across_arm = abs(kx * shadow.arm_y - ky * shadow.arm_x)
    along_sector = kx * shadow.sector_x + ky * shadow.sector_y
    shadowed = (
        (squared < shadow.stop_squared * kz * kz)
        | ((along_arm > 0.0) & (across_arm < shadow.arm_half_width * kz))
        | ((along_sector > 0.0) & (along_sector * along_sector > squared * shadow.sector_cos_squared))
    )
    # Shadows only affect forward scattering.
    return met & ((kz <= 0.0) | (not shadowed))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_NO_SPECIAL_NUMBERS, inline="always")
def _within_sweep(qy: float, qz: float, y: float, z: float, sweep: _Sweep) -> bool:
    """Return whether the scan rotates (qy, qz) to (y, z).

    The test compares the rotation's cosine and sine (times p^2) with the sweep, without an arc tangent. The rotation
    must lie inside [0, sweep] if the sweep is below half a turn, and otherwise outside ]sweep, 360[.
    """
    cosine, sine = qy * y + qz * z, qy * z - qz * y
    past = sine * sweep.cosine - cosine * sweep.sine
    return ((sine >= 0.0) & (past <= 0.0)) | (sweep.half_turn & ((sine >= 0.0) | (past <= 0.0)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_NO_SPECIAL_NUMBERS)
def _scan_row(
    hits: npt.NDArray[np.uint8],
    start: tuple[float, float, float],
    step: tuple[float, float, float],
    wave_number: float,
    q_limit_squared: float,
    sweep: _Sweep,
    panel: _Panel,
    shadow: _Shadow,
) -> None:
    """Set `hits` (m,) to 1 for every Q = start + j step that the scan measures, and to 0 elsewhere.

    Rotation about the spindle does not change Qx and p = hypot(Qy, Qz). The condition |k_i + Q| = |k_i| fixes
    Qz = -|Q|^2 / 2k, so Qy = -+ sqrt(p^2 - Qz^2): two crossings, or none in the blind region about the spindle. The
    loop has no branches, so the compiler can vectorise it.
    """
    for j in range(hits.shape[0]):
        qx, qy, qz = start[0] + j * step[0], start[1] + j * step[1], start[2] + j * step[2]
        p_squared = qy * qy + qz * qz
        q_squared = qx * qx + p_squared
        z = -0.5 * q_squared / wave_number
        y_squared = p_squared - z * z
        y = math.sqrt(y_squared if y_squared > 0.0 else 0.0)
        forward = wave_number + z
        first = _within_sweep(qy, qz, -y, z, sweep) & _recorded(qx, -y, forward, panel, shadow)
        second = _within_sweep(qy, qz, y, z, sweep) & _recorded(qx, y, forward, panel, shadow)
        hits[j] = (first | second) & (y_squared >= 0.0) & (q_squared <= q_limit_squared)


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(
    origins: Array,
    steps_u: Array,
    steps_v: Array,
    wave_number: float,
    q_limit_squared: float,
    sweep: _Sweep,
    panel: _Panel,
    shadow: _Shadow,
    measured: npt.NDArray[np.uint8],
) -> None:
    """Fill `measured`, shape (n, m), from the plane in each of its equivalent settings.

    Row k of the first three arguments describes the plane in setting k. Further settings are tried only for blocks of
    pixels that still have gaps.
    """
    rows, columns = measured.shape
    hits = np.empty(_BLOCK, np.uint8)
    for i in range(rows):
        for first in range(0, columns, _BLOCK):
            block = measured[i, first : first + _BLOCK]
            block[:] = 0
            for n in range(origins.shape[0]):
                du, dv = i - rows // 2, first - columns // 2
                start = (
                    origins[n, 0] + du * steps_u[n, 0] + dv * steps_v[n, 0],
                    origins[n, 1] + du * steps_u[n, 1] + dv * steps_v[n, 1],
                    origins[n, 2] + du * steps_u[n, 2] + dv * steps_v[n, 2],
                )
                step = (steps_v[n, 0], steps_v[n, 1], steps_v[n, 2])
                part = hits[: len(block)]
                _scan_row(part, start, step, wave_number, q_limit_squared, sweep, panel, shadow)
                gaps = 0
                for j in range(len(block)):
                    block[j] |= part[j]
                    gaps += 1 - block[j]
                if gaps == 0:
                    break


def measured_mask(
    origin: Array, step_u: Array, step_v: Array, shape: tuple[int, int], geometry: ScanGeometry
) -> Mask:
    """Return which pixels of the plane Q(i, j) = origin + (i - n//2) step_u + (j - m//2) step_v a scan measures.

    `origin`, `step_u`, `step_v` are Cartesian in the crystal's frame [1/Angstrom], shape (3,); `shape` is
    (n, m). The result is True where the pixel's centre is measured, shape (n, m).
    """
    detector = geometry.detector
    (width, height), (shift_x, shift_y) = detector.size_mm, geometry.shift_mm
    pitch_x = (detector.module_width + detector.gap_width) * detector.pixel_mm
    pitch_y = (detector.module_height + detector.gap_height) * detector.pixel_mm
    swing = np.radians(geometry.two_theta_degrees)
    dead = [float(row * detector.module_columns + column) for column, row in geometry.dead_modules]
    dead += [-1.0] * (_MOST_DEAD_MODULES - len(dead))
    panel = _Panel(
        cos_swing=float(np.cos(swing)),
        sin_swing=float(np.sin(swing)),
        distance_x=geometry.distance_mm / pitch_x,
        distance_y=geometry.distance_mm / pitch_y,
        left=(shift_x - width / 2) / pitch_x,
        bottom=(shift_y - height / 2) / pitch_y,
        active_x=detector.module_width * detector.pixel_mm / pitch_x,
        active_y=detector.module_height * detector.pixel_mm / pitch_y,
        columns=float(detector.module_columns),
        rows=float(detector.module_rows),
        dead_0=dead[0],
        dead_1=dead[1],
        dead_2=dead[2],
        dead_3=dead[3],
    )
    arm, sector = np.radians(geometry.arm_azimuth_degrees), np.radians(geometry.sector_azimuth_degrees)
    sector_half_width = np.radians(geometry.sector_half_width_degrees)
    shadow = _Shadow(
        stop_squared=float(np.tan(np.radians(geometry.beam_stop_degrees)) ** 2),
        arm_half_width=float(np.tan(np.radians(geometry.arm_half_width_degrees))),
        arm_x=float(np.cos(arm)),
        arm_y=float(np.sin(arm)),
        # No squared cosine exceeds 1.1, so this value disables the sector.
        sector_cos_squared=float(np.cos(sector_half_width) ** 2) if sector_half_width > 0 else 1.1,
        sector_x=float(np.cos(sector)),
        sector_y=float(np.sin(sector)),
    )
    operations = np.array(LAUE_OPERATIONS[geometry.laue_symmetry], dtype=np.float64)
    settings = geometry.setting * operations[:, None, :]
    measured = np.empty(shape, dtype=np.uint8)
    wave_number = 2 * np.pi / geometry.wavelength_angstrom
    angle = np.radians(geometry.sweep_degrees)
    sweep = _Sweep(float(np.cos(angle)), float(np.sin(angle)), bool(angle >= np.pi))
    # The kernel is compiled for finite numbers only.
    limit = min(geometry.q_limit_inv_angstrom**2, _UNLIMITED)
    in_lab = (settings @ origin, settings @ step_u, settings @ step_v)
    _scan(*in_lab, wave_number, limit, sweep, panel, shadow, measured)
    return measured.view(np.bool_)
