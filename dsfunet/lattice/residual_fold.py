"""Correlations that a joint fit leaves over vectors d + r, where r is any lattice vector: a lattice has none.

The residual is correlated with itself over all vectors, like a Patterson function, and the power is averaged over the
lattice. Noise alone gives a power of 1 whatever its level, so nothing need be known of the noise. Planes of virtual
crystals that the fit describes reach 1.6; those whose sites form another lattice, or none, mostly 5 to 25.
"""

import numpy as np
from scipy import ndimage

from dsfunet._typing import Array, Mask
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.phases import phases_of
from dsfunet.lattice.joint_fit.plane import SHORTEST_PERIOD
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.planes.measured import PlaneGrid

STRENGTH = 3.0
"""Power from which a vector is taken for one between sites."""

_DIVISIONS = 24  # of each edge of the primitive cell; holds halves, thirds and quarters
_FINER = 4
# Lengths of the vectors that are looked at, in units of the spacing of the harmonics: F describes the shortest ones,
# and correlations over long ones are weak.
_SHORTEST, _LONGEST = 1.0, 5.5
_LARGEST_POWER = 30.0  # so that a few strong vectors do not stand for all cells
_NEAR = 0.25  # of the spacing: closer to a lattice vector than this is near it
_FEWEST_CELLS = 10
_MOST_VECTORS = 4


class FoldedResidual:
    """Power of the residual, |sum of F (I - F S) / V exp(-2 pi i p . q)|^2, averaged over p = d + r for each offset d.

    Args:
        fit: the joint fit.
        intensity: measured intensities, shape (n, m); ignored where missing.
        mask: True where measured, and where the residual is to be looked at.
        grid: where the pixels lie.

    Attributes:
        strength: power at the strongest offset away from lattice vectors, in that of noise; 0 if the harmonics are all
            parallel.
        contrast: the same in the power at most other offsets (their tenth percentile).
        typical: median power at the vectors of the strongest offset, in the mean power of noise. Correlations over a
            twin's vectors are near one offset for a few lattice vectors only, and leave it small.
    """

    def __init__(self, fit: JointFit, intensity: Array, mask: Mask, grid: PlaneGrid) -> None:
        self.strength, self.contrast, self.typical = 0.0, 1.0, 0.0
        self._basis = basis = _primitive_basis(fit.harmonics)
        if basis is None:
            return
        misfit = np.where(mask, intensity, fit.intensity) - fit.intensity
        self._weighted = fit.form_factor * misfit / fit.variance
        self._grid, self._spacing = grid, fit.harmonics.spacing
        vectors = grid.name.vectors @ grid.cell.reciprocal / (2 * np.pi)
        self._metric = np.linalg.inv(vectors @ vectors.T)
        inverse = np.linalg.inv(basis @ self._metric @ basis.T)
        most = np.ceil(_LONGEST * self._spacing * np.sqrt(np.diagonal(inverse))).astype(int) + 1
        self._cells = np.stack(
            np.meshgrid(*(np.arange(-n, n + 1.0) for n in most), indexing="ij"), -1
        ).reshape(-1, 2)
        steps = np.arange(_DIVISIONS) / _DIVISIONS
        offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
        self._noise = 1.0
        power, used = self._power(offsets)
        # The median of exponentially distributed powers is ln 2 times their mean; most vectors show noise alone.
        self._noise = max(float(np.median(power[used])) / np.log(2), 1e-300) if used.any() else 1.0
        folded = self._fold(power / self._noise, used)
        corners = np.stack(np.meshgrid([0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 2)
        away = self._lengths((offsets[:, :, None] - corners) @ basis).min(axis=2)
        self._off = np.where(away > _NEAR * self._spacing, folded, 0.0)
        others = self._off[self._off > 0]
        self.strength = float(self._off.max())
        if len(others):
            self.contrast = self.strength / max(float(np.quantile(others, 0.1)), 0.5)
            place = np.unravel_index(np.argmax(self._off), self._off.shape)
            self.typical = float(np.median(power[place][used[place]])) / self._noise

    def _lengths(self, vectors: Array) -> Array:
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", vectors, self._metric, vectors)))

    def _power(self, offsets: Array) -> tuple[Array, Mask]:
        """Return the power at d + r for different offsets in units of the basis, and which of these are of use."""
        vectors = (offsets[..., None, :] + self._cells) @ self._basis
        lengths = self._lengths(vectors)
        resolved = (np.abs(vectors) * np.abs(self._grid.steps) <= 1 / SHORTEST_PERIOD).all(axis=-1)
        used = (lengths > _SHORTEST * self._spacing) & (lengths <= _LONGEST * self._spacing) & resolved
        power = np.zeros(used.shape)
        if used.any():
            # Offsets that differ by no whole number give each vector once.
            waves = phases_of(vectors[used], self._grid.rows, self._grid.columns).transform(self._weighted)
            power[used] = np.abs(waves) ** 2
        return power, used

    def _fold(self, power: Array, used: Mask) -> Array:
        count = np.count_nonzero(used, axis=-1)
        total = np.minimum(power, _LARGEST_POWER).sum(axis=-1)
        return np.where(count >= _FEWEST_CELLS, total / np.maximum(count, 1), 0.0)

    def measure_at(self, harmonics: Harmonics) -> float:
        """Return the mean power at the offsets that other harmonics have and this lattice lacks; 0 if none."""
        if self._basis is None:
            return 0.0
        places = np.round(harmonics.indices @ np.linalg.inv(self._basis), 4) % 1
        lacking = places[(np.abs(places - np.round(places)) > 1e-3).any(axis=1)]
        if not len(lacking):
            return 0.0
        power, used = self._power(np.unique(lacking, axis=0).astype(np.float64))
        return float(self._fold(power / self._noise, used).mean())

    def list_vectors(self) -> Array:
        """Return the offsets with the highest peaks, one of each pair d and -d, shape (k, 2)."""
        if self.strength < STRENGTH:
            return np.zeros((0, 2))
        highest = (self._off == ndimage.maximum_filter(self._off, 5, mode="wrap")) & (self._off >= STRENGTH)
        rows, columns = np.nonzero(highest)
        chosen: list[tuple[int, int]] = []
        # Opposite offsets have the same power but for rounding: the first of them is taken.
        for place in np.argsort(-np.round(self._off[rows, columns], 6), kind="stable"):
            here = int(rows[place]), int(columns[place])
            opposite = (-here[0] % _DIVISIONS, -here[1] % _DIVISIONS)
            if opposite not in chosen and len(chosen) < _MOST_VECTORS:
                chosen.append(here)
        steps = np.arange(-_FINER, _FINER + 1) / (_FINER * _DIVISIONS)
        finer = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
        found = []
        for here in chosen:
            offsets = np.array(here) / _DIVISIONS + finer
            power, used = self._power(offsets)
            found.append(offsets[np.argmax((power * used).sum(axis=-1) / np.maximum(used.sum(axis=-1), 1))])
        return np.array(found).reshape(-1, 2) @ self._basis


def _primitive_basis(harmonics: Harmonics) -> Array | None:
    """Return the two shortest independent harmonics, which span all of them, as rows; None if all are parallel."""
    if not harmonics.count:
        return None
    first = harmonics.indices[0]
    area = np.abs(first[0] * harmonics.indices[:, 1] - first[1] * harmonics.indices[:, 0])
    if area.max() <= 1e-6:
        return None
    return np.stack([first, harmonics.indices[np.argmax(area > 1e-6)]])
