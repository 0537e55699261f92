"""Everything measured on a single plane: errors in three conventions, likeness, R-factors, correlations.

The measures of one prediction are a flat mapping, `component/measure` -> number; `MEASURES` says what each is. A
number that a plane does not have (an error under a mask that hides nothing) is NaN, and only such.
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

# Errors of 0 have no logarithm: such planes count as this one, far below what half floats can hold.
_SMALLEST_MSE = 1e-12
_SSIM_AT_ONCE = 8


@dataclass(frozen=True)
class Measure:
    """What a measure is: its title in tables, which way is better, and whether a plane may lack it."""

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
- `mse_unit`: the same of sqrt(x) in [0, 1], a quarter of it;
- `mse_linear`: the same of the linear intensity x in [0, 1];
- `mse_measured`, `mse_missing`: `mse` over the pixels that were measured, and over those that were not;
- `ssim`: structural similarity of sqrt(x) in [0, 1], Gaussian window of 1.5 pixels (Wang et al. 2004);
- `psnr`: peak signal-to-noise ratio, 10 log10(4 / mse) [dB];
- `r1`: sum ||F_o| - |F_c|| / sum |F_o| with |F| = sqrt(x), as of structure amplitudes; no scale is fitted;
- `correlation_rms`, `correlation_nearest`, of short-range order alone: rms error of the correlation coefficients
  that a cosine series on the known lattice gives, over all 60 independent in-plane vectors |m|, |n| <= 5 and over
  the four with |m|, |n| <= 1. Both planes are fitted alike, and both divided by the mean of the true I_SRO over the
  layer: the errors are of correlations summed along the third axis, relative to that of the vector 0.
"""

PRODUCT_MEASURES: dict[str, Measure] = {
    "r1": Measure("R1 of the product"),
    "wr2": Measure("wR2 of the product"),
}
"""Measures of both components together, s (F + f)(S + g) with fitted scale and floors, against the plane measured,
where it was measured: `r1` of the amplitudes, and `wr2` = sqrt(sum (I_o - I_c)^2 / sum I_o^2) with unit weights."""


def measure_component(
    output: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.floating[Any]],
    mask: npt.NDArray[np.bool_],
) -> dict[str, float]:
    """Measures of one component: planes (256, 256), linear in [0, 1].

    Raises:
        InputError: a pixel of the output is not a finite number in [0, 1].
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
    """Refuse an answer that is not linear intensity: no plane is ever dropped for it.

    Raises:
        InputError: a pixel is not a finite number in [0, 1].
    """
    # Written so that NaN, for which every comparison is false, counts as bad.
    bad = ~((output >= 0) & (output <= 1))
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} pixels are outside [0, 1], the first is {float(output[bad].flat[0]):g}:"
            " expected finite linear intensities"
        )


def structural_similarity(
    outputs: npt.NDArray[np.floating[Any]], truths: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """The measure `ssim` of n planes (n, 256, 256), linear in [0, 1]; shape (n,), each value in [-1, 1]."""
    # Imported here: tables and cards want the names of the measures alone, and torch takes seconds.
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = []
    for start in range(0, len(outputs), _SSIM_AT_ONCE):
        # As channels of one picture: a convolution of many channels takes a third of the time of many of one.
        first, second = (
            torch.from_numpy(np.sqrt(planes[start : start + _SSIM_AT_ONCE].astype(np.float32)))[None]
            for planes in (outputs, truths)
        )
        _, pixels = structural_similarity_index_measure(first, second, data_range=1.0, return_full_image=True)
        found.append(pixels[0].double().mean(dim=(1, 2)).numpy())
    return np.concatenate(found)


def measure_correlations(output: npt.NDArray[np.floating[Any]], truth: Truth, case: Case) -> dict[str, float]:
    """Errors of the correlations that an I_SRO (256, 256) holds, on the known lattice."""
    everywhere = np.ones(case.mask.shape)
    found, true = (
        fit_cosine_series(plane.astype(np.float64), everywhere, case.cell, case.plane, case.axes).coefficients
        for plane in (output, truth.short_range_order)
    )
    centre = len(true) // 2
    # The minimum was taken from the plane when it was normalised; with it the zeroth coefficient is the mean.
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
    """R-factors of the product of both components against the measured plane."""
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
    """All measures of one answer, `component/measure` -> number; `full` adds what takes longer.

    Raises:
        InputError: an output is not finite linear intensity in [0, 1].
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
"""Edges of the bins of predicted standard deviation in s, by which the calibration is judged."""

COVERED: dict[str, Callable[[Array, Array], npt.NDArray[np.bool_]]] = {
    "within_1": lambda error, deviation: np.abs(error) <= deviation,
    "within_2": lambda error, deviation: np.abs(error) <= 2 * deviation,
}
"""Shares of pixels whose error is within so many predicted standard deviations."""


def measure_deviation(
    output: npt.NDArray[np.floating[Any]],
    deviation: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.floating[Any]],
) -> dict[str, npt.NDArray[np.float64]]:
    """How predicted standard deviations (256, 256) in s meet the errors: sums over the pixels of one plane.

    Returns by name `pixels`, `squared_error` and `squared_deviation` in the bins of DEVIATION_EDGES (21,), and the
    shares of COVERED.

    Raises:
        InputError: a deviation is not finite or is negative.
    """
    if not (np.isfinite(deviation).all() and (deviation >= 0).all()):
        raise InputError("a predicted standard deviation is not finite or negative: expected 0 or more")
    error = spread(output.astype(np.float64)) - spread(truth.astype(np.float64))
    sigma = deviation.astype(np.float64)
    place = np.digitize(sigma.ravel(), DEVIATION_EDGES[1:-1])
    bins = len(DEVIATION_EDGES) - 1
    weights = {"pixels": None, "squared_error": error.ravel() ** 2, "squared_deviation": sigma.ravel() ** 2}
    sums = {name: np.bincount(place, weight, bins).astype(np.float64) for name, weight in weights.items()}
    return sums | {name: np.array(float(covered(error, sigma).mean())) for name, covered in COVERED.items()}
