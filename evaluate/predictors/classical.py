"""Baselines: classical ways to split a plane without a network, and trivial answers.

Each is a `Predictor` (see `evaluate.predictors.cases`). Components are clipped at 0 and scaled to [0, 1] by their own
minimum and maximum over the whole plane. All are deterministic, and finite if two measured pixels differ.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dsfunet._typing import Planes
from dsfunet.data.store import Store
from dsfunet.lattice.mode import fit_order, smooth_over_cells
from dsfunet.lattice.smoothing import Smoother, cell_smoothers, smooth_ratio, unit_range
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS, normalise, spread, unspread
from evaluate.predictors.cases import Case, Prediction
from evaluate.predictors.folding import SCALES, ZONE_BINS, Zone, form_factor_given_order, shell_average


def _predict(split: Callable[[Case], tuple[Planes, Planes]], cases: Sequence[Case]) -> Prediction:
    """Apply `split` to each case and stack the components."""
    answers = [split(case) for case in cases]
    return Prediction(*(np.stack([answer[component] for answer in answers]) for component in (0, 1)))


class ShellAverageAndFolding:
    """Division by the average squared form factor, then folding into one zone: Schmidt & Neder (2017).

    Without a structural model, the average squared form factor is the mean of the plane over shells of |Q|, smoothed
    over a reciprocal cell. The quotient is averaged in the bins of one zone with this mean as weight. As in their
    paper, pixels where the mean is below 5 % of its maximum are left out. I_FF is I divided by I_SRO and smoothed
    (`form_factor_given_order`).
    """

    title = "shell average and folding, known lattice"
    description: Mapping[str, Any] = {
        "method": "shell_average_and_folding",
        "zone_bins": ZONE_BINS,
        "excluded_below": 0.05,
        "form_factor_scales": SCALES,
    }

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases."""
        return _predict(self._split, cases)

    def _split(self, case: Case) -> tuple[Planes, Planes]:
        weight = case.mask.astype(np.float32)
        average = shell_average(case)
        used = weight * (average >= 0.05 * average[case.mask].max())
        order = Zone(case).order(used * case.scattering, used * average)
        form_factor = form_factor_given_order(
            case.scattering, weight, order, cell_smoothers(case.lattice, SCALES)
        )
        return unit_range(form_factor), unit_range(order)


class SeriesOnRawPlane:
    """I_SRO as a cosine series on the known lattice, fitted to the measured pixels.

    On the raw plane, every measured pixel has weight 1, and I_FF averages out over the many cells of a plane. On the
    levelled plane, I is first divided by A, which is I smoothed over about two reciprocal cells, and A is the weight of
    the fit: it minimises sum (I - A S)^2 / A, so that the few cells with the strongest I_FF do not dominate. I_FF
    follows by regularised, band-limited division (`form_factor_given_order`).

    Args:
        levelled: whether to level the plane first.
    """

    def __init__(self, levelled: bool = False) -> None:
        self._levelled = levelled
        self.title = f"cosine series on the {'levelled' if levelled else 'raw'} plane, known lattice"
        self.description: Mapping[str, Any] = {
            "method": "series_on_raw_plane",
            "levelled": levelled,
            "form_factor_scales": SCALES,
        }

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases.

        Raises:
            InputError: if a plane has no measured pixel or is not spanned by its axes.
        """
        return _predict(self._split, cases)

    def _split(self, case: Case) -> tuple[Planes, Planes]:
        measured = case.mask.astype(np.float32)
        level = (
            smooth_over_cells(case.scattering, case.mask, case.lattice)
            if self._levelled
            else np.ones_like(measured)
        )
        # Not normalised before the division, because the minimum of S is part of I.
        order = fit_order(case.scattering, case.mask, level, case.lattice)
        smoothers = cell_smoothers(case.lattice, SCALES)
        form_factor = form_factor_given_order(case.scattering, measured, order, smoothers)
        return unit_range(form_factor), unit_range(order)


class AlternatingLeastSquares:
    """Alternating least squares on the known lattice: I_FF and I_SRO are fitted in turn, each given the other.

    I_SRO in each bin of the zone is the sum of I over the sum of I_FF, which is least squares with weight 1 / I_FF.
    I_FF comes from `form_factor_given_order`, smoothed over a whole reciprocal cell in all rounds but the last, and
    over a quarter of one in the last. The start is I smoothed over a cell.

    Args:
        rounds: how often each component is fitted; on training planes nothing changes after 3.
    """

    title = "alternating least squares, known lattice"

    def __init__(self, rounds: int = 5) -> None:
        self._rounds = rounds
        self.description: Mapping[str, Any] = {
            "method": "alternating_least_squares",
            "rounds": rounds,
            "zone_bins": ZONE_BINS,
            "form_factor_scales": SCALES,
        }

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases."""
        return _predict(self._split, cases)

    def _split(self, case: Case) -> tuple[Planes, Planes]:
        measured = case.mask.astype(np.float32)
        shown = measured * case.scattering
        zone, wide = Zone(case), cell_smoothers(case.lattice, (1.0, 2.0))
        order = zone.order(shown, measured * smooth_ratio(shown, measured, wide))
        for _ in range(self._rounds - 1):
            form_factor = form_factor_given_order(case.scattering, measured, order, wide)
            order = zone.order(shown, measured * form_factor)
        form_factor = form_factor_given_order(
            case.scattering, measured, order, cell_smoothers(case.lattice, SCALES)
        )
        return unit_range(form_factor), unit_range(order)


class LowPassHighPass:
    """Low-pass filter without a lattice: I_FF is I smoothed with a Gaussian of fixed width, I_SRO is I divided by it.

    The quotient is I / (I_FF + 1 % of its maximum), clipped at its 99.9th percentile because a few outliers would
    otherwise set the scale. Missing pixels of I_SRO are filled with the smoothed quotient of their surroundings.

    Args:
        width_pixels: standard deviation of the Gaussian [pixels]; the default is the best on training planes.
    """

    title = "low pass and the rest, no lattice"

    def __init__(self, width_pixels: float = 6.0) -> None:
        widths = (width_pixels, 2 * width_pixels, 4 * width_pixels)
        self._smoothers = [Smoother((PIXELS, PIXELS), (width, width)) for width in widths]
        self.description: Mapping[str, Any] = {"method": "low_pass_high_pass", "width_pixels": width_pixels}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases."""
        return _predict(self._split, cases)

    def _split(self, case: Case) -> tuple[Planes, Planes]:
        measured = case.mask.astype(np.float32)
        form_factor = smooth_ratio(measured * case.scattering, measured, self._smoothers)
        order = case.scattering / (form_factor + np.float32(0.01) * form_factor.max())
        order = np.minimum(order, np.percentile(order[case.mask], 99.9).astype(np.float32))
        around = smooth_ratio(measured * order, measured, self._smoothers)
        return unit_range(form_factor), unit_range(np.where(case.mask, order, around))


class MeanPlane:
    """The mean of the true planes in spread space, which is the best answer that ignores the input.

    Args:
        form_factor: mean I_FF (256, 256), linear in [0, 1].
        short_range_order: mean I_SRO, likewise.
    """

    title = "mean plane of these very truths"
    description: Mapping[str, Any] = {"method": "mean_plane"}

    def __init__(self, form_factor: Planes, short_range_order: Planes) -> None:
        self._form_factor, self._short_range_order = form_factor, short_range_order

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Return the same two planes for every case."""
        return _predict(lambda case: (self._form_factor, self._short_range_order), cases)


def compute_mean_planes(store: Store, samples: int) -> tuple[Planes, Planes]:
    """Average both components in spread space over the first `samples` truths of a store, for `MeanPlane`.

    Returns I_FF and I_SRO, each (256, 256), linear in [0, 1].
    """
    totals = np.zeros((len(COMPONENTS), PIXELS, PIXELS))
    for index in range(samples):
        sample = store.sample(index)
        for total, component in zip(totals, COMPONENTS, strict=True):
            total += spread(getattr(sample, component).astype(np.float64))
    form_factor, short_range_order = unspread(totals / samples).astype(np.float32)
    return form_factor, short_range_order


class UniformNoise:
    """The paper's baseline: uniform noise on [-1, 1] in spread space, with a random stream per plane and component.

    Its expected MSE is 1/3 + the mean of s^2 over the truth.

    Args:
        seed: of the streams.
    """

    title = "uniform noise"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.description: Mapping[str, Any] = {"method": "uniform_noise", "seed": seed}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Return noise that depends only on the seed and the numbers of the cases."""
        return _predict(lambda case: (self._noise(case.number, 0), self._noise(case.number, 1)), cases)

    def _noise(self, number: int, component: int) -> Planes:
        rng = np.random.default_rng([self._seed, number, component])
        return unspread(rng.uniform(-1, 1, (PIXELS, PIXELS))).astype(np.float32)


class InputAsIs:
    """The input itself as both components, with missing pixels at 0: no factorisation at all."""

    title = "the input as it is"
    description: Mapping[str, Any] = {"method": "input_as_is"}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Return the normalised inputs.

        Raises:
            InputError: as `dsfunet.planes.preprocessing.normalise`.
        """
        return _predict(lambda case: (normalise(case.scattering, case.mask)[0],) * 2, cases)
