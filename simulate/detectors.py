"""Modular area detectors, and what a rotation scan in front of one measures of a plane of Q.

A point Q of the crystal is measured when the rotation carries it through the Ewald sphere and its diffracted
beam meets an active, unshadowed part of the detector. Laboratory frame: z along beam, x along spindle.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dsfunet.errors import InputError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detector:
    """A flat detector of equal modules in rows (vertical) and columns (horizontal).

    Attributes:
        module_columns: Modules side by side.
        module_rows: Modules on top of each other.
        module_width: Active pixels of one module across a row.
        module_height: Active pixels of one module down a column.
        gap_width: Insensitive pixels between neighbouring columns of modules.
        gap_height: Insensitive pixels between neighbouring rows of modules.
        pixel_mm: Edge of a (square) pixel [mm].

    Raises:
        InputError: a count is not a positive integer, a gap is negative, or the pixel size is not positive.
    """

    module_columns: int
    module_rows: int
    module_width: int
    module_height: int
    gap_width: int
    gap_height: int
    pixel_mm: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "pixel_mm":
                valid, expected = 0 < value < float("inf"), "a positive length"
            else:
                lowest = 0 if field.name.startswith("gap") else 1
                valid, expected = value == int(value) >= lowest, f"an integer of at least {lowest}"
            if not valid:
                raise InputError(f"detector {field.name} is {value}: expected {expected}")

    @property
    def pixels(self) -> tuple[int, int]:
        """Columns and rows of the whole image, gaps included."""
        columns = self.module_columns * (self.module_width + self.gap_width) - self.gap_width
        rows = self.module_rows * (self.module_height + self.gap_height) - self.gap_height
        return columns, rows

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of the whole image [mm]."""
        columns, rows = self.pixels
        return columns * self.pixel_mm, rows * self.pixel_mm


# Module and gap sizes as published by the manufacturer; they add up to the image sizes of the data sheets:
# 1475 x 1679, 2463 x 2527 and 2068 x 2162.
DETECTORS: dict[str, Detector] = {
    "pilatus_2m": Detector(3, 8, 487, 195, 7, 17, 0.172),
    "pilatus_6m": Detector(5, 12, 487, 195, 7, 17, 0.172),
    "eiger2_4m": Detector(2, 4, 1028, 512, 12, 38, 0.075),
    "square_panel": Detector(1, 1, 2048, 2048, 0, 0, 0.1),
}
"""The detectors a recipe can name; `square_panel` stands for the seamless CCD and CMOS cameras."""

LAUE_OPERATIONS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "none": ((1, 1, 1),),
    "-1": ((1, 1, 1), (-1, -1, -1)),
    "2/m": ((1, 1, 1), (-1, -1, -1), (-1, 1, -1), (1, -1, 1)),
    "mmm": tuple((x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)),
}
"""Diagonals of the operations a reconstruction may be averaged over; b || y is the unique axis of 2/m."""


@dataclass(frozen=True, eq=False)
class ScanGeometry:
    """One rotation scan: crystal, beam, detector and everything that casts a shadow on it.

    Shadows lie between crystal and detector and are given as angles seen from the crystal. Azimuths count
    from the spindle (x) towards y.

    Attributes:
        detector: The detector's layout.
        wavelength_angstrom: Wavelength [Angstrom].
        distance_mm: From the crystal to the detector plane [mm].
        setting: Rotation from the crystal's Cartesian frame to the laboratory's at the start, shape (3, 3).
        sweep_degrees: How far the scan turns the crystal about the spindle [degrees], up to 360.
        shift_mm: Centre of the detector relative to the foot of its normal through the crystal, (x, y) [mm].
        two_theta_degrees: Swing of the detector about the spindle [degrees]; 0 is perpendicular to the beam.
        beam_stop_degrees: Half opening angle of the round beam stop [degrees].
        arm_half_width_degrees: Half width of the beam stop's straight arm [degrees]; 0 for none.
        arm_azimuth_degrees: Direction in which that arm leaves the beam [degrees].
        sector_half_width_degrees: Half width in azimuth of a shadowed sector, below 90 [degrees]; 0 for none.
        sector_azimuth_degrees: Direction of that sector [degrees].
        dead_modules: (column, row) of each module that does not count.
        q_limit_inv_angstrom: |Q| beyond which the reconstruction was cut [1/Angstrom].
        laue_symmetry: Key of `LAUE_OPERATIONS` by which equivalent measurements fill one another's gaps.

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
                raise InputError(f"scan {name} is {value}: expected a value in [{lowest:g}, {highest:g}]")
        if self.laue_symmetry not in LAUE_OPERATIONS:
            known = list(LAUE_OPERATIONS)
            raise InputError(f"scan laue_symmetry is {self.laue_symmetry!r}: expected one of {known}")
        counts = (self.detector.module_columns, self.detector.module_rows)
        for module in self.dead_modules:
            if not (0 <= module[0] < counts[0] and 0 <= module[1] < counts[1]):
                raise InputError(f"scan dead module {module}: expected (column, row) below {counts}")


class _Panel(NamedTuple):
    """A detector as the kernel wants it: lengths in modules (with one gap), from its lower left corner."""

    cos_swing: float
    sin_swing: float
    distance_x: float
    distance_y: float
    left: float
    bottom: float
    active_x: float
    active_y: float


class _Shadow(NamedTuple):
    """Shadows in the plane (kx, ky) / kz: beam stop, its arm, and a sector."""

    stop_squared: float
    arm_half_width: float
    arm_x: float
    arm_y: float
    sector_cos_squared: float
    sector_x: float
    sector_y: float


@njit(cache=True, nogil=True, error_model="numpy")
def _recorded(kx: float, ky: float, kz: float, panel: _Panel, shadow: _Shadow, alive: Mask) -> bool:
    """Whether a beam along (kx, ky, kz) passes the shadows and meets an active module."""
    forward = ky * panel.sin_swing + kz * panel.cos_swing
    if forward <= 0.0:
        return False
    scale = 1.0 / forward
    x = kx * scale * panel.distance_x - panel.left
    y = (ky * panel.cos_swing - kz * panel.sin_swing) * scale * panel.distance_y - panel.bottom
    if x < 0.0 or y < 0.0 or x >= alive.shape[0] or y >= alive.shape[1]:
        return False
    column, row = int(x), int(y)
    if x - column >= panel.active_x or y - row >= panel.active_y or not alive[column, row]:
        return False
    if kz <= 0.0:  # scattered backwards, where no shadow falls
        return True
    squared = kx * kx + ky * ky
    if squared < shadow.stop_squared * kz * kz:
        return False
    if kx * shadow.arm_x + ky * shadow.arm_y > 0.0 and (
        abs(kx * shadow.arm_y - ky * shadow.arm_x) < shadow.arm_half_width * kz
    ):
        return False
    along = kx * shadow.sector_x + ky * shadow.sector_y
    return not (along > 0.0 and along * along > squared * shadow.sector_cos_squared)


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(
    origins: Array,
    steps_u: Array,
    steps_v: Array,
    wave_number: float,
    q_limit_squared: float,
    sweep: float,
    panel: _Panel,
    shadow: _Shadow,
    alive: Mask,
    measured: Mask,
) -> None:
    """Fill `measured`, shape (n, m); rows of the first three are the plane in each equivalent setting.

    The spindle leaves Qx and p = hypot(Qy, Qz) alone. |k_i + Q| = |k_i| fixes Qz = -|Q|^2 / 2k, so
    Qy = -+ sqrt(p^2 - Qz^2): two crossings, or none within the blind region about the spindle.
    """
    rows, columns = measured.shape
    cos_sweep, sin_sweep = np.cos(sweep), np.sin(sweep)
    for i in range(rows):
        for j in range(columns):
            measured[i, j] = False
            for n in range(origins.shape[0]):
                du, dv = i - rows // 2, j - columns // 2
                qx = origins[n, 0] + du * steps_u[n, 0] + dv * steps_v[n, 0]
                qy = origins[n, 1] + du * steps_u[n, 1] + dv * steps_v[n, 1]
                qz = origins[n, 2] + du * steps_u[n, 2] + dv * steps_v[n, 2]
                p_squared = qy * qy + qz * qz
                q_squared = qx * qx + p_squared
                if q_squared > q_limit_squared:
                    break  # equivalents are as long
                z = -0.5 * q_squared / wave_number
                if z * z > p_squared:
                    continue
                y = np.sqrt(p_squared - z * z)
                for _ in range(2):
                    y = -y
                    # Cosine and sine (times p^2) of the rotation from (qy, qz) to (y, z), to compare with
                    # the sweep without an arc tangent: inside [0, sweep], or not inside ]sweep, 360[.
                    cosine, sine = qy * y + qz * z, qy * z - qz * y
                    past = sine * cos_sweep - cosine * sin_sweep
                    turned = (sine >= 0.0 >= past) if sweep < np.pi else (sine >= 0.0 or past <= 0.0)
                    if turned and _recorded(qx, y, wave_number + z, panel, shadow, alive):
                        measured[i, j] = True
                        break
                if measured[i, j]:
                    break


def measured_mask(
    origin: Array, step_u: Array, step_v: Array, shape: tuple[int, int], geometry: ScanGeometry
) -> Mask:
    """Pixels of the plane Q(i, j) = origin + (i - n//2) step_u + (j - m//2) step_v that a scan measures.

    `origin`, `step_u`, `step_v` are Cartesian in the crystal's frame [1/Angstrom], shape (3,); `shape` is
    (n, m). Returns True where measured, shape (n, m). A pixel counts by its centre.
    """
    detector = geometry.detector
    (width, height), (shift_x, shift_y) = detector.size_mm, geometry.shift_mm
    pitch_x = (detector.module_width + detector.gap_width) * detector.pixel_mm
    pitch_y = (detector.module_height + detector.gap_height) * detector.pixel_mm
    swing = np.radians(geometry.two_theta_degrees)
    panel = _Panel(
        cos_swing=float(np.cos(swing)),
        sin_swing=float(np.sin(swing)),
        distance_x=geometry.distance_mm / pitch_x,
        distance_y=geometry.distance_mm / pitch_y,
        left=(shift_x - width / 2) / pitch_x,
        bottom=(shift_y - height / 2) / pitch_y,
        active_x=detector.module_width * detector.pixel_mm / pitch_x,
        active_y=detector.module_height * detector.pixel_mm / pitch_y,
    )
    arm, sector = np.radians(geometry.arm_azimuth_degrees), np.radians(geometry.sector_azimuth_degrees)
    sector_half_width = np.radians(geometry.sector_half_width_degrees)
    shadow = _Shadow(
        stop_squared=float(np.tan(np.radians(geometry.beam_stop_degrees)) ** 2),
        arm_half_width=float(np.tan(np.radians(geometry.arm_half_width_degrees))),
        arm_x=float(np.cos(arm)),
        arm_y=float(np.sin(arm)),
        # No squared cosine exceeds 1.1, so that is no sector at all.
        sector_cos_squared=float(np.cos(sector_half_width) ** 2) if sector_half_width > 0 else 1.1,
        sector_x=float(np.cos(sector)),
        sector_y=float(np.sin(sector)),
    )
    alive = np.ones((detector.module_columns, detector.module_rows), dtype=np.bool_)
    for column, row in geometry.dead_modules:
        alive[column, row] = False
    operations = np.array(LAUE_OPERATIONS[geometry.laue_symmetry], dtype=np.float64)
    settings = geometry.setting * operations[:, None, :]
    measured = np.empty(shape, dtype=np.bool_)
    wave_number = 2 * np.pi / geometry.wavelength_angstrom
    limit, sweep = geometry.q_limit_inv_angstrom**2, np.radians(geometry.sweep_degrees)
    in_lab = (settings @ origin, settings @ step_u, settings @ step_v)
    _scan(*in_lab, wave_number, limit, sweep, panel, shadow, alive, measured)
    return measured
