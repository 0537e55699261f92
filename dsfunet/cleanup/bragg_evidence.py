"""Evidence of Bragg peaks in a plane, and how far the peaks reach, from the periodicity of the plane itself.

Short-range order is the same about every Bragg position, and the form factor is smooth. So the ratio between the
intensity at a position and the intensity around it is nearly the same for all positions, even where short-range order
has sharp maxima. Bragg peaks follow structure factors, which differ from position to position, and so do the holes
that remain where too much of a peak was subtracted: such positions stand out from the others.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from dsfunet._typing import Array, Integers, Mask
from dsfunet.cleanup.bragg_positions import MOST_REACH_RLU, BraggPositions
from dsfunet.planes.noise import NoiseModel

# A Bragg position further from the plane than this leaves no peak on it: no peak is that wide.
_NEAR_PLANE_INV_ANGSTROM = 0.1
_NEAR_PLANE_RLU = 0.1
_WIDEST_PIXELS = 16
_RING_PIXELS = 3
_SIGNIFICANT = 6.0
# How much the ratios of clean planes vary, because form factors are not constant over a ring.
_ALIKE_CORE, _ALIKE_RING = 0.35, 0.1
# The same as a share of the bright pixels: in dark regions ratios mean nothing.
_ALIKE_BRIGHT_CORE, _ALIKE_BRIGHT_RING = 0.04, 0.01
# The same for a comparison with pixels halfway to the next position, over which the form factor may change.
_ALIKE_FAR, _ALIKE_BRIGHT_FAR = 2.0, 0.2
_FEWEST_OUTSTANDING, _SUSPICIOUS_SHARE = 3, 0.06
_COVERED = 0.9


@dataclass(frozen=True, eq=False)
class BraggEvidence:
    """Number and extent of the Bragg positions that stand out from the others.

    Attributes:
        positions: number of Bragg positions on the plane that can be judged.
        outstanding: number of these that are brighter or darker than surroundings and other positions explain.
        score: outstanding over positions, 0 to 1.
        radius_inv_angstrom: radius in three dimensions within which nine in ten outstanding peaks end [1/Angstrom];
            None without any.
        ends: whether the peaks end within that radius; otherwise it is only the largest that could be tested.
        which: the outstanding positions, as rows of `BraggPositions.hkl`.
    """

    positions: int
    outstanding: int
    score: float
    radius_inv_angstrom: float | None = None
    ends: bool = True
    which: tuple[int, ...] = ()

    @property
    def suspicious(self) -> bool:
        """Whether the plane seems to contain Bragg peaks, or remains of them."""
        return self.outstanding >= _FEWEST_OUTSTANDING and self.score > _SUSPICIOUS_SHARE

    def sentence(self) -> str:
        """Return the evidence in words."""
        if not self.positions:
            return "no Bragg position lies on the measured part of this plane"
        if not self.outstanding:
            return f"none of the {self.positions} Bragg positions stands out from the others"
        found = f"{self.outstanding} of {self.positions} Bragg positions stand out from the others"
        return f"{found}: Bragg peaks seem to be left in the plane" if self.suspicious else found


def find_bragg_evidence(intensity: Array, positions: BraggPositions, noise: NoiseModel) -> BraggEvidence:
    """Compare the Bragg positions of a plane (n, m), NaN where missing, with one another."""
    profile = _measure_profiles(intensity, positions)
    if profile is None:
        return BraggEvidence(0, 0, 0.0)
    means, counts, off_plane, present = profile
    bright = float(np.nanquantile(intensity, 0.95))
    last = means.shape[1] - 1
    near = min(_RING_PIXELS, max(last - 1, 1))
    outstanding, judged = _find_deviating(
        means, counts, 0, near, noise, _ALIKE_CORE, _ALIKE_BRIGHT_CORE * bright
    )
    outstanding |= _find_deviating(means, counts, 0, last - 1, noise, _ALIKE_FAR, _ALIKE_BRIGHT_FAR * bright)[
        0
    ]
    outstanding &= judged
    number, total = int(outstanding.sum()), int(judged.sum())
    if not total:
        return BraggEvidence(0, 0, 0.0)
    if not number:
        return BraggEvidence(total, 0, 0.0)
    reach = 1
    ends = False
    for annulus in range(1, last):
        deviates, known = _find_deviating(
            means, counts, annulus, annulus + 1, noise, _ALIKE_RING, _ALIKE_BRIGHT_RING * bright
        )
        # Where peaks are by far the brightest, the ratio of neighbouring annuli is that of the peak shape for all.
        deviates |= _find_deviating(
            means, counts, annulus, last - 1, noise, _ALIKE_FAR, _ALIKE_BRIGHT_RING * bright
        )[0]
        still = outstanding & known
        if not still.any() or deviates[still].mean() <= 1 - _COVERED:
            ends = True
            break
        reach = annulus + 1
    in_plane = reach * positions.pixel_inv_angstrom
    radius = float(np.hypot(in_plane, off_plane))
    return BraggEvidence(total, number, number / total, radius, ends, tuple(present[outstanding].tolist()))


def _measure_profiles(
    intensity: Array, positions: BraggPositions
) -> tuple[Array, Array, float, Integers] | None:
    """Return means and numbers of measured pixels in annuli one pixel wide about each position, (k, annuli) each.

    The third value is the largest distance of these positions from the plane [1/Angstrom], the fourth their rows in
    `BraggPositions.hkl`, (k,). Returns None where no position can be judged.
    """
    near = (positions.off_plane_inv_angstrom < _NEAR_PLANE_INV_ANGSTROM) & (positions.number >= 0)
    near &= np.isfinite(intensity)
    pixel = positions.pixel_inv_angstrom
    annulus = np.floor(positions.in_plane_inv_angstrom / pixel).astype(np.int64)
    cores = near & (annulus == 0) & (np.abs(positions.deviation).max(axis=-1) < _NEAR_PLANE_RLU)
    present = np.unique(positions.number[cores])
    if len(present) < 2:
        return None
    feet = positions.hkl[present] @ positions.cell.reciprocal
    spacing = float(cKDTree(feet).query(feet, k=2)[0][:, 1].min())
    shortest = min(
        spacing / 2, MOST_REACH_RLU * 2 * np.pi / np.linalg.norm(positions.cell.direct, axis=1).max()
    )
    annuli = min(int(shortest / pixel), _WIDEST_PIXELS)
    if annuli < 3:
        return None
    chosen = near & (annulus < annuli) & np.isin(positions.number, present)
    place = np.searchsorted(present, positions.number[chosen]) * annuli + annulus[chosen]
    counts = np.bincount(place, minlength=len(present) * annuli).reshape(-1, annuli).astype(np.float64)
    sums = np.bincount(place, intensity[chosen], minlength=len(present) * annuli).reshape(-1, annuli)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means, counts, float(positions.off_plane_inv_angstrom[cores].max()), present


def _find_deviating(
    means: Array, counts: Array, annulus: int, ring: int, noise: NoiseModel, alike: float, floor: float
) -> tuple[Mask, Mask]:
    """Return which positions have an unusual ratio of an annulus to the ring around it, and which could be judged."""
    rings = slice(ring, min(ring + 2, means.shape[1]))
    ring_counts = counts[:, rings].sum(axis=1)
    ring_means = np.nansum(means[:, rings] * counts[:, rings], axis=1) / np.maximum(ring_counts, 1)
    typical = np.median(counts, axis=0)
    known = (counts[:, annulus] >= 0.7 * typical[annulus]) & (counts[:, annulus] > 0)
    known &= (ring_counts >= 0.7 * typical[rings].sum()) & (ring_counts > 0)
    deviating = np.zeros(len(means), bool)
    if not known.any():
        return deviating, known
    around, core = ring_means[known], means[known, annulus]
    usable = (around >= np.median(around)) & (around > 0)
    ratio = float(np.median(core[usable] / around[usable])) if usable.any() else 1.0
    expected = ratio * around
    uncertainty = noise(expected) * np.sqrt(1 / counts[known, annulus] + ratio**2 / ring_counts[known])
    # Darker by the same factor counts as well: holes remain where too much of a peak was subtracted.
    beyond = np.maximum(core - (1 + alike) * expected, expected / (1 + alike) - core)
    deviating[known] = beyond > floor + _SIGNIFICANT * uncertainty
    return deviating, known
