"""The prior of the form factor: independent modes of its splines, with a variance for each distance in real space.

A form factor is the transform of the Patterson function of one site's contents, which ends at the size of a molecule.
The variance of a mode therefore depends on the distance that its wave belongs to, and is found shell by shell by the
evidence (MacKay, Neural Comput. 4, 415, 1992): beyond the molecule it falls to nothing, and what repeats there from
zone to zone can only be short-range order.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from dsfunet._typing import Array, Integers
from dsfunet.lattice.joint_fit.spline import SplineAxis
from dsfunet.lattice.volume_fit.splines import SplineVolume, multiply_along_axes
from dsfunet.physics import Cell

SHELL_WIDTH = 0.6
"""Width of the shells of distance in which modes share their variance [Angstrom]."""

_FEWEST_MODES = 20
_JITTER = 1e-4  # keeps the splines at the edges, which cover few voxels, from making the Gram matrix singular


@dataclass(frozen=True, eq=False)
class ModePrior:
    """Modes of a spline volume, orthonormal over the voxels, with their shells of distance.

    Attributes:
        grams: Gram matrices of the splines along each axis, with a typical sum of a row of 1.
        modes: coefficients of the modes along each axis, a column each; modes' G modes = 1.
        lengths: distance of each mode [Angstrom], shape of the coefficients.
        shells: number of the shell of each mode, same shape.
        voxels: typical number of voxels that a spline covers.
        supports: sums over voxels of each spline along each axis.
    """

    grams: tuple[Array, Array, Array]
    modes: tuple[Array, Array, Array]
    lengths: Array
    shells: Integers
    voxels: float
    supports: tuple[Array, Array, Array]

    @classmethod
    def of(cls, splines: SplineVolume, cell: Cell, spans: tuple[float, float, float]) -> "ModePrior":
        """Return the modes of splines that span some reciprocal units along each axis.

        Args:
            splines: the splines on the whole grid.
            cell: the conventional cell.
            spans: length of each axis [r.l.u.].
        """
        grams, modes, frequencies, supports, typical = [], [], [], [], 1.0
        for matrix, span in zip(splines.matrices, spans, strict=True):
            values = matrix.astype(np.float64)
            gram = values.T @ values
            size = float(np.median(gram.sum(axis=1)))
            typical *= size
            gram = gram / size + _JITTER * np.eye(len(gram))
            _, vectors = linalg.eigh(SplineAxis.roughness_of(len(gram)), gram)
            grams.append(gram)
            modes.append(vectors)
            supports.append(values.sum(axis=0))
            frequencies.append(np.arange(len(gram)) / (2 * span) if span > 0 else np.zeros(len(gram)))
        edges = cell.parameters[:3]
        lengths = np.sqrt(
            (frequencies[0][:, None, None] * edges[0]) ** 2
            + (frequencies[1][None, :, None] * edges[1]) ** 2
            + (frequencies[2] * edges[2]) ** 2
        )
        return cls(
            (grams[0], grams[1], grams[2]),
            (modes[0], modes[1], modes[2]),
            lengths,
            _shells(lengths),
            typical,
            (supports[0], supports[1], supports[2]),
        )

    @cached_property
    def sizes(self) -> Integers:
        """Number of modes of each shell."""
        return np.bincount(self.shells.reshape(-1))

    @cached_property
    def distances(self) -> Array:
        """Mean distance of each shell [Angstrom]."""
        return np.bincount(self.shells.reshape(-1), self.lengths.reshape(-1)) / self.sizes

    @cached_property
    def duals(self) -> tuple[Array, Array, Array]:
        """Gram matrices times modes along each axis: the transposes give the amplitudes of a spline."""
        first, second, third = (gram @ modes for gram, modes in zip(self.grams, self.modes, strict=True))
        return first, second, third

    def amplitudes(self, coefficients: Array) -> Array:
        """Return the amplitudes of the modes of a spline, same shape as its coefficients."""
        first, second, third = (dual.T for dual in self.duals)
        return multiply_along_axes((first, second, third), coefficients)

    def apply(self, precisions: Array, coefficients: Array) -> Array:
        """Return the prior precision, with one value for each shell, times coefficients."""
        return multiply_along_axes(self.duals, precisions[self.shells] * self.amplitudes(coefficients))

    def sample(self, precisions: Array, random: np.random.Generator) -> Array:
        """Return a random vector whose covariance is the prior precision."""
        noise = random.standard_normal(self.shells.shape)
        return multiply_along_axes(self.duals, np.sqrt(precisions[self.shells]) * noise)

    def power(self, coefficients: Array) -> Array:
        """Return the sum of squared amplitudes in each shell."""
        squares = self.amplitudes(coefficients).reshape(-1) ** 2
        return np.bincount(self.shells.reshape(-1), squares).astype(np.float64)

    def local_weights(self, sums: Array) -> Array:
        """Return the mean of a field around each spline times the typical number of voxels of a spline.

        Args:
            sums: sums over voxels of each spline times the field.
        """
        first, second, third = self.supports
        covered = first[:, None, None] * second[None, :, None] * third
        return np.asarray(sums / np.maximum(covered, 1e-3) * self.voxels)


def _shells(lengths: Array) -> Integers:
    """Return the shell of each mode; shells of too few modes are joined with the next one."""
    first = (lengths / SHELL_WIDTH).astype(np.int64)
    sizes = np.bincount(first.reshape(-1))
    number, held, numbers = 0, 0, []
    for size in sizes:
        numbers.append(number)
        held += int(size)
        if held >= _FEWEST_MODES:
            number, held = number + 1, 0
    if held and number:
        numbers = [min(each, number - 1) for each in numbers]
    return np.asarray(numbers, dtype=np.int64)[first]
