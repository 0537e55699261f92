"""Measures of one answer: errors in three conventions, structural similarity, R-factors, errors of correlations.

The measures of one answer are a flat mapping, `component/measure` -> number; `MEASURES` defines each. The value is NaN
only if the measure is not defined for the plane (the error of missing pixels on a plane without any).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics.cosine_series import fit_cosine_series
from dsfunet.physics.product import fit_product
from dsfunet.planes.preprocessing import COMPONENTS, spread
from evaluate.predictors.cases import Case, Truth

# An error of 0 has no logarithm; it counts as this one, which is far below the resolution of half floats.
_SMALLEST_MSE = 1e-12
_SSIM_AT_ONCE = 8


@dataclass(frozen=True)
class Measure:
    """A measure: its title in tables, whether smaller is better, and whether it is undefined for some planes."""

    title: str
    smaller_is_better: bool = True
    may_be_missing: bool = False


MEASURES: dict[str, Measure] = {
    "mse": Measure("MSE, s in [-1, 1]"),
    "mse_unit": Measure("MSE, sqrt(x) in [0, 1]"),
    "mse_linear": Measure("MSE, x in [0, 1]"),
    "mse_measured": Measure("MSE where measured"),
    "mse_missing": Measure("MSE under the mask", may_be_missing=True),
    "ssim": Measure("SSIM", smaller_is_better=False),
    "psnr": Measure("PSNR [dB]", smaller_is_better=False),
    "r1": Measure("R1"),
    "correlation_rms": Measure("relative error of the correlations"),
    "correlation_nearest": Measure("relative error of the nearest correlations"),
}
"""Measures of one component against its truth, by name:

- `mse`: mean squared error over all pixels in spread space s = 2 sqrt(x) - 1, [0, 4]; the paper's convention;
- `mse_unit`: mean squared error of sqrt(x) in [0, 1], a quarter of `mse`;
- `mse_linear`: mean squared error of the linear intensity x in [0, 1];
- `mse_measured`, `mse_missing`: `mse` over the measured pixels and over the missing pixels;
- `ssim`: structural similarity of sqrt(x) in [0, 1], Gaussian window of 1.5 pixels (Wang et al. 2004);
- `psnr`: peak signal-to-noise ratio, 10 log10(4 / mse) [dB];
- `r1`: sum ||F_o| - |F_c|| / sum |F_o| with |F| = sqrt(x), as for structure amplitudes; no scale is fitted;
- `correlation_rms`, `correlation_nearest`, for short-range order only: rms error of the coefficients of a cosine series
  on the known lattice, over all 60 independent in-plane vectors |m|, |n| <= 5 and over the four with |m|, |n| <= 1. The
  answer and the truth are fitted in the same way, and both are divided by the mean of the true I_SRO over the layer.
  The coefficients are therefore correlations summed along the third axis, relative to that of the zero vector.
"""

PRODUCT_MEASURES: dict[str, Measure] = {
    "r1": Measure("R1 of the product"),
    "wr2": Measure("wR2 of the product"),
}
"""Measures of the product of both components, s (F + f)(S + g) with fitted scale and floors, against the measured
pixels: `r1` of the amplitudes, and `wr2` = sqrt(sum (I_o - I_c)^2 / sum I_o^2) with unit weights."""


def measure_component(
    output: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.floating[Any]],
    mask: npt.NDArray[np.bool_],
) -> dict[str, float]:
    """Measure one component, given as linear planes (256, 256) in [0, 1]; `mask` is True for measured pixels.

    Raises:
        InputError: if a pixel of the output is not a finite number in [0, 1].
    """
    check_output(output)
    found, true = np.sqrt(output.astype(np.float64)), np.sqrt(truth.astype(np.float64))
    difference = found - true
    squared = 4 * difference**2
    mse = float(squared.mean())
    result = {
        "mse": mse,
        "mse_unit": mse / 4,
        "mse_linear": float(np.mean((found**2 - true**2) ** 2)),
        "mse_measured": float(squared[mask].mean()),
        "mse_missing": float("nan") if mask.all() else float(squared[~mask].mean()),
        "psnr": 10 * float(np.log10(4 / max(mse, _SMALLEST_MSE))),
        "r1": float(np.abs(difference).sum() / true.sum()),
    }
    return result


def check_output(output: npt.NDArray[np.floating[Any]]) -> None:
    """Refuse an answer that is not linear intensity, so that a bad plane is never dropped silently.

    Raises:
        InputError: if a pixel is not a finite number in [0, 1].
    """
    # Negated because every comparison with NaN is false: this way NaN counts as bad.
    bad = ~((output >= 0) & (output <= 1))
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} pixels are outside [0, 1], the first is {float(output[bad].flat[0]):g};"
            " expected finite linear intensities"
        )


def structural_similarity(
    outputs: npt.NDArray[np.floating[Any]], truths: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Compute the measure `ssim` (n,) in [-1, 1] of linear planes (n, 256, 256) in [0, 1]."""
    # Imported here because torch takes seconds, and tables and cards need only the names of the measures.
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = []
    for start in range(0, len(outputs), _SSIM_AT_ONCE):
        # As channels of one image: one convolution of many channels takes a third of the time of many of one channel.
        first, second = (
            torch.from_numpy(np.sqrt(planes[start : start + _SSIM_AT_ONCE].astype(np.float32)))[None]
            for planes in (outputs, truths)
        )
        _, pixels = structural_similarity_index_measure(first, second, data_range=1.0, return_full_image=True)
        found.append(pixels[0].double().mean(dim=(1, 2)).numpy())
    return np.concatenate(found)


def measure_correlations(output: npt.NDArray[np.floating[Any]], truth: Truth, case: Case) -> dict[str, float]:
    """Measure the errors of the correlations that an I_SRO (256, 256) implies on the known lattice."""
    everywhere = np.ones(case.mask.shape)
    found, true = (
        fit_cosine_series(plane.astype(np.float64), everywhere, case.cell, case.plane, case.axes).coefficients
        for plane in (output, truth.short_range_order)
    )
    centre = len(true) // 2
    # Normalisation subtracted the minimum; with it added again, the zeroth coefficient is the mean.
    scale = float(true[centre, centre].real) + truth.short_range_order_floor
    error = np.abs(found - true) / scale
    error[centre, centre] = 0.0
    nearest = error[centre - 1 : centre + 2, centre - 1 : centre + 2]
    return {
        "correlation_rms": float(np.sqrt(np.sum(error**2) / (error.size - 1))),
        "correlation_nearest": float(np.sqrt(np.sum(nearest**2) / (nearest.size - 1))),
    }


def measure_product(
    form_factor: npt.NDArray[np.floating[Any]], short_range_order: npt.NDArray[np.floating[Any]], case: Case
) -> dict[str, float]:
    """Compute the R-factors of the product of both components, (256, 256) each, against the measured plane."""
    plane, smooth, periodic = (
        each.astype(np.float64) for each in (case.scattering, form_factor, short_range_order)
    )
    product = fit_product(plane, smooth, periodic, case.mask)
    observed, calculated = case.scattering[case.mask].astype(np.float64), product.intensity[case.mask]
    amplitude = np.sqrt(observed)
    return {
        "r1": float(np.abs(amplitude - np.sqrt(calculated)).sum() / amplitude.sum()),
        "wr2": float(np.sqrt(np.sum((observed - calculated) ** 2) / np.sum(observed**2))),
    }


def measure_answer(
    form_factor: npt.NDArray[np.floating[Any]],
    short_range_order: npt.NDArray[np.floating[Any]],
    case: Case,
    truth: Truth,
    full: bool,
) -> dict[str, float]:
    """Compute the measures of one answer, `component/measure` -> number.

    Args:
        form_factor: I_FF (256, 256) of the answer, linear in [0, 1].
        short_range_order: I_SRO, likewise.
        case: the plane that was split.
        truth: the true components.
        full: also compute the slow measures: correlations and the product.

    Raises:
        InputError: if an output is not finite linear intensity in [0, 1].
    """
    outputs = dict(zip(COMPONENTS, (form_factor, short_range_order), strict=True))
    result: dict[str, float] = {}
    for component, output in outputs.items():
        try:
            values = measure_component(output, getattr(truth, component), case.mask)
        except InputError as error:
            raise InputError(f"{component} of plane {case.number}: {error}") from error
        result |= {f"{component}/{name}": value for name, value in values.items()}
    if full:
        correlations = measure_correlations(short_range_order, truth, case)
        result |= {f"short_range_order/{name}": value for name, value in correlations.items()}
        product = measure_product(form_factor, short_range_order, case)
        result |= {f"product/{name}": value for name, value in product.items()}
    return result


DEVIATION_EDGES = np.concatenate([[0.0], np.geomspace(0.003, 1.0, 20), [np.inf]])
"""Edges of the bins of predicted standard deviation, in spread space, that judge the calibration."""

COVERAGE: dict[str, Callable[[Array, Array], npt.NDArray[np.bool_]]] = {
    "within_1": lambda error, deviation: np.abs(error) <= deviation,
    "within_2": lambda error, deviation: np.abs(error) <= 2 * deviation,
}
"""Tests of coverage by name: whether an error is within one, or two, predicted standard deviations."""


def measure_deviation(
    output: npt.NDArray[np.floating[Any]],
    deviation: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.floating[Any]],
) -> dict[str, npt.NDArray[np.float64]]:
    """Compare predicted standard deviations with the errors of one plane, (256, 256), in spread space.

    Returns:
        Sums of `pixels`, `squared_error` and `squared_deviation` in the bins of DEVIATION_EDGES, each (21,), and the
        shares of COVERAGE.

    Raises:
        InputError: if a deviation is negative or not finite.
    """
    if not (np.isfinite(deviation).all() and (deviation >= 0).all()):
        raise InputError("a predicted standard deviation is negative or not finite; expected 0 or more")
    error = spread(output.astype(np.float64)) - spread(truth.astype(np.float64))
    sigma = deviation.astype(np.float64)
    place = np.digitize(sigma.ravel(), DEVIATION_EDGES[1:-1])
    bins = len(DEVIATION_EDGES) - 1
    weights = {"pixels": None, "squared_error": error.ravel() ** 2, "squared_deviation": sigma.ravel() ** 2}
    sums = {name: np.bincount(place, weight, bins).astype(np.float64) for name, weight in weights.items()}
    return sums | {name: np.array(float(covered(error, sigma).mean())) for name, covered in COVERAGE.items()}
