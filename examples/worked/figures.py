"""Draw the figures of the page: planes, errors of the correlations, pulls and the torsion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dsfunet.analysis.models.scan import Scan
from dsfunet.io import Result
from dsfunet.plotting.result import Panel, draw_panels, intensity_scale
from examples.worked.crystals import TERT_BUTYL_DEG, Crystal
from examples.worked.recovery import METHODS, SPECIES_KNOWN, Pulls, Trial, normalise_truth, select_components

_COLOURS = dict(zip(METHODS, ("tab:red", "tab:grey", "tab:orange", "tab:blue", "tab:green"), strict=True))
_DRAWN = ("default", "lattice, I_SRO", "lattice, measured", SPECIES_KNOWN)
_LABELS = {
    "default": "default: measured plane over the networks' $I_{FF}$",
    "lattice, I_SRO": "$I_{SRO}$ of lattice mode",
    "lattice, measured": "measured plane over $I_{FF}$ of lattice mode",
    SPECIES_KNOWN: "measured plane over $I_{FF}$ of the species",
}


def draw_planes(crystal: Crystal, result: Result) -> Figure:
    """Draw the measured plane, the true I_FF, and I_FF from the networks alone and from lattice mode, on one scale."""
    true = normalise_truth(crystal.form_factor, result)
    scale = intensity_scale(true)
    panels = [
        Panel("Measured (counts)", result.input, intensity_scale(result.input)),
        Panel("$I_{FF}$ put in", true, scale),
        Panel("$I_{FF}$, networks alone", select_components(result, crystal, "networks").form_factor, scale),
        Panel("$I_{FF}$, lattice mode", select_components(result, crystal, "lattice").form_factor, scale),
    ]
    return draw_panels(result, panels, f"{crystal.title}, plane {crystal.plane}")


def draw_alphas(crystals: Sequence[Crystal], pulls: Mapping[str, Mapping[str, Pulls]]) -> Figure:
    """Draw the errors of the refined alphas, averaged over seeds, for each crystal; bars are mean uncertainties."""
    figure, panels = _row(crystals)
    for crystal, axes in zip(crystals, panels, strict=True):
        for number, method in enumerate(_DRAWN):
            one = pulls[crystal.name][method]
            index = np.arange(len(one.truth)) + 0.2 * (number - 1.5)
            style: dict[str, Any] = {"color": _COLOURS[method], "markersize": 4, "capsize": 2, "linewidth": 1}
            axes.errorbar(
                index, one.mean - one.truth, one.uncertainty, fmt="o", label=_LABELS[method], **style
            )
        axes.axhline(0.0, color="0.4", linewidth=0.8)
        _name_parameters(axes, crystal)
    panels[0].set_ylabel(r"$\alpha$ found $-$ put in")
    figure.legend(
        *panels[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=len(_DRAWN)
    )
    figure.suptitle("Mean over seeds; bars: mean standard uncertainty given by the refinement", fontsize=11)
    return figure


def draw_pulls(crystals: Sequence[Crystal], trials: Mapping[str, Sequence[Trial]]) -> Figure:
    """Draw the pulls of all seeds for each crystal; the grey band covers two standard uncertainties."""
    figure, panels = _row(crystals)
    for crystal, axes in zip(crystals, panels, strict=True):
        axes.axhspan(-2, 2, color="0.9", zorder=0)
        for number, method in enumerate(_DRAWN):
            alphas = np.array([trial.alphas[method] for trial in trials[crystal.name]])
            errors = np.array([trial.uncertainties[method] for trial in trials[crystal.name]])
            pulls = ((alphas - crystal.refined_truth) / errors)[np.isfinite(alphas).all(axis=1)]
            jitter = np.random.default_rng(number).uniform(-0.06, 0.06, pulls.shape)
            index = np.arange(pulls.shape[1]) + 0.22 * (number - 1.5) + jitter
            axes.plot(index, pulls, ".", color=_COLOURS[method], markersize=2.5, alpha=0.7)
            axes.plot([], [], "o", color=_COLOURS[method], markersize=4, label=_LABELS[method])
        axes.set_yscale("symlog", linthresh=4)
        axes.set_yticks([-100, -30, -10, -4, -2, 0, 2, 4, 10, 30, 100], minor=False)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        _name_parameters(axes, crystal)
    panels[0].set_ylabel("pull = (found $-$ put in) / s.u.")
    figure.legend(
        *panels[0].get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=len(_DRAWN)
    )
    figure.suptitle("One point a seed of counting noise; 95 % should lie in the grey band", fontsize=11)
    return figure


def draw_torsion(curves: Mapping[str, Scan], trials: Sequence[Trial]) -> Figure:
    """Draw the misfit against the tert-butyl angle, and the minima of all seeds."""
    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(1, 2, 1)
    for name, scan in curves.items():
        [line] = axes.plot(scan.angles_deg, scan.misfits, "o-", markersize=3, linewidth=1.1, label=name)
        axes.fill_between(scan.angles_deg, *scan.intervals.T, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axvline(TERT_BUTYL_DEG, color="0.4", linestyle="--", linewidth=0.9)
    axes.set_xlabel("turn of the tert-butyl groups about N$-$C (°)")
    axes.set_ylabel("misfit (mean square error of $2\\sqrt{I_{FF}} - 1$)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    axes = figure.add_subplot(1, 2, 2)
    angles = np.array([trial.torsion_deg for trial in trials])
    errors = np.array([trial.torsion_su_deg for trial in trials])
    found = np.isfinite(angles)
    seeds = np.flatnonzero(found)
    axes.errorbar(seeds, angles[found], errors[found], fmt="o", markersize=4, capsize=2, linewidth=1)
    axes.axhline(TERT_BUTYL_DEG, color="0.4", linestyle="--", linewidth=0.9, label="put in")
    axes.set_xlabel("seed of the counting noise")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("minimum in lattice mode, with its s.u. (°)")
    axes.legend(fontsize=8)
    return figure


def _row(crystals: Sequence[Crystal]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.2 * len(crystals), 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = []
    for number, crystal in enumerate(crystals):
        axes = figure.add_subplot(1, len(crystals), number + 1)
        axes.set_title(f"{crystal.title.split(':')[0]}, {crystal.plane}", fontsize=9)
        panels.append(axes)
    return figure, panels


def _name_parameters(axes: Axes, crystal: Crystal) -> None:
    axes.set_xticks(range(len(crystal.orbits)), [orbit.name for orbit in crystal.orbits], fontsize=8)
    axes.set_xlabel("lattice vector of the orbit")
