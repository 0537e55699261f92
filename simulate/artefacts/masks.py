"""Detector artefacts: masks of unmeasured pixels, drawn at random from the geometry of rotation scans."""

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

# A flat detector cannot be moved close enough for more, and at 90 degrees it would have to touch the crystal.
_MAX_EDGE_TWO_THETA_DEGREES = 75.0


@dataclass(frozen=True)
class MaskRecipe:
    """How masks are drawn; every pair is a (lowest, highest) from which values are taken uniformly.

    Attributes:
        detectors: Keys of `DETECTORS`, equally likely.
        laue_symmetries: Keys of `LAUE_OPERATIONS`, equally likely; repeat one to favour it.
        wavelength_angstrom: Wavelength [Angstrom].
        sweep_degrees: Rotation covered by the scan [degrees]; below 180 it leaves wedges.
        missing_fraction: Bounds on the share of unmeasured pixels; geometries outside them are drawn again.
        share_unmasked: Probability that a plane is measured everywhere.
        edge_share: |Q| at the middle of a detector edge, as a share of |Q| at the middle of a plane edge.
        detector_shift: Largest displacement of the detector, either way, as a share of its width and height.
        two_theta_degrees: Swing of the detector [degrees], for `share_swung` of the masks.
        share_swung: Probability of a swung detector.
        beam_stop_degrees: Half opening angle of the beam stop [degrees].
        arm_half_width_degrees: Half width of the beam stop's arm [degrees].
        share_arm: Probability that the arm casts a shadow.
        sector_half_width_degrees: Half width of a shadowed sector [degrees], below 90.
        share_sector: Probability of such a sector.
        share_dead_modules: Probability that one or two modules are dead, on a detector of several.
        q_limit_share: Cut-off in |Q|, as a share of |Q| at the middle of a plane edge.
        share_q_limit: Probability of that cut-off, which rounds the corners.
        max_attempts: Geometries tried before the one nearest to `missing_fraction` is taken.

    Raises:
        InputError: a name is unknown, a pair is out of order or out of range, or a share is not in [0, 1].
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
        """The recipe for crystals whose only symmetry is inversion."""
        fitting = tuple(name for name in self.laue_symmetries if name in ("none", "-1"))
        return replace(self, laue_symmetries=fitting or ("none",))

    def __post_init__(self) -> None:
        for name, known in (("detectors", DETECTORS), ("laue_symmetries", LAUE_OPERATIONS)):
            names = getattr(self, name)
            if not names or not set(names) <= set(known):
                raise InputError(f"mask recipe {name} is {names}: expected at least one of {sorted(known)}")
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
            raise InputError(f"mask recipe max_attempts is {self.max_attempts}: expected at least 1")


def _draw_with_probability(
    rng: np.random.Generator, share: float, pair: tuple[float, float], otherwise: float = 0.0
) -> float:
    """A value out of a range, with a given probability; else `otherwise`."""
    return float(rng.uniform(*pair)) if rng.random() < share else otherwise


def draw_geometry(rng: np.random.Generator, q_edge_inv_angstrom: float, recipe: MaskRecipe) -> ScanGeometry:
    """A random scan for a plane whose edges lie `q_edge_inv_angstrom` from the origin [1/Angstrom]."""
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
    """A mask for the plane of `measured_mask`, drawn by a recipe: True where measured, shape `shape`.

    Scans are drawn until the missing share of the plane is inside `recipe.missing_fraction`; should none of
    `recipe.max_attempts` be, the nearest is returned. The same generator state gives the same mask.
    """
    if rng.random() < recipe.share_unmasked:
        return np.ones(shape, dtype=np.bool_)
    half_u, half_v = shape[0] / 2 * step_u, shape[1] / 2 * step_v
    middles = origin + np.array([half_u, -half_u, half_v, -half_v])
    q_edge = float(np.linalg.norm(middles, axis=1).mean())
    lowest, highest = recipe.missing_fraction
    # Every fourth pixel either way tells how much will be missing, at a sixteenth of the work.
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
