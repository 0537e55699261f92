"""Random masks of unmeasured pixels, computed from random geometries of rotation scans."""

from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from simulate.artefacts.detectors import DETECTORS
from simulate.artefacts.rotation_scan import LAUE_OPERATIONS, ScanGeometry, measured_mask
from simulate.ranges import check_ranges, check_shares
from simulate.rotations import random_rotation

__all__ = ["MaskRecipe", "draw_geometry", "draw_mask", "measured_mask"]

_COARSE = 4

# Largest scattering angle at the edge of a flat detector; 90 degrees would need a detector that touches the crystal.
_MAX_EDGE_TWO_THETA_DEGREES = 75.0


@dataclass(frozen=True)
class MaskRecipe:
    """Settings of the random masks. Each pair is a (lowest, highest) range with a uniform distribution.

    Attributes:
        detectors: names of detectors (`DETECTORS`), chosen with equal probability.
        laue_symmetries: names of Laue symmetries (`LAUE_OPERATIONS`) used to average the data, chosen with equal
            probability; repeat a name to choose it more often.
        wavelength_angstrom: range of the wavelength [Angstrom].
        sweep_degrees: range of the scan's rotation [degrees]; below 180 it leaves unmeasured wedges.
        missing_fraction: lowest and highest share of unmeasured pixels; other geometries are rejected.
        share_unmasked: probability of a plane that is measured everywhere.
        edge_share: range of |Q| at the middle of a detector edge, as a share of |Q| at the middle of a plane edge.
        detector_shift: range of the detector's displacement along each side, as a share of its width and height.
        two_theta_degrees: range of the detector's swing angle [degrees].
        share_swung: probability of a swung detector.
        beam_stop_degrees: range of the beam stop's half opening angle [degrees].
        arm_half_width_degrees: range of the half width of the beam stop's arm [degrees].
        share_arm: probability that the arm casts a shadow.
        sector_half_width_degrees: range of the half width of a shadowed sector [degrees], below 90.
        share_sector: probability of a shadowed sector.
        share_dead_modules: probability of one or two dead modules, on detectors with several modules.
        q_limit_share: range of the cut-off in |Q|, as a share of |Q| at the middle of a plane edge.
        share_q_limit: probability of a cut-off in |Q|, which rounds the corners.
        max_attempts: number of geometries to try; after that the one closest to `missing_fraction` is used.

    Raises:
        InputError: a name is unknown, a range is reversed or out of bounds, or a share is not in [0, 1].
    """

    detectors: tuple[str, ...] = tuple(DETECTORS)
    laue_symmetries: tuple[str, ...] = ("none", "none", "-1", "2/m", "mmm")
    wavelength_angstrom: tuple[float, float] = (0.5, 0.8)
    sweep_degrees: tuple[float, float] = (60.0, 360.0)
    missing_fraction: tuple[float, float] = (0.07, 0.55)
    share_unmasked: float = 0.1
    edge_share: tuple[float, float] = (0.8, 1.3)
    detector_shift: tuple[float, float] = (0.0, 0.2)
    two_theta_degrees: tuple[float, float] = (5.0, 30.0)
    share_swung: float = 0.25
    beam_stop_degrees: tuple[float, float] = (0.4, 2.5)
    arm_half_width_degrees: tuple[float, float] = (0.2, 0.8)
    share_arm: float = 0.6
    sector_half_width_degrees: tuple[float, float] = (3.0, 15.0)
    share_sector: float = 0.2
    share_dead_modules: float = 0.25
    q_limit_share: tuple[float, float] = (0.95, 1.3)
    share_q_limit: float = 0.5
    max_attempts: int = 50

    def for_triclinic(self) -> "MaskRecipe":
        """Return the recipe with only the symmetries that a triclinic crystal can have."""
        fitting = tuple(name for name in self.laue_symmetries if name in ("none", "-1"))
        return replace(self, laue_symmetries=fitting or ("none",))

    def __post_init__(self) -> None:
        for name, known in (("detectors", DETECTORS), ("laue_symmetries", LAUE_OPERATIONS)):
            names = getattr(self, name)
            if not names or not set(names) <= set(known):
                raise InputError(f"mask recipe {name} is {names}; expected at least one of {sorted(known)}")
        tiny, infinity = float(np.nextafter(0, 1)), float(np.finfo(np.float64).max)
        bounds = {
            "wavelength_angstrom": (tiny, infinity),
            "sweep_degrees": (tiny, 360.0),
            "missing_fraction": (0.0, 1.0),
            "edge_share": (tiny, infinity),
            "detector_shift": (0.0, 1.0),
            "two_theta_degrees": (0.0, 90.0),
            "beam_stop_degrees": (0.0, 45.0),
            "arm_half_width_degrees": (0.0, 45.0),
            "sector_half_width_degrees": (0.0, 89.0),
            "q_limit_share": (tiny, infinity),
        }
        check_ranges(self, "mask recipe", bounds)
        check_shares(self, "mask recipe", (name for name in vars(self) if name.startswith("share_")))
        if self.max_attempts < 1:
            raise InputError(f"mask recipe max_attempts is {self.max_attempts}; expected at least 1")


def _draw_with_probability(
    rng: np.random.Generator, share: float, pair: tuple[float, float], otherwise: float = 0.0
) -> float:
    """Draw a value from a range with a given probability; return `otherwise` if not."""
    return float(rng.uniform(*pair)) if rng.random() < share else otherwise


def draw_geometry(rng: np.random.Generator, q_edge_inv_angstrom: float, recipe: MaskRecipe) -> ScanGeometry:
    """Draw a scan for a plane whose edges lie at a distance `q_edge_inv_angstrom` from the origin [1/Angstrom]."""
    detector = DETECTORS[recipe.detectors[rng.integers(len(recipe.detectors))]]
    wavelength = rng.uniform(*recipe.wavelength_angstrom)
    sine = rng.uniform(*recipe.edge_share) * q_edge_inv_angstrom * wavelength / (4 * np.pi)  # Bragg's law
    edge = min(2 * np.arcsin(min(sine, 1.0)), np.radians(_MAX_EDGE_TWO_THETA_DEGREES))
    width, height = detector.size_mm
    modules = [(i, j) for i in range(detector.module_columns) for j in range(detector.module_rows)]
    dead: tuple[tuple[int, int], ...] = ()
    if rng.random() < recipe.share_dead_modules and len(modules) > 1:
        chosen = rng.choice(len(modules), size=rng.integers(1, 3), replace=False)
        dead = tuple(modules[number] for number in chosen)
    cut = _draw_with_probability(rng, recipe.share_q_limit, recipe.q_limit_share, otherwise=float("inf"))
    shift = rng.uniform(*recipe.detector_shift, size=2) * rng.choice([-1.0, 1.0], size=2)
    return ScanGeometry(
        detector=detector,
        wavelength_angstrom=float(wavelength),
        distance_mm=float(np.sqrt(width * height) / 2 / np.tan(edge)),
        setting=random_rotation(rng),
        sweep_degrees=float(rng.uniform(*recipe.sweep_degrees)),
        shift_mm=(float(shift[0] * width), float(shift[1] * height)),
        two_theta_degrees=_draw_with_probability(rng, recipe.share_swung, recipe.two_theta_degrees),
        beam_stop_degrees=float(rng.uniform(*recipe.beam_stop_degrees)),
        arm_half_width_degrees=_draw_with_probability(rng, recipe.share_arm, recipe.arm_half_width_degrees),
        arm_azimuth_degrees=float(90 * rng.integers(4) + rng.normal(0.0, 5.0)),
        sector_half_width_degrees=_draw_with_probability(
            rng, recipe.share_sector, recipe.sector_half_width_degrees
        ),
        sector_azimuth_degrees=float(rng.uniform(0.0, 360.0)),
        dead_modules=dead,
        q_limit_inv_angstrom=q_edge_inv_angstrom * cut,
        laue_symmetry=recipe.laue_symmetries[rng.integers(len(recipe.laue_symmetries))],
    )


def draw_mask(
    rng: np.random.Generator,
    origin: Array,
    step_u: Array,
    step_v: Array,
    shape: tuple[int, int],
    recipe: MaskRecipe,
) -> Mask:
    """Draw a mask for a plane, given as in `measured_mask`: True where measured, shape `shape`.

    Scans are drawn until the missing share of the plane lies within `recipe.missing_fraction`. If that fails
    `recipe.max_attempts` times, the mask with the closest share is returned. The same generator state gives the same
    mask.
    """
    if rng.random() < recipe.share_unmasked:
        return np.ones(shape, dtype=np.bool_)
    half_u, half_v = shape[0] / 2 * step_u, shape[1] / 2 * step_v
    middles = origin + np.array([half_u, -half_u, half_v, -half_v])
    q_edge = float(np.linalg.norm(middles, axis=1).mean())
    lowest, highest = recipe.missing_fraction
    # Every fourth pixel along both axes is enough to estimate the missing share, at a sixteenth of the work.
    coarse = (_COARSE * step_u, _COARSE * step_v, (-(-shape[0] // _COARSE), -(-shape[1] // _COARSE)))
    best, best_excess = None, np.inf
    for _ in range(recipe.max_attempts):
        geometry = draw_geometry(rng, q_edge, recipe)
        missing = 1.0 - float(measured_mask(origin, *coarse, geometry).mean())
        excess = max(lowest - missing, missing - highest)
        if excess < best_excess:
            best, best_excess = geometry, excess
        if excess > 0:
            continue
        measured = measured_mask(origin, step_u, step_v, shape, geometry)
        if lowest <= 1.0 - float(measured.mean()) <= highest:
            return measured
    assert best is not None
    return measured_mask(origin, step_u, step_v, shape, best)
