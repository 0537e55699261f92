"""Layers of a volume that are not on one scale, seen from the sums of measured and fitted intensities of each layer."""

import numpy as np
import numpy.typing as npt

from dsfunet.lattice.volume_fit.voxels import Axes

Values = npt.NDArray[np.floating]

_LARGE = 0.01  # deviation of a scale from 1
_SIGNIFICANT = 5.0  # standard uncertainties
_FEWEST_LAYERS = 2
_FEWEST_VOXELS = 100
_SHOWN = 3


class LayerScales:
    """Sums over the layers of constant h, of constant k and of constant l of a volume.

    Args:
        axes: coordinates of the voxels along h, k, l [r.l.u.].
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        # measured, fitted, squared differences, number of voxels
        self._sums = [np.zeros((4, len(axis))) for axis in axes]

    def add(self, block: slice, measured: Values, fitted: Values, mask: npt.NDArray[np.bool_]) -> None:
        """Add a block of layers of constant h, each array of shape (layers, m, o)."""
        known = np.where(mask, measured, 0.0)
        expected = np.where(mask, fitted, 0.0)
        for row, values in enumerate((known, expected, (known - expected) ** 2, mask)):
            self._sums[0][row, block] += values.sum(axis=(1, 2), dtype=np.float64)
            self._sums[1][row] += values.sum(axis=(0, 2), dtype=np.float64)
            self._sums[2][row] += values.sum(axis=(0, 1), dtype=np.float64)

    def notes(self) -> tuple[str, ...]:
        """Return a sentence about the axis along which most layers have scales of their own; empty where none has."""
        worst: tuple[int, str] | None = None
        for label, axis, (measured, fitted, squares, count) in zip(
            "hkl", self._axes, self._sums, strict=True
        ):
            used = (count >= _FEWEST_VOXELS) & (fitted > 0)
            total = np.where(used, fitted, 1.0)
            away = np.where(used, measured / total - 1, 0.0)
            sigma = np.sqrt(squares) / total
            wrong = np.flatnonzero((np.abs(away) > _LARGE) & (np.abs(away) > _SIGNIFICANT * sigma))
            if len(wrong) < _FEWEST_LAYERS or (worst is not None and len(wrong) <= worst[0]):
                continue
            largest = wrong[np.argsort(-np.abs(away[wrong]))][:_SHOWN]
            shown = ", ".join(f"{1 + away[place]:.3f} at {label} = {axis[place]:g}" for place in largest)
            worst = (
                len(wrong),
                f"layers of constant {label} are not on one scale: {len(wrong)} of {int(used.sum())} differ from what"
                f" the others say by more than {100 * _LARGE:g} % ({shown}); a form factor can hide a part of that, so"
                " bring the layers to one scale and split the volume again",
            )
        return () if worst is None else (worst[1],)
