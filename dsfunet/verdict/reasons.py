"""The reasons of a verdict in words."""

from collections.abc import Mapping

GENERAL = ("lattice", "background", "spots", "left over", "unlike")
"""Reasons that many faults share: more specific reasons come first, and of these the lattice comes first."""

REASONS: dict[str, str] = {
    "left over": (
        "the product of both components leaves {unexplained_percent:.0f} % of the plane unexplained, more than for "
        "planes that are exact products; look at the residual"
    ),
    "background": (
        "the residual is a function of |Q| alone, so background seems to be left in the plane; subtract it "
        "first"
    ),
    "nothing but |Q|": (
        "a function of |Q| alone explains the plane, which seems to hold background or powder rings, but no "
        "diffuse scattering of the crystal"
    ),
    "no order": (
        "short-range order explains almost nothing, so the plane seems to hold only background or noise"
    ),
    "spots": (
        "the plane has sharper maxima than short-range order can have, such as Bragg peaks or remains of "
        "them; remove them first (--bragg-radius auto)"
    ),
    "single pixels": (
        "single pixels are far brighter than all around them, like hot pixels or spikes; mask them"
    ),
    "gaps": (
        "the plane has blocks of zeros with sharp edges, so gaps seem to be stored as zeros, or the mask "
        "does not belong to this plane; mark gaps as NaN or with a mask, and check that the mask is not "
        "transposed"
    ),
    "unlike": "the plane is unlike those that the networks were trained on, so their errors are unknown here",
    "Bragg": (
        "sharp maxima lie at integer indices, so Bragg peaks seem to be left in the plane; remove them "
        "first (--bragg-radius auto)"
    ),
    "displacement": (
        "the residual is odd about the Bragg positions and grows with Q, so the cell does not fit, or atoms "
        "are displaced by their neighbours (size effect), which no product can describe; check the cell "
        "before you trust I_SRO"
    ),
    "phonons": (
        "the residual is even about the Bragg positions and grows with Q squared, like thermal diffuse "
        "scattering or displacements, which no product can describe; subtract them, or restrict Q"
    ),
    "lattice": "I_SRO does not repeat on this lattice; check cell and axes, or let the lattice be found",
    "several sites": (
        "the disordered sites form no Bravais lattice: correlations between sites that no lattice vector joins are "
        "seen, so no product of one form factor and one short-range order describes this plane"
    ),
    "constant background": (
        "the plane holds a background of about {background_percent:.0f} % of its mean intensity, which makes "
        "correlations too small; subtract it first"
    ),
    "size effect": (
        "intensities are odd about the Bragg positions and grow with Q, so atoms seem to be displaced by their "
        "neighbours (size effect), or the cell does not quite fit; correlations are biased"
    ),
}
"""Sentence of each reason; braces hold numbers of the verdict."""


def say_reason(reason: str, numbers: Mapping[str, float] | None = None, background_share: float = 0.0) -> str:
    """Return the sentence of a reason with its numbers.

    Args:
        reason: key of REASONS.
        numbers: of the verdict; None if the sentence has none of them.
        background_share: share of a constant background in the mean intensity.
    """
    unexplained = (numbers or {}).get("unexplained", 0.0)
    return REASONS[reason].format(
        unexplained_percent=100 * unexplained, background_percent=100 * background_share
    )
