"""What is reported of a configuration: its alphas beside those wanted, as text, JSON and CSV."""

import csv
import math
from collections.abc import Iterator
from io import StringIO
from typing import Any

import numpy as np

from dsfunet.analysis.configuration.order import AIM, Configuration
from dsfunet.analysis.configuration.wanted import WantedAlpha
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.physics.centring import Vector, denominator_of, vector_of

_FEW = 0.005
"""Share of accepted exchanges below which sites hardly move."""


def as_table(configuration: Configuration) -> str:
    """Return the alphas wanted and found as text, one line for each orbit."""
    width = max(9, *(len(alpha.name) for alpha in configuration.wanted.alphas))
    lines = [
        f"{'vector':>{width}}  {'equivalents':>11}  {'length/Å':>8}  {'wanted':>11}  {'found':>8}  {'off by':>12}"
    ]
    for alpha, length, own, _ in _rows(configuration):
        deviation = (own - alpha.value) / alpha.standard_uncertainty
        off = f"{deviation:+.2f} s.u." if math.isfinite(deviation) else f"{own - alpha.value:+.4f}"
        wanted = with_uncertainty(alpha.value, alpha.standard_uncertainty)
        lines.append(
            f"{alpha.name:>{width}}  {len(alpha.numerators):>11}  {length:8.3f}  {wanted:>11}  {own:8.4f}  {off:>12}"
        )
    return "\n".join(lines)


def outcome_lines(configuration: Configuration) -> list[str]:
    """Return the lines of text on how the run ended and, if the alphas were not met, why and by how much."""
    lines = [f"chi        {_shown(chi_of(configuration))} (root-mean-square of the deviations in s.u.)"]
    if configuration.ordered:
        lines.append(
            f"sweeps     {configuration.sweeps}; while the sites were mixed,"
            f" {100 * configuration.accepted:.1f} % of the exchanges were accepted"
        )
    return lines + [f"           note: {note}" for note in notes_on(configuration)]


def notes_on(configuration: Configuration) -> list[str]:
    """Return sentences that qualify a configuration."""
    notes = list(configuration.wanted.notes)
    known = configuration.wanted.uncertainties
    wider = configuration.sigmas[np.isfinite(known)] / known[np.isfinite(known)]
    if wider.size and 2 * AIM * wider.max() > 1:
        notes.append(
            f"{len(configuration.occupation)} sites are too few: a single pair changes an alpha by more than its"
            " standard uncertainty; choose more cells"
        )
    if configuration.ordered and configuration.accepted < _FEW:
        notes.append(
            f"only {100 * configuration.accepted:.2g} % of the exchanges were accepted while the sites were mixed, so"
            " the configuration still remembers how it was ordered; compare several seeds"
        )
    if configuration.is_met:
        return notes
    worst = int(np.abs((configuration.alphas - configuration.wanted.values) / configuration.sigmas).argmax())
    far = configuration.wanted.alphas[worst]
    notes.append(
        f"the alphas were not met: after {configuration.sweeps} sweeps {far.name} is {configuration.alphas[worst]:.4f}"
        f" instead of {far.value:.4f}, the farthest in s.u."
    )
    if not configuration.is_possible:
        excluded = int(
            np.abs((configuration.possible - configuration.wanted.values) / configuration.sigmas).argmax()
        )
        alpha = configuration.wanted.alphas[excluded]
        notes.append(
            "no configuration has these alphas, because I_SRO would be negative or a species would have more neighbours"
            f" than there are: the nearest possible ones are off by chi = {_shown(configuration.chi_possible)}, with"
            f" {configuration.possible[excluded]:.4f} instead of {alpha.value:.4f} for {alpha.name}"
        )
    else:
        notes.append(
            "a non-negative I_SRO with these alphas exists, but no configuration was found; try --sweeps"
            f" {10 * max(15, configuration.sweeps // 10)}, another seed or another concentration"
        )
    return notes


def chi_of(configuration: Configuration) -> float:
    """Return the root-mean-square deviation in standard uncertainties, of the alphas that have one; NaN if none has."""
    deviations = (configuration.alphas - configuration.wanted.values) / configuration.wanted.uncertainties
    known = deviations[np.isfinite(deviations)]
    return float(np.sqrt(np.mean(known**2))) if known.size else math.nan


def as_record(
    configuration: Configuration, source: str, species: tuple[str, str], model: str
) -> dict[str, Any]:
    """Return everything as the content of a JSON file, with None where there is no finite number.

    Args:
        configuration: to report.
        source: name of the file with the wanted alphas.
        species: A and B, as the user named them.
        model: name of the model file.
    """
    cell = configuration.supercell.cell
    return {
        "program": "dsfunet configuration",
        "source": source,
        "model": model,
        "species": dict(zip("AB", species, strict=True)),
        "cell": dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell.parameters, strict=True)),
        "centring": cell.centring,
        "laue": configuration.wanted.laue or None,
        "cells": list(configuration.supercell.cells),
        "sites": len(configuration.occupation),
        "concentration": configuration.share_a,
        "seed": configuration.seed,
        "sweeps": configuration.sweeps,
        "accepted_share": configuration.accepted,
        "met": configuration.is_met,
        "chi": _finite(chi_of(configuration)),
        "possible": configuration.is_possible,
        "chi_of_nearest_possible": configuration.chi_possible,
        "notes": notes_on(configuration),
        "alphas": [
            {
                "vector": _written(alpha.vector),
                "equivalents": [
                    _written(vector_of(each, denominator_of(cell.centring)))
                    for each in alpha.numerators.tolist()
                ],
                "length_angstrom": length,
                "wanted": alpha.value,
                "standard_uncertainty": _finite(alpha.standard_uncertainty),
                "value": own,
                "spread_of_equivalents": spread,
            }
            for alpha, length, own, spread in _rows(configuration)
        ],
    }


def as_csv(configuration: Configuration) -> str:
    """Return the alphas wanted and found as CSV, one line for each orbit."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            "i",
            "j",
            "k",
            "equivalents",
            "length_angstrom",
            "wanted",
            "standard_uncertainty",
            "value",
            "spread_of_equivalents",
        ]
    )
    for alpha, length, own, spread in _rows(configuration):
        sigma = alpha.standard_uncertainty
        writer.writerow(
            [
                *_written(alpha.vector),
                len(alpha.numerators),
                f"{length:.6g}",
                f"{alpha.value:.8g}",
                f"{sigma:.8g}" if math.isfinite(sigma) else "",
                f"{own:.8g}",
                f"{spread:.4g}",
            ]
        )
    return stream.getvalue()


def _rows(configuration: Configuration) -> Iterator[tuple[WantedAlpha, float, float, float]]:
    """Yield the wanted alpha, the length [Angstrom], the alpha found and its spread over the vectors of each orbit."""
    cell = configuration.supercell.cell
    for alpha, own, spread in zip(
        configuration.wanted.alphas,
        configuration.alphas.tolist(),
        configuration.spreads.tolist(),
        strict=True,
    ):
        length = float(np.linalg.norm(np.array(list(map(float, alpha.vector))) @ cell.direct))
        yield alpha, length, own, spread


def _written(vector: Vector) -> list[int | str]:
    return [each if isinstance(each, int) else str(each) for each in vector]


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _shown(number: float) -> str:
    return f"{number:.2f}" if math.isfinite(number) else "unknown"
