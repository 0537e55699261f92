"""What was put in and what came out, as Markdown and as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsfunet.analysis.numbers import with_uncertainty
from dsfunet.analysis.refinement_data import FitTo
from examples.worked.crystals import TORSION_DEG
from examples.worked.recovery import Recovery
from examples.worked.torsion import TorsionFound

Recoveries = Mapping[FitTo, Recovery]


def as_markdown(crystals: Sequence[Recoveries], torsion: TorsionFound, weights: str) -> str:
    """The report, one section a crystal."""
    lines = [
        "# Worked examples",
        "",
        "Written by `python -m examples.worked`. Found: of noise seed 0, its standard uncertainty in brackets. Bias",
        "and deviation: of (found - put in) / uncertainty over all noise seeds; honest error bars have 0 and 1.",
        "",
        f"Weights: {weights}.",
    ]
    for recoveries in crystals:
        first = next(iter(recoveries.values()))
        crystal = first.crystal
        form_factor, order = first.errors
        missing = 1 - np.mean([layer.mask.mean() for layer in crystal.layers])
        lines += [
            "",
            f"## {crystal.title}",
            "",
            f"{crystal.counts:g} counts in the brightest pixel, {100 * missing:.0f} % of the pixels missing,"
            f" {len(first.found)} noise seeds; lattice mode accepted {100 * first.lattice_used:.0f} % of the planes."
            f" Mean squared errors where measured, in spread space: {form_factor:.4f} (I_FF), {order:.4f} (I_SRO).",
            "",
            "| vector | put in |"
            + "".join(f" fitted to {fit}: found | bias | deviation |" for fit in recoveries),
            "|---|---|" + "---|---|---|" * len(recoveries),
        ]
        for number, (vector, alpha) in enumerate(crystal.alphas.items()):
            cells = [f"[{' '.join(map(str, vector))}]", f"{alpha:g}"]
            for recovery in recoveries.values():
                pulls = recovery.pulls[:, number]
                found = with_uncertainty(recovery.found[0, number], recovery.uncertainty[0, number])
                cells += [found, f"{pulls.mean():+.2f}", f"{pulls.std(ddof=1):.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        for fit, recovery in recoveries.items():
            rms = np.sqrt(np.mean((recovery.found - recovery.true) ** 2))
            lines.append(
                f"Fitted to {fit}: {100 * recovery.coverage:.0f} % within one standard uncertainty (honest: 68 %), root"
                f" mean square error of the alphas {rms:.4f}."
            )
    lines += ["", "## Torsion of the tert-butyl groups", ""]
    if torsion.scan.minima:
        places = ", ".join(
            f"{with_uncertainty(each.angle_deg, each.su_deg)}° (deepest in {100 * each.lowest:.0f} % of resamples)"
            for each in torsion.scan.minima
        )
        lines.append(f"Put in: {TORSION_DEG:g}°. Minima of the misfit: {places}.")
    else:
        lines.append(f"Put in: {TORSION_DEG:g}°. The misfit has no minimum within the range.")
    return "\n".join([*lines, ""])


def as_plain(crystals: Sequence[Recoveries], torsion: TorsionFound, weights: str) -> dict[str, Any]:
    """All numbers of the report, for JSON."""
    return {
        "weights_sha256": weights,
        "crystals": {
            next(iter(recoveries.values())).crystal.name: {
                fit: {
                    "vectors": [list(vector) for vector in recovery.crystal.alphas],
                    "put_in": recovery.true.tolist(),
                    "found": recovery.found.tolist(),
                    "standard_uncertainty": recovery.uncertainty.tolist(),
                    "within_one": recovery.coverage,
                    "lattice_used": recovery.lattice_used,
                    "mse_form_factor": recovery.errors[0],
                    "mse_short_range_order": recovery.errors[1],
                }
                for fit, recovery in recoveries.items()
            }
            for recoveries in crystals
        },
        "torsion": {
            "put_in_deg": TORSION_DEG,
            "angles_deg": torsion.scan.angles_deg.tolist(),
            "misfit": torsion.scan.misfits.tolist(),
            "minima": [
                {"angle_deg": each.angle_deg, "su_deg": each.su_deg, "lowest_share": each.lowest}
                for each in torsion.scan.minima
            ],
        },
    }
