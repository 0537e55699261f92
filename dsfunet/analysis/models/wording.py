"""Sentences on comparisons of structural models: whether any fits, which are alike, and what the models leave out."""

from collections.abc import Sequence

from dsfunet.analysis.models.fit import Comparison, Fit
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.physics.scattering import Radiation, Scattering, parse_species, shown_radiation

_MOST_PAIRS = 6


def describe_fit(
    comparison: Comparison, scattering: Scattering, better: tuple[Radiation, Fit] | None = None
) -> list[str]:
    """Return lines on a comparison: pairs of models that the data cannot tell apart, and whether the best one fits.

    Args:
        comparison: of the models.
        scattering: the radiation that was given.
        better: another radiation with which a model fits far better, and that fit.
    """
    fits = comparison.fits
    lines = [
        f"alike      the data cannot tell {fits[first].name} and {fits[second].name} apart: the first fits better in"
        f" {100 * comparison.better[first, second]:.1f} % of the resamples, less than 95 %"
        for first, second in comparison.indistinguishable[:_MOST_PAIRS]
    ]
    if len(comparison.indistinguishable) > _MOST_PAIRS:
        lines.append(f"alike      and {len(comparison.indistinguishable) - _MOST_PAIRS} more pairs")
    lines.append(_judge(fits[0], len(fits)))
    if better is not None:
        radiation, fit = better
        name = shown_radiation(radiation)
        advice = f"add --radiation {radiation}"
        if radiation == "xray":
            advice = f"omit --radiation {scattering.radiation}"
        lines.append(
            f"           note: {fit.name} with the factors of {name} has wR2 {100 * fit.wr2:.1f} % instead of"
            f" {100 * fits[0].wr2:.1f} %; was the plane measured with {name}? Then {advice}"
        )
    return lines


def _judge(best: Fit, count: int) -> str:
    reached = f"wR2 of the best model is {100 * best.wr2:.1f} %"
    if best.explains is None:
        return f"fit        {reached}; the form factor has no sigma, so what a perfect model would reach is not known"
    reached += f", noise alone would give a perfect one {100 * best.noise_wr2:.1f} %"
    if best.explains:
        return f"fit        {reached}: the model explains the form factor"
    reached += f" and up to {100 * best.allowed_wr2:.1f} % is allowed"
    if count == 1:
        return f"fit        {reached}: the model does not fit"
    return (
        f"fit        {reached}: no model fits, so the ranking says which is least wrong, not which is right"
    )


def describe_hydrogen(pairs: Sequence[ModelPair], scattering: Scattering) -> str:
    """Return a phrase on the hydrogen of the models, which files of structures often leave out.

    Args:
        pairs: the models.
        scattering: the radiation.
    """
    names = [name for pair in pairs for each in (pair.first, pair.second) for name in each.elements]
    count = sum(parse_species(name)[0] in ("H", "D") for name in names)
    strong = scattering.radiation != "xray"
    if count:
        return f"{count} of {len(names)} atoms are hydrogen and count with their own factor"
    if not any(parse_species(name)[0] == "C" for name in names):
        return "no hydrogen"
    if strong:
        return (
            "no hydrogen is in the files, and none is added; it scatters"
            f" {shown_radiation(scattering.radiation)} as strongly as other atoms, so add it if there is any"
        )
    return "no hydrogen is in the files, and none is added"
