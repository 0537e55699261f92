"""Mean squared error in spread space, the paper's marks for it, and summaries of the scores of many planes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Floats
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import spread

PAPER_MARKS = {"form_factor": 0.014, "short_range_order": 0.032}
"""MSE in spread space that 90 % of the paper's validation planes stay below (Fuller & Rudden 2024)."""

COMMON_MARK = 0.04
"""MSE in spread space that more than 90 % of all the paper's planes stay below (Fuller & Rudden 2024)."""


def spread_mse(output: Floats, target: Floats) -> npt.NDArray[np.float64]:
    """Compute the mean squared error of each plane in spread space, s = 2 sqrt(x) - 1.

    This is four times the MSE of sqrt(x). All pixels count, including those missing from the input, because filling
    the gaps is part of the task.

    Args:
        output: linear planes (n, height, width) in [0, 1].
        target: the true planes, likewise.

    Returns:
        Errors (n,) in [0, 4].

    Raises:
        InputError: if the shapes differ, or a pixel is not a finite number in [0, 1].
    """
    if output.shape != target.shape or output.ndim != 3:
        raise InputError(
            f"the shapes of output and target are {output.shape} and {target.shape}; expected two equal shapes"
            " (n, height, width)"
        )
    _check_range("output", output)
    _check_range("target", target)
    difference = spread(output.astype(np.float64)) - spread(target.astype(np.float64))
    squared: npt.NDArray[np.float64] = np.mean(difference**2, axis=(1, 2))
    return squared


def _check_range(name: str, planes: Floats) -> None:
    # Negated because every comparison with NaN is false: this way NaN counts as bad.
    bad = ~((planes >= 0) & (planes <= 1))
    if bad.any():
        plane = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
        value = float(planes[plane][bad[plane]][0])
        raise InputError(
            f"{name} plane {plane}: {int(bad[plane].sum())} pixels are outside [0, 1], the first is {value:g};"
            " expected finite linear intensities"
        )


@dataclass(frozen=True, eq=False)
class Summary:
    """Statistics of the scores of many planes; `values` (n,) are the scores in the order given."""

    mean: float
    median: float
    percentile_90: float
    values: npt.NDArray[np.float64]

    def share_under(self, threshold: float) -> float:
        """Return the share of planes, 0 to 1, with a score strictly below a threshold."""
        return float(np.mean(self.values < threshold))


def summarise(values: npt.NDArray[np.float64]) -> Summary:
    """Compute mean, median and 90th percentile (linearly interpolated) of the scores (n,) of one or more planes.

    Raises:
        InputError: if there are no scores, or one of them is not finite; no score is ever dropped silently.
    """
    if values.ndim != 1 or values.size == 0:
        raise InputError(
            f"the scores have shape {values.shape}; expected one number for each of one or more planes"
        )
    not_finite = np.flatnonzero(~np.isfinite(values))
    if not_finite.size:
        raise InputError(
            f"{not_finite.size} scores are not finite, the first is that of plane {not_finite[0]};"
            " expected finite scores"
        )
    return Summary(
        mean=float(np.mean(values)),
        median=float(np.median(values)),
        percentile_90=float(np.percentile(values, 90)),
        values=values,
    )
