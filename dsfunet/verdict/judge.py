"""Whether a plane can be what the networks take it for, in one sentence and in numbers.

Three questions: does the product of both components explain the plane where it was measured, is I_SRO periodic in the
stated lattice, is the plane like those that the networks were trained on. `dsfunet.verdict.measures` has the numbers;
here each is held against what planes that keep every assumption give (`verdict_limits.json`, which
`python -m evaluate verdicts --fit true` makes). The limits are set together, so that of such planes few are flagged by
any of them; what was measured of that, and what is overlooked, is in benchmarks/verdicts.md.
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
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.verdict.measures import measure

LIMITS_FILE = Path(__file__).with_name("limits.json")
"""What planes that keep the assumptions give: fitted, with the command and the data that it was fitted to."""

GENERAL = ("lattice", "background", "spots", "left over", "unlike")
"""Reasons that many faults give: one that names the fault goes before them, and the lattice before the others."""

FEWEST_PIXELS = 1000
"""Measured pixels below which nothing is said for a plane."""

SEVERE = 2.0
"""Scores from which a plane is not explained, in units of the limit; from 1, the limit, on it is doubtful."""

QUANTILES = (0.5, 0.9, 0.99, 0.997)
"""Of good planes: shares of them that are less suspect than the numbers kept for each test and class of noise."""

NOISE_CLASSES = (0.03, 0.11)
"""Bounds of clean, noisy and very noisy planes: root of the noise's share of the squared plane."""

Level = Literal["explained", "doubtful", "not explained"]
Regime = Literal["lattice", "none"]


@dataclass(frozen=True)
class Test:
    """One number with a limit.

    Attributes:
        upwards: whether large values are suspect; small ones otherwise.
        logarithmic: whether the limit is set on the logarithm.
        reason: key of REASONS.
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
"""Every number that is held against a limit."""

REASONS: dict[str, str] = {
    "left over": "the product of both components leaves {unexplained:.0%} of the plane unexplained, more than of planes"
    " that are such a product; look at the residual",
    "background": "what is left over is a function of |Q| alone: background seems to be left in; subtract it first",
    "nothing but |Q|": "a function of |Q| alone explains the plane: this looks like background or powder rings without"
    " diffuse scattering of the crystal",
    "no order": "short-range order adds next to nothing: there seems to be no signal but background or noise",
    "spots": "there are sharper maxima than short-range order makes: Bragg peaks, or what is left of them; remove"
    " them first (--bragg-radius auto)",
    "single pixels": "single pixels outshine all around them: hot pixels or spikes; mask them",
    "gaps": "there are blocks of zeros with sharp edges: gaps seem to be given as zeros, or the mask is not that of"
    " this plane; give them as NaN or as a mask, and check that it is not transposed",
    "unlike": "the plane is unlike those that the networks were trained on; nothing is known of their errors here",
    "Bragg": "sharp maxima stand at integer indices: Bragg peaks seem to be left in; remove them first"
    " (--bragg-radius auto)",
    "displacement": "what is left over is odd about the Bragg positions and grows with Q: a cell that does not fit, or"
    " atoms displaced by their neighbours (size effect), which no product holds; check the cell before you trust I_SRO",
    "phonons": "what is left over is even about the Bragg positions and grows with Q squared: thermal diffuse"
    " scattering or displacements, which no product holds; take it off, or restrict Q",
    "lattice": "I_SRO does not repeat on this lattice: check cell and axes, or let the lattice be found",
}
"""What each reason says; numbers of the verdict may stand in braces."""


@dataclass(frozen=True)
class Verdict:
    """Whether to believe the components of a plane.

    Attributes:
        level: explained, doubtful or not explained.
        sentence: for people: what is wrong and what to try.
        numbers: all that was measured, by name, and `score`, the largest of the scores; 1 is the limit.
        reasons: keys of REASONS that apply: those that name a fault first, then by their scores.
    """

    level: Level
    sentence: str
    numbers: dict[str, float]
    reasons: list[str]

    @property
    def trustworthy(self) -> bool:
        """Whether nothing speaks against the components."""
        return self.level == "explained"


def judge(
    plane: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
    form_factor: npt.NDArray[np.floating],
    short_range_order: npt.NDArray[np.floating],
    lattice_answer: LatticeAnswer | None = None,
    lattice: LatticePlane | None = None,
    sigma: npt.NDArray[np.floating] | None = None,
) -> Verdict:
    """The verdict on a plane and its components; about 40 ms on one core.

    Args:
        plane: measured intensity (256, 256), any unit; what lies outside the mask is not looked at.
        mask: True = measured.
        form_factor: I_FF that is shown, on the lattice or by the networks alone.
        short_range_order: I_SRO that is shown.
        lattice_answer: what lattice mode made of the plane, accepted or not; None without a lattice.
        lattice: the lattice, given or found.
        sigma: standard deviation of each pixel, in the plane's unit; None estimates the noise from the plane.

    Raises:
        InputError: shapes differ, or nothing above zero was measured.
    """
    shapes = {each.shape for each in (plane, mask, form_factor, short_range_order)}
    if len(shapes) != 1 or (sigma is not None and sigma.shape != plane.shape):
        raise InputError(f"plane, mask and components of shapes {sorted(shapes)}: expected one shape")
    if lattice is not None and lattice.plane.shape != plane.shape:
        raise InputError(
            f"lattice of a plane of {lattice.plane.shape} pixels: expected {plane.shape}, those of the plane"
        )
    if not mask.any() or not np.isfinite(plane[mask]).all() or not float(plane[mask].max()) > 0:
        raise InputError("plane has no measured pixel above zero, or one not finite: expected intensity")
    if mask.sum() < FEWEST_PIXELS:
        share = float(mask.mean())
        return Verdict(
            "doubtful",
            f"Doubtful: only {int(mask.sum())} pixels were measured, too few to say anything.",
            {"measured": share},
            ["few pixels"],
        )
    numbers = measure(plane, mask, form_factor, short_range_order, lattice_answer, lattice, sigma)
    regime: Regime = "none" if lattice is None else "lattice"
    return verdict_on(numbers, regime, limits())


@cache
def limits() -> dict[str, Any]:
    """The fitted limits, as `verdict_limits.json` has them."""
    found: dict[str, Any] = json.loads(LIMITS_FILE.read_text(encoding="utf-8"))
    return found


def verdict_on(numbers: Mapping[str, float], regime: Regime, fitted: Mapping[str, Any]) -> Verdict:
    """The verdict that limits give to numbers already measured."""
    numbers = {**numbers, "unlike": unlikeness(numbers, fitted["likeness"])}
    found = scores(numbers, regime, fitted)
    threshold = fitted["threshold"][regime]
    passed = {name: value / threshold for name, value in found.items()}
    numbers["score"] = max(passed.values())
    beyond = sorted((name for name in passed if passed[name] > 1), key=lambda name: -passed[name])
    reasons = list(dict.fromkeys(TESTS[name].reason for name in beyond))
    reasons.sort(key=lambda reason: (reason in GENERAL, reason != "lattice"))
    if not reasons:
        where = "" if regime == "none" else ", and I_SRO repeats on the lattice"
        sentence = (
            f"Explained: beyond noise the product of both components leaves {numbers['unexplained']:.1%} of the plane,"
            f" as of planes that are such a product{where}."
        )
        return Verdict("explained", sentence, numbers, [])
    level: Level = "not explained" if numbers["score"] >= SEVERE else "doubtful"
    return Verdict(level, f"{level.capitalize()}: {REASONS[reasons[0]].format(**numbers)}.", numbers, reasons)


def scores(numbers: Mapping[str, float], regime: Regime, fitted: Mapping[str, Any]) -> dict[str, float]:
    """How rare each number is among good planes as noisy: half of -log10 of the share that are as suspect.

    1 is one plane in a hundred, 2 would be one in ten thousand: beyond the quantiles that are there, a straight line.
    """
    table = fitted["limits"][regime][noise_class(numbers["noise"])]
    levels = 0.5 * -np.log10(1 - np.array(QUANTILES))
    found = {}
    for name, quantiles in table.items():
        if name not in numbers:
            continue
        value, last = scale(name, numbers[name]), quantiles[-1]
        if value <= last:
            found[name] = float(np.interp(value, quantiles, levels))
        else:
            # Steep where good planes end all at once, flat where some few are far out.
            slope = (levels[-1] - levels[1]) / max(last - quantiles[1], 1e-9)
            found[name] = float(levels[-1] + slope * (value - last))
    return found


def scale(name: str, value: float) -> float:
    """A number as it is compared: its logarithm perhaps, its sign such that large is suspect."""
    test = TESTS[name]
    compared = float(np.log(max(value, 0.0) + 1e-4)) if test.logarithmic else value
    return compared if test.upwards else -compared


def noise_class(noise: float) -> int:
    """0, 1 or 2: clean, noisy, very noisy."""
    return int(np.searchsorted(NOISE_CLASSES, noise, side="right"))


def unlikeness(numbers: Mapping[str, float], reference: Mapping[str, Any]) -> float:
    """Mahalanobis distance from the training planes over the root of the number of statistics; about 1 among them."""
    away = np.array([numbers[name] for name in reference["names"]]) - np.array(reference["mean"])
    whitened = np.array(reference["whitening"]) @ away
    return float(np.sqrt(np.mean(whitened**2)))
