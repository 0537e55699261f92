"""What a user should know about a factorised plane: notes, and how the lattice was used, in words."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Float32
from dsfunet.cleanup import CleanUp, look_for_bragg
from dsfunet.factorize.components import Components
from dsfunet.factorize.lattice_fit import LatticeFit
from dsfunet.lattice.joint_fit import JointFit
from dsfunet.lattice.joint_fit.noise import noise_above_counts
from dsfunet.lattice.search import FoundLattice
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.verdict.judge import Verdict

_MOST_MISSING_IN_TRAINING = 0.55
_SUSPICIOUS_ZEROS = 0.05
_FEW_COUNTS = 12
# On virtual crystals that obey the assumptions, the noise is 0.94 to 1.04 times that of counts.
_MORE_THAN_COUNTS = 1.1


def missing_notes(missing: float) -> list[str]:
    """A warning when more of the networks' square is missing (0 to 1) than on any training plane."""
    if missing <= _MOST_MISSING_IN_TRAINING:
        return []
    return [
        f"{100 * missing:.0f} % of the networks' input square is missing; the networks were trained on planes with at"
        f" most {100 * _MOST_MISSING_IN_TRAINING:.0f} % missing"
    ]


def zero_notes(intensity: Float32, mask: npt.NDArray[np.bool_]) -> list[str]:
    """A warning when many measured pixels (mask True) are exactly 0 without being low counts."""
    values = intensity[mask]
    zeros = float(np.mean(values == 0))
    if zeros <= _SUSPICIOUS_ZEROS or _are_low_counts(values):
        return []
    return [
        f"{100 * zeros:.0f} % of the pixels are exactly 0 and count as measured; if they are gaps, set them to NaN or"
        " use --mask-value 0"
    ]


def noise_notes(fit: JointFit, intensity: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_]) -> list[str]:
    """A warning when the noise that a joint fit finds in whole numbers is larger than counts have.

    An estimate of the noise takes up what the model leaves from pixel to pixel, and chi-squared is 1 nevertheless.
    """
    if fit.noise.given is not None:
        return []
    ratio = noise_above_counts(fit.variance, fit.intensity, intensity, mask)
    if ratio < _MORE_THAN_COUNTS:
        return []
    return [
        f"the variance of the noise is {ratio:.2f} times that of counts; unless these whole numbers are no counts, the"
        " joint fit leaves something of the plane that the estimate of the noise takes up, such as several sites in a"
        " cell"
    ]


def bragg_notes(
    measured: MeasuredPlane,
    clean_up: CleanUp,
    lattice: LatticePlane | Literal["find"] | None,
    verdict: Verdict,
) -> list[str]:
    """A warning when Bragg peaks seem to remain in the plane and neither clean-up nor verdict dealt with them."""
    judged = isinstance(lattice, LatticePlane) and (verdict.trustworthy or "Bragg" in verdict.reasons)
    if measured.grid is None or judged or clean_up.bragg_radius is not None:
        return []
    evidence = look_for_bragg(measured.intensity, measured.grid.plane, measured.grid.cell)
    return [evidence.sentence()] if evidence.suspicious else []


def other_answer(components: Components) -> dict[str, Float32]:
    """The answer to one plane that was not chosen, by its names in a result; empty when there was only one."""
    answer = components.lattice_answers[0] if components.lattice_answers else None
    if answer is None:
        return {}
    assert components.of_networks is not None
    if answer.accepted:
        names, planes = "of_networks", components.of_networks
    else:
        names, planes = "on_lattice", (answer.form_factor, answer.short_range_order)
    return {f"form_factor_{names}": planes[0], f"short_range_order_{names}": planes[1]}


def describe_lattice_use(components: Components) -> str:
    """Whether lattice mode was used on one plane, both residuals, and how far the two answers differ."""
    if not components.lattice_answers:
        return "not used: the networks alone"
    [answer] = components.lattice_answers
    if answer is None:
        return "no convincing lattice found: the networks alone"
    residuals = (
        f"wR2 {answer.residual:.3f} on the lattice, {answer.residual_of_networks:.3f} with the networks alone"
    )
    chosen = components.form_factor, components.short_range_order
    differ = _describe_difference(chosen, tuple(other_answer(components).values()))
    where = _describe_found_lattice(components.found_lattices[0]) if components.found_lattices else ""
    if not answer.accepted:
        return f"{where}rejected because it does not explain the plane: the networks alone ({residuals}); {differ}"
    return f"{where}used ({residuals}); {differ}"


def describe_joint_fit(
    found: LatticeFit, planes: Mapping[str, Float32], accepted: bool, centring: str
) -> str:
    """Whether a joint fit was used, what both answers leave of the plane, and how far they differ.

    Args:
        found: The joint fit.
        planes: Both answers by their names in a result.
        accepted: Whether the joint fit was used.
        centring: Lattice type of the sites and where it is from, in words.
    """
    suffix = "of_networks" if accepted else "on_lattice"
    names = ("form_factor", "short_range_order")
    chosen, other = ([planes[name + end] for name in names] for end in ("", f"_{suffix}"))
    differ = _describe_difference(chosen, other)
    fits = (
        f"chi-squared {found.chi_squared:.2f} on the lattice, {found.chi_squared_of_networks:.2f} with the networks"
        f" alone; {centring}; {found.fit.harmonics.count} harmonics"
    )
    if accepted:
        return f"used ({fits}); {differ}"
    return f"rejected because it does not explain the plane: the networks alone ({fits}); {differ}"


def _describe_difference(one: Sequence[Float32], other: Sequence[Float32]) -> str:
    differences = [
        f"{title} by {np.sqrt(np.nanmean((np.sqrt(first) - np.sqrt(second)) ** 2)):.3f}"
        for title, first, second in zip(("I_FF", "I_SRO"), one, other, strict=True)
    ]
    return f"the two answers differ in {' and '.join(differences)} (rms of square roots)"


def _describe_found_lattice(found: FoundLattice | None) -> str:
    assert found is not None
    first, second = found.reciprocal_pixels
    lengths = np.linalg.norm(found.reciprocal_pixels, axis=1)
    angle = np.degrees(np.arccos(first @ second / np.prod(lengths)))
    return (
        f"found in the plane itself, periods of {lengths[0]:.2f} and {lengths[1]:.2f} pixels at {angle:.1f}°"
        f" (confidence {found.confidence:.2f}), "
    )


def _are_low_counts(values: Float32) -> bool:
    """Whether the values are whole counts so low that some are 0 by chance."""
    counts = values[values > 0]
    whole = np.array_equal(values, np.round(values))
    return whole and bool(counts.size == 0 or np.median(counts) <= _FEW_COUNTS)
