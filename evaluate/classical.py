"""What a user has without a network: classical ways to split a plane, and answers that need no method at all.

Each is a `Predictor` (see `evaluate.cases`). Components are clipped at 0 and brought to [0, 1] by their own minimum
and maximum over the whole plane. All are deterministic and finite wherever two measured pixels differ.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.physics.cosine_series import fit_cosine_series
from dsfunet.preprocessing import COMPONENTS, PIXELS, normalise, spread, unspread
from dsfunet.shards import Store
from evaluate.cases import Case, Planes, Prediction
from evaluate.folding import (
    SCALES,
    ZONE_BINS,
    Smoother,
    Zone,
    cell_deviation,
    cell_smoothers,
    form_factor_given_order,
    smooth_ratio,
    unit_range,
)


def _predict(split: Callable[[Case], tuple[Planes, Planes]], cases: Sequence[Case]) -> Prediction:
    """Case by case; `split` gives both components of one."""
    form_factors, orders = zip(*(split(case) for case in cases), strict=True)
    return Prediction(np.stack(form_factors), np.stack(orders))


class ShellAverageAndFolding:
    """I divided by an average form factor squared, folded into one zone, and unfolded: Schmidt & Neder (2017).

    Without a structural model the average form factor squared is the plane's own mean over shells of |Q|,
    smoothed over a reciprocal cell. The quotient is folded in bins with that mean as weight, pixels where it is
    below 5 % of its maximum left out, as in the paper. I_FF is what remains of I when I_SRO is divided out,
    smoothed as `form_factor_given_order` says.
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
        form_factor = form_factor_given_order(case.scattering, weight, order, cell_smoothers(case))
        return unit_range(form_factor), unit_range(order)


class SeriesOnRawPlane:
    """I_SRO as the cosine series of the known lattice fitted to the raw measured pixels (SPEC section 6).

    I_FF averages out over the many cells of a plane. It then follows by regularised, band-limited division
    (`form_factor_given_order`). With `refits` the series is fitted again to I / I_FF with I_FF as weight, and
    I_FF divided out again.

    Args:
        refits: how many times, 0 for the raw plane alone.
    """

    def __init__(self, refits: int = 0) -> None:
        self._refits = refits
        self.title = "cosine series on the raw plane, known lattice"
        if refits:
            self.title += f", {refits} refit{'s' if refits > 1 else ''}"
        self.description: Mapping[str, Any] = {
            "method": "series_on_raw_plane",
            "refits": refits,
            "form_factor_scales": SCALES,
        }

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases.

        Raises:
            InputError: a plane has no measured pixel or is not spanned by its axes.
        """
        return _predict(self._split, cases)

    def _split(self, case: Case) -> tuple[Planes, Planes]:
        weight = case.mask.astype(np.float32)
        smoothers = cell_smoothers(case)
        order = _fitted_order(case, case.scattering, weight)
        form_factor = form_factor_given_order(case.scattering, weight, order, smoothers)
        for _ in range(self._refits):
            # A floor, so that no quotient runs away; its weight is small there anyway.
            divisor = np.maximum(form_factor, 0.01 * form_factor.max())
            if not (divisor > 0).all():
                break
            order = _fitted_order(case, case.scattering / divisor, weight * divisor)
            form_factor = form_factor_given_order(case.scattering, weight, order, smoothers)
        return unit_range(form_factor), order


def _fitted_order(case: Case, values: Planes, weight: Planes) -> Planes:
    series = fit_cosine_series(values, weight, case.cell, case.plane, case.axes)
    return unit_range(series.evaluate(case.plane))


class AlternatingLeastSquares:
    """I_FF and I_SRO by turns, each the least-squares factor given the other, on the known lattice.

    I_SRO from sums over zone bins, I w over I_FF w; I_FF as in `form_factor_given_order`. It starts from I
    smoothed over a reciprocal cell.

    Args:
        rounds: how many times each is found.
    """

    title = "alternating least squares, known lattice"

    def __init__(self, rounds: int = 10, power=1, scales=SCALES) -> None:
        self._rounds = rounds
        self._power=power; self._scales=scales
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
        weight = case.mask.astype(np.float32)
        zone, smoothers = Zone(case), cell_smoothers(case, self._scales)
        form_factor = smooth_ratio(weight * case.scattering, weight, cell_smoothers(case, (2.0, 4.0)))
        for _ in range(self._rounds):
            emphasis = weight if self._power == 1 else weight*form_factor
            order = zone.order(emphasis * case.scattering, emphasis * form_factor)
            form_factor = form_factor_given_order(case.scattering, weight, order, smoothers)
        return unit_range(form_factor), unit_range(order)


class LowPassHighPass:
    """No lattice: I_FF is I smoothed with a Gaussian of fixed width, I_SRO is I divided by it.

    Args:
        width_pixels: standard deviation; the default is the best on training planes.
    """

    title = "low pass and the rest, no lattice"

    def __init__(self, width_pixels: float = 6.0) -> None:
        widths = (width_pixels, 2 * width_pixels, 4 * width_pixels)
        self._smoothers = [Smoother((PIXELS, PIXELS), (width, width)) for width in widths]
        self.description: Mapping[str, Any] = {"method": "low_pass_high_pass", "width_pixels": width_pixels}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Split the planes of one or more cases; the missing pixels of I_SRO come from around them."""
        return _predict(self._split, cases)

    def _split(self, case: Case) -> tuple[Planes, Planes]:
        weight = case.mask.astype(np.float32)
        form_factor = smooth_ratio(weight * case.scattering, weight, self._smoothers)
        weak = np.float32(0.01) * form_factor.max() ** 2
        order = case.scattering * form_factor / (form_factor**2 + weak)
        around = smooth_ratio(weight * order, weight, self._smoothers)
        return unit_range(form_factor), unit_range(np.where(case.mask, order, around))


class MeanPlane:
    """The mean plane of given truths in spread space: of all answers that ignore the input, the best.

    Args:
        form_factor: linear, in [0, 1], (256, 256).
        short_range_order: likewise.
        origin: which truths, in words for the description.
    """

    title = "mean plane of the truths"

    def __init__(self, form_factor: Planes, short_range_order: Planes, origin: str = "given") -> None:
        self._form_factor, self._short_range_order = form_factor, short_range_order
        self.description: Mapping[str, Any] = {"method": "mean_plane", "origin": origin}

    @classmethod
    def of_store(cls, store: Store, samples: int | None = None) -> "MeanPlane":
        """The mean of the first `samples` truths of a store (None: all); they are read once."""
        count = len(store) if samples is None else samples
        means = []
        for component in COMPONENTS:
            planes = store.array(component)
            total = np.zeros((PIXELS, PIXELS))
            for index in range(count):
                total += spread(np.asarray(planes[index]).astype(np.float64))
            means.append(unspread(total / count).astype(np.float32))
        return cls(means[0], means[1], f"{count} truths of the store")

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """The same two planes for every case."""
        return _predict(lambda case: (self._form_factor, self._short_range_order), cases)


class UniformNoise:
    """The paper's baseline: uniform on [-1, 1] in spread space, a random stream for each plane and component.

    Expected MSE 1/3 + the mean of s^2 over the truth.

    Args:
        seed: of the streams.
    """

    title = "uniform noise"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.description: Mapping[str, Any] = {"method": "uniform_noise", "seed": seed}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """Noise that depends on the seed and the numbers of the cases alone."""
        return _predict(lambda case: (self._noise(case.number, 0), self._noise(case.number, 1)), cases)

    def _noise(self, number: int, component: int) -> Planes:
        rng = np.random.default_rng([self._seed, number, component])
        noise: npt.NDArray[np.float64] = unspread(rng.uniform(-1, 1, (PIXELS, PIXELS)))
        return noise.astype(np.float32)


class InputAsIs:
    """The input itself as both components, missing pixels at 0: no factorisation at all."""

    title = "the input as it is"
    description: Mapping[str, Any] = {"method": "input_as_is"}

    def __call__(self, cases: Sequence[Case]) -> Prediction:
        """The normalised inputs.

        Raises:
            InputError: as `dsfunet.preprocessing.normalise`.
        """
        return _predict(lambda case: (normalise(case.scattering, case.mask)[0],) * 2, cases)


def shell_average(case: Case) -> Planes:
    """Mean of the measured intensity over shells of |Q|, smoothed over a reciprocal cell, on every pixel."""
    plane = case.plane
    step = float(np.sqrt(np.linalg.norm(np.cross(plane.step_u, plane.step_v))))
    shell = (np.sqrt(plane.q_squared()) / step).astype(np.intp).reshape(-1)
    count = int(shell.max()) + 1
    totals = np.bincount(shell, (case.mask * case.scattering).reshape(-1), count)
    pixels = np.bincount(shell, case.mask.reshape(-1), count)
    width = float(np.mean(cell_deviation(case)))
    smoothers = [Smoother((1, count), (1.0, scale * width)) for scale in SHELL]
    profile = smooth_ratio(totals.astype(np.float32)[None], pixels.astype(np.float32)[None], smoothers)
    return profile[0][shell].reshape(case.mask.shape)
SHELL=(1.0,2.0,4.0)


def mean_planes(store: Store, samples: int) -> tuple[Planes, Planes]:
    mean = MeanPlane.of_store(store, samples)
    return mean._form_factor, mean._short_range_order
