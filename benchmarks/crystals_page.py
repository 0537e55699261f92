"""The page of `benchmarks.crystals`: what each plane gave, as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.crystal_seeds import SeedRow, list_table
from dsfunet._typing import Array
from dsfunet.environment import describe_machine
from dsfunet.lattice.joint_fit import JointFit

VECTORS = 6
"""Most vectors of a plane in a table."""


@dataclass(frozen=True)
class Row:
    """What one plane gave.

    Attributes:
        name: of the crystal and what was measured.
        fit: the joint fit.
        centring: that the plane was found to have.
        verdict: level and first reason.
        seconds: processor time.
        values: vector, truth, found value and its standard uncertainty.
        by_networks: the same with the form factor of the networks, of the shortest vectors.
        covered: shares of measured pixels with F and with I_SRO within one and two standard uncertainties; None if
            unknown.
    """

    name: str
    fit: JointFit
    centring: str
    verdict: str
    seconds: float
    values: tuple[tuple[str, float, float, float], ...]
    by_networks: tuple[tuple[str, float, float, float], ...] = ()
    covered: tuple[float, ...] | None = None

    @property
    def pulls(self) -> Array:
        """Errors in units of their standard uncertainties."""
        return np.array([(found - truth) / sigma for _, truth, found, sigma in self.values])


def tables(rows: Sequence[Row]) -> list[str]:
    """Format planes as two Markdown tables: one line a plane, and one line a plane with its values."""
    covers = any(row.covered for row in rows)
    lines = [
        "| plane | verdict | centring | harmonics | time [s] | chi-squared | rms pull | largest error"
        + (" | I_FF within 1, 2 | I_SRO within 1, 2 |" if covers else " |"),
        "|---|---|---|---|---|---|---|---|" + ("---|---|" if covers else ""),
    ]
    for row in rows:
        worst = max((abs(found - truth) for _, truth, found, _ in row.values), default=np.nan)
        cells = [
            row.name,
            row.verdict,
            row.centring,
            f"{row.fit.harmonics.count}",
            f"{row.seconds:.1f}",
            f"{row.fit.chi_squared:.3f}",
            f"{np.sqrt(np.mean(row.pulls**2)):.2f}" if row.values else "-",
            f"{worst:.4f}",
        ]
        if row.covered:
            shares = [f"{100 * share:.0f} %" for share in row.covered]
            cells += [", ".join(shares[:2]), ", ".join(shares[2:])]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| plane | vector: truth / found (s.u.) | with the networks' form factor |",
        "|---|---|---|",
    ]
    for row in rows:
        texts = [
            "; ".join(
                f"{vector}: {truth:.4f} / {_with_uncertainty(found, sigma)}"
                for vector, truth, found, sigma in values[:VECTORS]
            )
            for values in (row.values, row.by_networks)
        ]
        lines.append(f"| {row.name} | {texts[0]} | {texts[1] or '-'} |")
    return lines


def _with_uncertainty(value: float, sigma: float) -> str:
    """Return a value with its uncertainty in the last digits: -0.2254(3)."""
    return f"{value:.4f}({max(round(1e4 * sigma), 1)})"


def page(own: Sequence[Row], shared: Sequence[Row], seeds: Sequence[SeedRow] = ()) -> list[str]:
    """Format all results as a page."""
    lines = [
        "# Virtual crystals",
        "",
        "`python -m benchmarks.crystals`: single planes through `factorize_plane` with default options, without a"
        f" structure and without a centring ({describe_machine()}; processor time on one core). The crystals come from"
        " a second forward model that shares no code with the product: explicit sites ordered by Monte Carlo with pair"
        " energies, scattering of explicit atoms, Poisson counts with 2,000 in the brightest pixel unless a line says"
        " otherwise. Seeds are fixed. The correlations are those of the layer on its own scale. *rms pull*: root mean"
        " square of errors over standard uncertainties, of the shortest vectors. *within 1, 2*: shares of measured"
        " pixels within one and two standard uncertainties of the truth. The last column is what `refine` gives with"
        " the form factor of the networks.",
        "",
        "The errors of the shortest vectors of one plane go together where the form factor limits them, so a pull of 2"
        " in one line is no surprise; many crystals together show whether they are as large as stated (below).",
        "",
        *tables(own),
    ]
    if seeds:
        lines += [
            "",
            "## Many crystals",
            "",
            "Joint fits alone, without a centring, as above. Every seed has its own crystal and its own noise; every"
            " third plane of a crystal is complete, has 29 % missing, or 20 counts. Errors and pulls are those of the"
            " six shortest vectors, shares those of measured pixels.",
            "",
            *list_table(list(seeds)),
        ]
    if shared:
        lines += [
            "",
            "## A shared set of crystals",
            "",
            "Planes made by a third forward model (`--shared FOLDER`). Some of them hold what no lattice explains: a"
            " background, Bragg peaks, a twin, a size effect, two sites in a cell, or a resolution wider than the"
            " pixels; their names say so, and chi-squared or the values show it.",
            "",
            *tables(shared),
        ]
    return lines
