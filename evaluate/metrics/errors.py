"""The error that everything is quoted in, the paper's marks for it, and what the scores of many planes say together."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Floats
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import spread

PAPER_MARKS = {"form_factor": 0.014, "short_range_order": 0.032}
"""MSE in spread space below which 90 % of the paper's validation planes lie."""

COMMON_MARK = 0.04
"""MSE in spread space below which more than 90 % of all the paper's planes lie."""


def spread_mse(output: Floats, target: Floats) -> npt.NDArray[np.float64]:
    """Mean squared error of each plane in spread space, s = 2 sqrt(x) - 1: four times the MSE of sqrt(x).

    Takes linear planes (n, height, width) in [0, 1]; returns shape (n,), each value in [0, 4]. Every pixel
    counts, measured or missing in the input: filling in what is missing is part of the task.

    Raises:
        InputError: the shapes differ, or a pixel is not a finite number in [0, 1].
    """
    if output.shape != target.shape or output.ndim != 3:
        raise InputError(
            f"output is {output.shape}, target {target.shape}: expected two equal shapes (n, height, width)"
        )
    _check_range("output", output)
    _check_range("target", target)
    difference = spread(output.astype(np.float64)) - spread(target.astype(np.float64))
    squared: npt.NDArray[np.float64] = np.mean(difference**2, axis=(1, 2))
    return squared


def _check_range(name: str, planes: Floats) -> None:
    # Written so that NaN, for which every comparison is false, counts as bad.
    bad = ~((planes >= 0) & (planes <= 1))
    if bad.any():
        plane = int(np.flatnonzero(bad.any(axis=(1, 2)))[0])
        value = float(planes[plane][bad[plane]][0])
        raise InputError(
            f"{name} plane {plane} has {int(bad[plane].sum())} pixels outside [0, 1], the first is {value:g}:"
            " expected finite linear intensities"
        )


@dataclass(frozen=True, eq=False)
class Summary:
    """What the scores of many planes say together; `values` are the scores themselves, in the order given."""

    mean: float
    median: float
    percentile_90: float
    values: npt.NDArray[np.float64]

    def share_under(self, threshold: float) -> float:
        """Share of planes, 0 to 1, that score strictly less than a threshold."""
        return float(np.mean(self.values < threshold))


def summarise(values: npt.NDArray[np.float64]) -> Summary:
    """Mean, median and 90th percentile (linear between neighbours) of the scores of one or more planes.

    Raises:
        InputError: there are no scores, or one of them is not finite; none is ever dropped in silence.
    """
    if values.ndim != 1 or values.size == 0:
        raise InputError(
            f"scores have shape {values.shape}: expected one number for each of one or more planes"
        )
    not_finite = np.flatnonzero(~np.isfinite(values))
    if not_finite.size:
        raise InputError(f"{not_finite.size} scores are not finite, the first of plane {not_finite[0]}")
    return Summary(
        mean=float(np.mean(values)),
        median=float(np.median(values)),
        percentile_90=float(np.percentile(values, 90)),
        values=values,
    )
