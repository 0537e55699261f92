"""Bragg peaks punched out of a plane in the metric of the reciprocal lattice, and the holes filled, or left missing."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.cleanup.bragg_evidence import BraggEvidence, bragg_evidence
from dsfunet.cleanup.bragg_positions import BraggPositions, Centring, RadiusUnit, bragg_positions
from dsfunet.cleanup.record import Number, StepRecord, counted
from dsfunet.errors import InputError
from dsfunet.physics import Cell, Plane
from dsfunet.planes.noise import estimate_noise

Fill = Literal["missing", "surroundings"]
"""What becomes of punched pixels."""

_RING_PIXELS = 3.0
_PARAMETERS = 6
_FEWEST_IN_RING = 2 * _PARAMETERS


@dataclass(frozen=True, eq=False)
class Filled:
    """Holes closed from their surroundings.

    Attributes:
        intensity: the plane (n, m), punched pixels filled, or NaN where too little was measured around.
        scatter: standard deviation of the noise that filled pixels got, (n, m), NaN elsewhere.
        holes: how many holes there were.
        left: how many of them stayed missing.
    """

    intensity: Array
    scatter: Array
    holes: int
    left: int


def parse_radius(text: str | float) -> tuple[float, ...] | None:
    """A radius as one or three positive numbers; None for "auto".

    Raises:
        InputError: it is anything else.
    """
    if str(text).strip().lower() == "auto":
        return None
    try:
        radius = tuple(float(word) for word in str(text).replace(",", " ").split())
    except ValueError:
        radius = ()
    if len(radius) not in (1, 3) or not all(0 < each < np.inf for each in radius):
        raise InputError(
            f"Bragg radius {text!r}: expected auto, a positive number, or three of them along h, k and l"
        )
    return radius


def look_for_bragg(intensity: Array, plane: Plane, cell: Cell, centring: Centring = "P") -> BraggEvidence:
    """Whether Bragg peaks seem to be left in a plane (n, m), NaN or negative where missing, and how far they reach.

    Raises:
        InputError: no such centring.
    """
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(intensity) & (intensity >= 0), intensity, np.nan)
    return bragg_evidence(known, bragg_positions(plane, cell, centring), estimate_noise(known))


def remove_bragg(
    intensity: Array,
    sigma: Array | None,
    plane: Plane,
    cell: Cell,
    radius: tuple[float, ...] | None,
    unit: RadiusUnit = "inv-angstrom",
    centring: Centring = "P",
    fill: Fill = "missing",
    seed: int = 0,
) -> tuple[Array, Array | None, StepRecord]:
    """A plane without the pixels around its Bragg positions.

    A position counts where the plane passes within the radius of it, so that h k 1/2 loses nothing.

    Args:
        intensity: (n, m), NaN where missing.
        sigma: standard uncertainties (n, m), or None.
        plane: where the pixels lie.
        cell: the unit cell.
        radius: one number, or three along h, k and l with the unit rlu; None takes it from the plane itself, as
            `bragg_evidence` does, and punches all positions where Bragg peaks seem to be left in, else those few that
            stand out.
        unit: of the radius.
        centring: lattice type, whose forbidden reflections are left alone.
        fill: missing leaves NaN; surroundings closes holes with a smooth surface and matching noise.
        seed: of that noise.

    Returns:
        The plane, its sigma (NaN where missing, the noise's where filled), and the record.

    Raises:
        InputError: no such centring, or a radius that reaches halfway to the next reflection.
    """
    positions = bragg_positions(plane, cell, centring)
    notes: tuple[str, ...] = ()
    chosen = positions.number >= 0
    numbers: dict[str, Number] = {"centring": centring, "fill": fill}
    if radius is None:
        evidence = bragg_evidence(intensity, positions, estimate_noise(intensity))
        numbers |= {"positions": evidence.positions, "outstanding": evidence.outstanding}
        if evidence.radius_inv_angstrom is None:
            sentence = f"Bragg peaks: nothing punched, as {evidence.sentence()}"
            return intensity, sigma, StepRecord("bragg", sentence, {**numbers, "radius": None}, notes)
        if (
            not evidence.suspicious
        ):  # a few, such as a hot pixel: the others are worth more than what they may hide
            chosen = np.isin(positions.number, evidence.which)
        if not evidence.ends:
            notes = (
                f"Bragg peaks: they go on beyond {evidence.radius_inv_angstrom:.3g} 1/Angstrom, about halfway to the"
                " next ones; expected peaks that end, so look at the plane and give a radius",
            )
        radius, unit = (_within_reach(evidence.radius_inv_angstrom, positions),), "inv-angstrom"
    punched = (positions.reach(radius, unit) <= 1) & chosen
    present = np.unique(positions.number[punched])
    words = (
        f"{' '.join(f'{each:.4g}' for each in radius)} {'1/Angstrom' if unit == 'inv-angstrom' else 'r.l.u.'}"
    )
    numbers |= {"radius": " ".join(f"{each:.6g}" for each in radius), "radius_unit": unit}
    numbers |= {"pixels_punched": int(punched.sum()), "positions_punched": len(present)}
    sentence = (
        f"Bragg peaks: {counted(int(punched.sum()), punched.size)} within {words} of {len(present)} positions"
    )
    result = np.where(punched, np.nan, intensity)
    new_sigma = None if sigma is None else np.where(punched, np.nan, sigma)
    if fill == "missing" or not len(present):
        return result, new_sigma, StepRecord("bragg", f"{sentence} taken as missing", numbers, notes)
    filled = fill_holes(result, punched, positions, seed)
    if new_sigma is not None:
        new_sigma = np.where(np.isfinite(filled.scatter), filled.scatter, new_sigma)
    numbers |= {"seed": seed, "holes_left_missing": filled.left, "median_scatter": _median(filled.scatter)}
    left = f", {filled.left} left missing for want of surroundings" if filled.left else ""
    sentence = f"{sentence} filled from their surroundings with noise that matches (seed {seed}){left}"
    return filled.intensity, new_sigma, StepRecord("bragg", sentence, numbers, notes)


def fill_holes(intensity: Array, punched: Mask, positions: BraggPositions, seed: int) -> Filled:
    """Holes about Bragg positions closed by a quadratic surface through a ring around each, with the ring's scatter.

    The noise is drawn from the ring's own residuals, scaled for the six parameters of the surface, so that its
    distribution is that of the surroundings, few counts included; what falls below 0 is 0. A hole with a ring of less
    than twelve measured pixels, or one that reaches round less than half of it, stays missing.
    """
    rng = np.random.default_rng(seed)
    result, scatter = intensity.copy(), np.full(intensity.shape, np.nan)
    far = int(np.ceil(_RING_PIXELS))
    # A position's number + 1 at its own punched pixels: boxes of all holes in one go.
    labels = np.where(punched, positions.number + 1, 0)
    present = np.unique(labels[punched])
    boxes = ndimage.find_objects(labels)
    left = 0
    for label in present:
        rows, columns = boxes[label - 1]
        window = (
            slice(max(rows.start - far, 0), rows.stop + far),
            slice(max(columns.start - far, 0), columns.stop + far),
        )
        hole = labels[window] == label
        away = ndimage.distance_transform_edt(~hole)
        ring = (away <= _RING_PIXELS) & (away > 0) & ~punched[window] & np.isfinite(intensity[window])
        inside = np.argwhere(hole)
        centre = inside.mean(axis=0)
        around = np.argwhere(ring) - centre
        if len(around) < _FEWEST_IN_RING or not _surrounds(around):
            left += 1
            continue
        scale = max(float(np.abs(around).max()), 1.0)
        values = intensity[window][ring]
        design = _quadratic(around / scale)
        coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
        residuals = values - design @ coefficients
        residuals *= np.sqrt(len(values) / (len(values) - _PARAMETERS))
        # A surface may rise over its hole as far as it varies around it, no further.
        span = float(np.ptp(values))
        surface = np.clip(
            _quadratic((inside - centre) / scale) @ coefficients, values.min() - span, values.max() + span
        )
        drawn = surface + rng.choice(residuals - residuals.mean(), len(surface))
        result[window][hole] = np.maximum(drawn, 0.0)
        scatter[window][hole] = residuals.std()
    return Filled(result, scatter, len(present), left)


def _quadratic(places: Array) -> Array:
    u, v = places.T
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)


def _surrounds(around: Array) -> bool:
    """Whether pixels about a centre leave no gap of half a turn."""
    angles = np.sort(np.arctan2(around[:, 0], around[:, 1]))
    return bool(np.diff(np.append(angles, angles[0] + 2 * np.pi)).max() < np.pi)


def _within_reach(radius: float, positions: BraggPositions) -> float:
    """The radius, or the largest that leaves something between reflections."""
    # A sphere of radius r reaches r a / 2 pi along the axis of edge a.
    longest = float(np.linalg.norm(positions.cell.direct, axis=1).max())
    return min(radius, 0.48 * 2 * np.pi / longest)


def _median(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
