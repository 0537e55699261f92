"""Joint fits of many virtual crystals, whose errors are averaged: every seed has its own crystal and its own noise."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array
from dsfunet.factorize.lattice_model import fit_lattice
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.physics import Cell
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid
from dsfunet.planes.names import PlaneName
from tests.virtual_crystals import CRYSTALS, PLANE_CRYSTALS, Plane, correlate, measure

CASES: dict[str, dict[str, float | bool]] = {
    "complete": {},
    "29 % missing": {"missing": True},
    "20 counts": {"brightest": 20.0},
}
REACH = {"molecule": 7.0}
AXES = {"molecule": (0, 2)}
_VECTORS = 6


@dataclass(frozen=True)
class SeedRow:
    """What the joint fits of some planes gave.

    Attributes:
        name: of the crystal, or of what was measured.
        planes: their number.
        right: how many have the centring of the crystal.
        errors: of the correlations of the shortest vectors of all planes, shape (k,).
        sigmas: their standard uncertainties, shape (k,).
        covered: shares of measured pixels with F and with I_SRO within one and two standard uncertainties, shape (4,).
    """

    name: str
    planes: int
    right: int
    errors: Array
    sigmas: Array
    covered: Array

    @property
    def rms_pull(self) -> float:
        """Root mean square of errors over standard uncertainties."""
        return float(np.sqrt(np.mean((self.errors / self.sigmas) ** 2)))


def measure_plane(name: str, case: str, seed: int = 0) -> tuple[Plane, MeasuredPlane, PlaneGrid]:
    """Return a plane of a crystal with its truth, and the same as the product reads it.

    Args:
        name: of the crystal.
        case: one of `CASES`.
        seed: of the crystal and of the noise.
    """
    axes = AXES.get(name, (0, 1))
    a, b, c, beta = CRYSTALS[name].cell
    options = {"axes": axes, "reach": REACH.get(name, 4.2), "step": 1 / 24, **CASES[case]}
    plane = measure(name, seed, crystal_seed=seed, **options)  # type: ignore[arg-type]
    grid = PlaneGrid(Cell(a, b, c, 90, beta, 90), PlaneName(axes, plane.offset), plane.rows, plane.columns)
    counts = np.where(plane.mask, plane.counts, np.nan).astype(np.float64)
    return plane, MeasuredPlane(counts, grid), grid


def fit_seeds(seeds: int) -> list[SeedRow]:
    """Fit one plane of every crystal for each seed, with the cases by turns; a row a crystal and a row a case."""
    rows = [row for name in PLANE_CRYSTALS for row in _fit_planes(name, seeds)]
    return [
        *(_join(name, [row for crystal, _, row in rows if crystal == name]) for name in PLANE_CRYSTALS),
        *(_join(case, [row for _, of_case, row in rows if of_case == case]) for case in CASES),
        _join("all", [row for *_, row in rows]),
    ]


def _fit_planes(name: str, seeds: int) -> Iterator[tuple[str, str, SeedRow]]:
    axes = AXES.get(name, (0, 1))
    for seed in range(seeds):
        case = list(CASES)[seed % len(CASES)]
        plane, measured, grid = measure_plane(name, case, seed)
        model = fit_lattice(
            np.where(plane.mask, plane.counts, 0.0), plane.mask, grid, measured, FactorizeSettings()
        )
        fit = model.fit
        halves = np.round(2 * fit.harmonics.indices[:_VECTORS]).astype(int).tolist()
        truths = [correlate(name, seed).layer_value((u, v), axes, plane.offset) for u, v in halves]
        found, sigmas = fit.alphas[:_VECTORS], fit.alpha_sigmas[:_VECTORS]
        covered = []
        for values, sigma, truth in (
            (fit.form_factor, fit.form_factor_sigma, plane.form_factor),
            (fit.short_range_order, fit.short_range_order_sigma, plane.order),
        ):
            away = np.abs(values - truth)[plane.mask] / sigma[plane.mask]
            covered += [float(np.mean(away < 1)), float(np.mean(away < 2))]
        right = model.centring == CRYSTALS[name].centring
        print(f"{name}, {case}, seed {seed}", file=sys.stderr)
        yield name, case, SeedRow(name, 1, int(right), found - np.array(truths), sigmas, np.array(covered))


def _join(name: str, rows: list[SeedRow]) -> SeedRow:
    """Return one row for all of some rows."""
    if not rows:
        return SeedRow(name, 0, 0, np.full(1, np.nan), np.ones(1), np.full(4, np.nan))
    return SeedRow(
        name,
        sum(row.planes for row in rows),
        sum(row.right for row in rows),
        np.concatenate([row.errors for row in rows]),
        np.concatenate([row.sigmas for row in rows]),
        np.mean([row.covered for row in rows], axis=0),
    )


def list_table(rows: list[SeedRow]) -> list[str]:
    """Format rows as a Markdown table."""
    lines = [
        "| crystals | planes | right centring | rms pull | rms error | largest error | I_FF within 1, 2"
        " | I_SRO within 1, 2 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = [f"{100 * share:.0f} %" for share in row.covered]
        cells = [
            row.name,
            f"{row.planes}",
            f"{row.right}",
            f"{row.rms_pull:.2f}",
            f"{np.sqrt(np.mean(row.errors**2)):.4f}",
            f"{np.abs(row.errors).max():.4f}",
            ", ".join(shares[:2]),
            ", ".join(shares[2:]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines
