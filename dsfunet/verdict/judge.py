"""The verdict on the components of a plane, in one sentence and in numbers.

It answers three questions: does the product of both components explain the measured plane, is I_SRO periodic on the
given lattice, and is the plane like those that the networks were trained on? `dsfunet.verdict.measures` measures the
numbers. Here they are compared with limits, which come from planes that obey all assumptions (`limits.json`, written by
`python -m evaluate verdicts --fit true`). The limits are set together, so that all of them together flag few such
planes; benchmarks/verdicts.md lists how many, and which faults are overlooked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.lattice.mode import LatticeAnswer
from dsfunet.lattice.other_sites import OtherSites
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.verdict.data_fit import DataFit, score_data_fit
from dsfunet.verdict.measures import measure
from dsfunet.verdict.reasons import GENERAL, say_reason

LIMITS_FILE = Path(__file__).with_name("limits.json")
"""Limits fitted to planes that obey all assumptions, with the command and the data behind them."""

FEWEST_PIXELS = 1000
"""Measured pixels that a plane needs to be judged."""

SEVERE = 2.0
"""Score from which a plane is not explained, in units of the limit; above 1, the limit, it is doubtful."""

QUANTILES = (0.5, 0.9, 0.99, 0.997)
"""Shares of good planes below the values that are stored for each test and noise class."""

NOISE_CLASSES = (0.03, 0.11)
"""Bounds between clean, noisy and very noisy planes: square root of the share of noise in the squared plane."""

Level = Literal["explained", "doubtful", "not explained"]
Regime = Literal["lattice", "none"]


@dataclass(frozen=True)
class Test:
    """Test of one number against a limit.

    Attributes:
        upwards: whether large values are suspicious; otherwise small ones are.
        logarithmic: whether the logarithm of the number is compared.
        reason: key of `dsfunet.verdict.reasons.REASONS`.
    """

    upwards: bool
    logarithmic: bool
    reason: str


TESTS: dict[str, Test] = {
    "unexplained": Test(True, True, "left over"),
    "unexplained_weak": Test(True, True, "left over"),
    "smooth_share": Test(True, True, "left over"),
    "background": Test(True, True, "background"),
    "radial": Test(True, False, "nothing but |Q|"),
    "order": Test(False, True, "no order"),
    "spiky": Test(True, True, "spots"),
    "isolated": Test(True, False, "single pixels"),
    "sharp": Test(True, True, "spots"),
    "cliff": Test(True, False, "gaps"),
    "dark": Test(True, False, "gaps"),
    "unlike": Test(True, True, "unlike"),
    "bragg_plane": Test(True, False, "Bragg"),
    "bragg_residual": Test(True, False, "Bragg"),
    "bragg_excess": Test(True, True, "Bragg"),
    "bragg_outstanding": Test(True, False, "Bragg"),
    "odd_share": Test(True, True, "displacement"),
    "odd_power": Test(True, True, "displacement"),
    "even_share": Test(True, True, "phonons"),
    "even_power": Test(True, True, "phonons"),
    "unexplained_on_lattice": Test(True, True, "lattice"),
    "lattice_over_networks": Test(True, True, "lattice"),
}
"""Every number that is compared with a limit."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on the components of a plane: whether to believe them, and why not.

    `judge` makes one.

    Attributes:
        level: "explained", "doubtful" or "not explained".
        sentence: the level, what is wrong and what to try.
        numbers: all measured numbers by name (`dsfunet.verdict.measures.measure`), and `score`, the largest score in
            units of the limit.
        reasons: keys of `dsfunet.verdict.reasons.REASONS` that apply; those that name a fault come first, then those
            of higher scores.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.verdict.judge import judge
        >>> h, k = np.meshgrid(*[np.linspace(-5, 5, 256)] * 2, indexing="ij")
        >>> form_factor = np.exp(-(h**2 + k**2) / 12)
        >>> order = (2 + np.cos(2 * np.pi * h) + np.cos(2 * np.pi * k)) / 4
        >>> measured = np.ones(h.shape, bool)
        >>> judge(900 * form_factor * order, measured, form_factor, order).level
        'explained'
        >>> background = 0.3 * np.exp(-(h**2 + k**2) / 30)
        >>> spoilt = judge(form_factor * order + background, measured, form_factor, order)
        >>> spoilt.level, spoilt.reasons[0]
        ('doubtful', 'background')
    """

    level: Level
    sentence: str
    numbers: dict[str, float]
    reasons: list[str]

    @property
    def trustworthy(self) -> bool:
        """Whether no test is beyond its limit."""
        return self.level == "explained"


def judge(
    plane: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
    form_factor: npt.NDArray[np.floating],
    short_range_order: npt.NDArray[np.floating],
    lattice_answer: LatticeAnswer | None = None,
    lattice: LatticePlane | None = None,
    sigma: npt.NDArray[np.floating] | None = None,
    data_fit: DataFit | None = None,
    other_sites: OtherSites | None = None,
) -> Verdict:
    """Judge the components of a plane; takes about 40 ms on one core.

    Args:
        plane: measured intensity (256, 256), any unit; pixels outside the mask are ignored.
        mask: True = measured.
        form_factor: I_FF to judge, on the lattice or by the networks alone.
        short_range_order: I_SRO to judge.
        lattice_answer: components that lattice mode gives, accepted or not; None without a lattice.
        lattice: the lattice, given or found.
        sigma: standard deviation of each pixel in the unit of the plane; None estimates the noise from the plane.
        data_fit: how well a joint fit explains the measured pixels, if the components come from one. Its tests against
            noise then decide; the numbers of this plane only name the reason of a misfit.
        other_sites: whether a joint fit to the measured pixels shows several sites in a primitive cell.

    Raises:
        InputError: the shapes differ, or no measured pixel is above zero.
    """
    shapes = {each.shape for each in (plane, mask, form_factor, short_range_order)}
    if len(shapes) != 1 or (sigma is not None and sigma.shape != plane.shape):
        raise InputError(f"plane, mask and components have the shapes {sorted(shapes)}; expected one shape")
    if lattice is not None and lattice.plane.shape != plane.shape:
        raise InputError(
            f"the lattice is that of a plane of shape {lattice.plane.shape}; expected {plane.shape}"
        )
    if not mask.any() or not np.isfinite(plane[mask]).all() or not float(plane[mask].max()) > 0:
        raise InputError(
            "the plane has no measured pixel above zero, or one that is not finite; expected finite intensities"
        )
    if mask.sum() < FEWEST_PIXELS:
        share = float(mask.mean())
        return Verdict(
            "doubtful",
            f"Doubtful: only {int(mask.sum())} pixels were measured, too few to judge the components.",
            {"measured": share},
            ["few pixels"],
        )
    numbers = measure(plane, mask, form_factor, short_range_order, lattice_answer, lattice, sigma)
    regime: Regime = "none" if lattice is None else "lattice"
    verdict = judge_numbers(numbers, regime, read_limits())
    if data_fit is not None:
        return judge_data_fit(data_fit, other_sites, verdict)
    if other_sites is not None and other_sites.found:
        reasons = ["several sites", *verdict.reasons]
        return Verdict("not explained", f"Not explained: {say_reason(reasons[0])}.", verdict.numbers, reasons)
    return verdict


def judge_data_fit(found: DataFit, other_sites: OtherSites | None, by_appearance: Verdict) -> Verdict:
    """Return the verdict on a joint fit.

    Args:
        found: how well it explains the measured pixels.
        other_sites: whether the fit shows several sites in a primitive cell.
        by_appearance: verdict on the same components by the appearance of plane and residual, which names the reason of
            a misfit that the tests of the fit do not name.
    """
    scores = score_data_fit(found, other_sites is not None and other_sites.found)
    numbers = {**by_appearance.numbers, **found.numbers, "score": max(scores.values(), default=0.0)}
    if not scores:
        sentence = (
            f"Explained: the product of both components leaves no more of the plane than noise (chi-squared"
            f" {found.chi_squared:.2f} per pixel), and I_SRO repeats on the lattice"
        )
        sentence += f"; {other_sites.caution}." if other_sites is not None and other_sites.caution else "."
        return Verdict("explained", sentence, numbers, [])
    reasons = list(scores)
    if reasons[0] == "left over" and "several sites" not in reasons:
        likely = [each for each in by_appearance.reasons if each not in (*GENERAL, "no order", "gaps")]
        if {"spots", "single pixels"} & set(by_appearance.reasons):
            likely = ["spots", *(each for each in likely if each != "spots")]
        reasons = [*likely, "lattice"]
    level: Level = "not explained" if numbers["score"] >= SEVERE else "doubtful"
    sentence = say_reason(reasons[0], numbers, found.background_share)
    return Verdict(
        level,
        f"{level.capitalize()}: {sentence} (chi-squared {found.chi_squared:.2f} per pixel).",
        numbers,
        reasons,
    )


@cache
def read_limits() -> dict[str, Any]:
    """Read the fitted limits from LIMITS_FILE."""
    found: dict[str, Any] = json.loads(LIMITS_FILE.read_text(encoding="utf-8"))
    return found


def judge_numbers(numbers: Mapping[str, float], regime: Regime, fitted: Mapping[str, Any]) -> Verdict:
    """Return the verdict on numbers that were already measured, by the given limits."""
    numbers = {**numbers, "unlike": distance_from_training(numbers, fitted["likeness"])}
    found = score_numbers(numbers, regime, fitted)
    threshold = fitted["threshold"][regime]
    passed = {name: value / threshold for name, value in found.items()}
    numbers["score"] = max(passed.values())
    beyond = sorted((name for name in passed if passed[name] > 1), key=lambda name: -passed[name])
    reasons = list(dict.fromkeys(TESTS[name].reason for name in beyond))
    reasons.sort(key=lambda reason: (reason in GENERAL, reason != "lattice"))
    if not reasons:
        where = "" if regime == "none" else ", and I_SRO repeats on the lattice"
        sentence = (
            "Explained: beyond noise, the product of both components leaves"
            f" {100 * numbers['unexplained']:.1f} % of the plane, no more than for planes that are exact"
            f" products{where}."
        )
        return Verdict("explained", sentence, numbers, [])
    level: Level = "not explained" if numbers["score"] >= SEVERE else "doubtful"
    return Verdict(level, f"{level.capitalize()}: {say_reason(reasons[0], numbers)}.", numbers, reasons)


def score_numbers(
    numbers: Mapping[str, float], regime: Regime, fitted: Mapping[str, Any]
) -> dict[str, float]:
    """Score how rare each number is among good planes of the same noise class.

    The score is -log10(p) / 2, where p is the share of good planes at least as suspicious: 1 is one plane in a hundred,
    2 would be one in ten thousand. It is extrapolated linearly beyond the stored quantiles.
    """
    table = fitted["limits"][regime][noise_class(numbers["noise"])]
    levels = 0.5 * -np.log10(1 - np.array(QUANTILES))
    found = {}
    for name, quantiles in table.items():
        if name not in numbers:
            continue
        value, last = comparable_value(name, numbers[name]), quantiles[-1]
        if value <= last:
            found[name] = float(np.interp(value, quantiles, levels))
        else:
            # The slope is steep where the distribution of good planes ends abruptly, flat where it has a tail.
            slope = (levels[-1] - levels[1]) / max(last - quantiles[1], 1e-9)
            found[name] = float(levels[-1] + slope * (value - last))
    return found


def comparable_value(name: str, value: float) -> float:
    """Return a number as it is compared: its logarithm if the test says so, with a sign so that large is suspicious."""
    test = TESTS[name]
    compared = float(np.log(max(value, 0.0) + 1e-4)) if test.logarithmic else value
    return compared if test.upwards else -compared


def noise_class(noise: float) -> int:
    """Return the noise class: 0, 1 or 2 for clean, noisy and very noisy planes."""
    return int(np.searchsorted(NOISE_CLASSES, noise, side="right"))


def distance_from_training(numbers: Mapping[str, float], reference: Mapping[str, Any]) -> float:
    """Return the Mahalanobis distance from the training planes over the root of the number of statistics, about 1."""
    away = np.array([numbers[name] for name in reference["names"]]) - np.array(reference["mean"])
    whitened = np.array(reference["whitening"]) @ away
    return float(np.sqrt(np.mean(whitened**2)))
