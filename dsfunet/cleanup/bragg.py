"""Bragg peaks: punched out of a plane in the metric of the reciprocal lattice; holes are filled or left missing."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.cleanup.bragg_evidence import BraggEvidence, find_bragg_evidence
from dsfunet.cleanup.bragg_positions import (
    BraggPositions,
    Radius,
    RadiusUnit,
    find_bragg_positions,
)
from dsfunet.cleanup.record import Number, StepRecord, format_pixels
from dsfunet.physics import Cell, Plane
from dsfunet.physics.centring import Centring
from dsfunet.planes.noise import estimate_noise

Fill = Literal["missing", "surroundings"]
"""What punched pixels become."""

_RING_PIXELS = 3.0
_PARAMETERS = 6
_FEWEST_IN_RING = 2 * _PARAMETERS


@dataclass(frozen=True, eq=False)
class Filled:
    """Plane whose holes were filled from their surroundings.

    Attributes:
        intensity: the plane (n, m) with punched pixels filled; NaN where too few pixels around were measured.
        scatter: standard deviation of the noise added to filled pixels, (n, m), NaN elsewhere.
        holes: number of holes.
        left: number of holes that stay missing.
    """

    intensity: Array
    scatter: Array
    holes: int
    left: int


def look_for_bragg(intensity: Array, plane: Plane, cell: Cell, centring: Centring = "P") -> BraggEvidence:
    """Look for Bragg peaks in a plane (n, m), NaN or negative where missing, and measure how far they reach.

    Raises:
        InputError: the centring is unknown.
    """
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(intensity) & (intensity >= 0), intensity, np.nan)
    return find_bragg_evidence(known, find_bragg_positions(plane, cell, centring), estimate_noise(known))


def remove_bragg(
    intensity: Array,
    sigma: Array | None,
    plane: Plane,
    cell: Cell,
    radius: Literal["auto"] | Radius,
    unit: RadiusUnit = "inv-angstrom",
    centring: Centring = "P",
    fill: Fill = "missing",
    seed: int = 0,
) -> tuple[Array, Array | None, StepRecord]:
    """Punch out the pixels around the Bragg positions of a plane.

    Only positions within the radius of the plane matter, so a plane such as h k 1/2 loses nothing.

    Args:
        intensity: (n, m), NaN where missing.
        sigma: standard uncertainties (n, m), or None.
        plane: positions of the pixels in Q.
        cell: the unit cell.
        radius: one number, or three along h, k and l with the unit rlu. "auto" measures it with
            `find_bragg_evidence`; it punches all positions if the plane seems to contain Bragg peaks, and otherwise
            only the few positions that stand out.
        unit: unit of the radius.
        centring: lattice type; reflections that it forbids are not punched.
        fill: "missing" leaves NaN; "surroundings" closes holes with a smooth surface and matching noise.
        seed: seed of that noise.

    Returns:
        The plane, its sigma (NaN where missing, that of the added noise where filled), and the record.

    Raises:
        InputError: the centring is unknown, or the radius reaches halfway to the next reflection.
    """
    positions = find_bragg_positions(plane, cell, centring)
    notes: tuple[str, ...] = ()
    chosen = positions.number >= 0
    numbers: dict[str, Number] = {"centring": centring, "fill": fill}
    if radius == "auto":
        evidence = find_bragg_evidence(intensity, positions, estimate_noise(intensity))
        numbers |= {"positions": evidence.positions, "outstanding": evidence.outstanding}
        if evidence.radius_inv_angstrom is None:
            sentence = f"Bragg peaks: nothing punched, because {evidence.sentence()}"
            return intensity, sigma, StepRecord("bragg", sentence, {**numbers, "radius": None}, notes)
        if (
            not evidence.suspicious
        ):  # only a few, such as a hot pixel: punching all would lose more than it removes
            chosen = np.isin(positions.number, evidence.which)
        if not evidence.ends:
            notes = (
                f"Bragg peaks: they extend beyond {evidence.radius_inv_angstrom:.3g} 1/Angstrom, about halfway to the"
                " next ones; look at the plane and give a radius",
            )
        radius, unit = _limit_radius(evidence.radius_inv_angstrom, positions), "inv-angstrom"
    punched = (positions.scaled_distance(radius, unit) <= 1) & chosen
    present = np.unique(positions.number[punched])
    radii = radius if isinstance(radius, tuple) else (radius,)
    words = " ".join(f"{each:.4g}" for each in radii) + (
        " 1/Angstrom" if unit == "inv-angstrom" else " r.l.u."
    )
    numbers |= {"radius": " ".join(f"{each:.6g}" for each in radii), "radius_unit": unit}
    numbers |= {"pixels_punched": int(punched.sum()), "positions_punched": len(present)}
    pixels = format_pixels(int(punched.sum()), punched.size)
    sentence = f"Bragg peaks: {pixels} within {words} of {len(present)} positions"
    result = np.where(punched, np.nan, intensity)
    new_sigma = None if sigma is None else np.where(punched, np.nan, sigma)
    if fill == "missing" or not len(present):
        return result, new_sigma, StepRecord("bragg", f"{sentence} set to missing", numbers, notes)
    filled = fill_holes(result, punched, positions, seed)
    if new_sigma is not None:
        new_sigma = np.where(np.isfinite(filled.scatter), filled.scatter, new_sigma)
    numbers |= {"seed": seed, "holes_left_missing": filled.left, "median_scatter": _median(filled.scatter)}
    left = f"; {filled.left} left missing, with too few pixels around them" if filled.left else ""
    sentence = f"{sentence} filled from their surroundings with matching noise (seed {seed}){left}"
    return filled.intensity, new_sigma, StepRecord("bragg", sentence, numbers, notes)


def fill_holes(intensity: Array, punched: Mask, positions: BraggPositions, seed: int) -> Filled:
    """Fill each hole with a quadratic surface fitted to a ring around it, plus noise with the scatter of the ring.

    The noise is drawn from the residuals of the ring, scaled for the six parameters of the surface. So it has the
    distribution of the surroundings, even at low counts; values below 0 become 0. A hole stays missing if its ring has
    fewer than twelve measured pixels, or leaves a gap of half a turn.
    """
    rng = np.random.default_rng(seed)
    result, scatter = intensity.copy(), np.full(intensity.shape, np.nan)
    far = int(np.ceil(_RING_PIXELS))
    # Punched pixels are labelled by the number of their position + 1, to get the boxes of all holes at once.
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
        design = _quadratic_terms(around / scale)
        coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
        residuals = values - design @ coefficients
        residuals *= np.sqrt(len(values) / (len(values) - _PARAMETERS))
        # The surface may exceed the values of the ring by their range, no more.
        span = float(np.ptp(values))
        surface = np.clip(
            _quadratic_terms((inside - centre) / scale) @ coefficients,
            values.min() - span,
            values.max() + span,
        )
        drawn = surface + rng.choice(residuals - residuals.mean(), len(surface))
        result[window][hole] = np.maximum(drawn, 0.0)
        scatter[window][hole] = residuals.std()
    return Filled(result, scatter, len(present), left)


def _quadratic_terms(places: Array) -> Array:
    u, v = places.T
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)


def _surrounds(around: Array) -> bool:
    """Return whether pixels about a centre leave no gap of half a turn."""
    angles = np.sort(np.arctan2(around[:, 0], around[:, 1]))
    return bool(np.diff(np.append(angles, angles[0] + 2 * np.pi)).max() < np.pi)


def _limit_radius(radius: float, positions: BraggPositions) -> float:
    """Return the radius, or the largest one that leaves pixels between reflections."""
    # A sphere of radius r reaches r a / 2 pi along the axis of edge a.
    longest = float(np.linalg.norm(positions.cell.direct, axis=1).max())
    return min(radius, 0.48 * 2 * np.pi / longest)


def _median(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
