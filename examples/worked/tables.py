"""The numbers of the page: records for JSON, and tables in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dsfunet import Factorizer
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.models.fit import compare_models
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.scan import Scan
from dsfunet.analysis.refinement.data import prepare_data
from dsfunet.analysis.refinement.fit import refine
from dsfunet.analysis.refinement.zones import zones_of
from dsfunet.errors import InputError
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.io import PlaneName, Result
from dsfunet.physics import MAX_INDEX
from dsfunet.physics.symmetry import orbits_of, symmetric_metric
from examples.worked.crystals import TERT_BUTYL_DEG, UNDETERMINED_IN_COPPER_GOLD, Crystal
from examples.worked.recovery import (
    EXCLUDE_BELOW,
    METHODS,
    Pulls,
    Trial,
    normalise_truth,
    refine_species_known,
    select_components,
)

Record = dict[str, Any]
PullsOf = Mapping[str, Mapping[str, Pulls]]


def component_errors(crystal: Crystal, result: Result) -> dict[str, dict[str, float]]:
    """Return the mean squared errors in spread space over the measured pixels, by source and component."""
    errors = {}
    for source in ("networks", "lattice"):
        found = select_components(result, crystal, source)
        pairs = {
            "I_FF": (found.form_factor, crystal.form_factor),
            "I_SRO": (found.short_range_order, crystal.short_range_order),
        }
        errors[source] = {
            name: float(
                4 * np.nanmean((np.sqrt(one) - np.sqrt(normalise_truth(true, result)))[result.mask] ** 2)
            )
            for name, (one, true) in pairs.items()
        }
    return errors


def pulls_record(pulls: PullsOf, crystals: Sequence[Crystal]) -> Record:
    """Return all statistics of the pulls, by crystal, method and parameter."""
    return {
        crystal.name: {
            method: {
                "failed": one.failed,
                "within_two": one.within_two,
                "parameters": {
                    orbit.name: {
                        name: float(getattr(one, name)[index])
                        for name in (
                            "truth",
                            "mean",
                            "scatter",
                            "uncertainty",
                            "pull_mean",
                            "pull_deviation",
                            "pull_rms",
                        )
                    }
                    for index, orbit in enumerate(crystal.orbits)
                },
            }
            for method, one in pulls[crystal.name].items()
        }
        for crystal in crystals
    }


def alphas_table(crystal: Crystal, pulls: Mapping[str, Pulls]) -> str:
    """Format the true alphas, and those found by each method with their mean uncertainty."""
    lines = [f"| vector | put in | {' | '.join(METHODS)} |", f"|---|---|{'---|' * len(METHODS)}"]
    for index, orbit in enumerate(crystal.orbits):
        found = [
            with_uncertainty(float(pulls[method].mean[index]), float(pulls[method].uncertainty[index]))
            for method in METHODS
        ]
        lines.append(f"| {orbit.name} | {crystal.refined_truth[index]:.4g} | {' | '.join(found)} |")
    return _with_minus("\n".join(lines))


def pulls_table(crystals: Sequence[Crystal], pulls: PullsOf) -> str:
    """Format, over all parameters of a crystal, the largest mean pull, deviation, rms and share within two s.u."""
    lines = [
        "| crystal | method | mean pull (largest) | standard deviation over seeds | rms | within 2 s.u. |",
        "|---|---|---|---|---|---|",
    ]
    for crystal in crystals:
        for method, one in pulls[crystal.name].items():
            within = f"{100 * one.within_two:.0f} %"
            largest = one.pull_mean[np.argmax(np.abs(one.pull_mean))]
            deviation = np.sqrt(np.mean(one.pull_deviation**2))
            rms = np.sqrt(np.mean(one.pull_rms**2))
            lines.append(
                f"| {crystal.name} | {method} | {largest:+.1f} | {deviation:.2f} | {rms:.1f} | {within} |"
            )
    return _with_minus("\n".join(lines))


def components_table(
    crystals: Sequence[Crystal], errors: Mapping[str, Any], trials: Mapping[str, Any]
) -> str:
    """Format the errors of both components for seed 0, and how often lattice mode was accepted."""
    lines = [
        "| crystal | missing | lattice mode accepted | networks: I_FF | I_SRO | lattice: I_FF | I_SRO |",
        "|---|---|---|---|---|---|---|",
    ]
    for crystal in crystals:
        one = errors[crystal.name]
        accepted = sum(trial.lattice_mode_accepted for trial in trials[crystal.name])
        numbers = [one[source][part] for source in ("networks", "lattice") for part in ("I_FF", "I_SRO")]
        lines.append(
            f"| {crystal.name} | {100 * (1 - crystal.mask.mean()):.0f} % | {accepted} of {len(trials[crystal.name])} | "
            + " | ".join(f"{number:.4f}" for number in numbers)
            + " |"
        )
    return "\n".join(lines)


def torsion_table(curves: Mapping[str, Scan], record: Record) -> str:
    """Format the minima of each curve, B at the best angle, and a line on the minima over seeds."""
    lines = ["| I_FF | minimum (°) | misfit | B (Å²) |", "|---|---|---|---|"]
    for name, scan in curves.items():
        best = scan.best
        b = with_uncertainty(best.debye_waller_b_angstrom2, best.debye_waller_b_su)
        for minimum in scan.minima:
            angle = with_uncertainty(minimum.angle_deg, minimum.su_deg)
            lines.append(f"| {name} | {angle} | {minimum.misfit:.5f} | {b} |")
    lines += [
        "",
        f"Lattice mode, {record['seeds']} seeds: mean {record['mean_deg']:.2f}°, scatter {record['scatter_deg']:.2f}°,"
        f" mean s.u. {record['mean_su_deg']:.2f}°; pulls of mean {record['pull_mean']:+.2f} and standard deviation"
        f" {record['pull_deviation']:.2f}.",
    ]
    return _with_minus("\n".join(lines))


def torsion_record(curves: Mapping[str, Scan], trials: Sequence[Trial]) -> Record:
    """Return the curves with their minima, and the minima over seeds with their pulls."""
    angles = np.array([trial.torsion_deg for trial in trials])
    errors = np.array([trial.torsion_su_deg for trial in trials])
    found = np.isfinite(angles)
    pulls = (angles[found] - TERT_BUTYL_DEG) / errors[found]
    return {
        "put_in_deg": TERT_BUTYL_DEG,
        "curves": {
            name: {
                "angles_deg": scan.angles_deg.tolist(),
                "misfits": scan.misfits.tolist(),
                "minima": [
                    {
                        "angle_deg": each.angle_deg,
                        "su_deg": each.su_deg,
                        "misfit": each.misfit,
                        "lowest": each.lowest,
                    }
                    for each in scan.minima
                ],
                "debye_waller_b_angstrom2": scan.best.debye_waller_b_angstrom2,
                "debye_waller_b_su": scan.best.debye_waller_b_su,
            }
            for name, scan in curves.items()
        },
        "seeds": int(found.sum()),
        "mean_deg": float(angles[found].mean()),
        "scatter_deg": float(angles[found].std(ddof=1)),
        "mean_su_deg": float(errors[found].mean()),
        "pull_mean": float(pulls.mean()),
        "pull_deviation": float(pulls.std(ddof=1)),
        "pull_rms": float(np.sqrt((pulls**2).mean())),
    }


def single_plane_record(crystal: Crystal, result: Result, factorizer: Factorizer) -> Record:
    """Return what one plane of this crystal cannot determine, and what two planes together give.

    `refused` is the error message for too many vectors out of the plane. `in_plane` has, for vectors in the plane, the
    true alpha and the value that a refinement in the plane gives. `joint` has the results of refining this plane
    together with another one, by the default method and with the species known, with standard uncertainties.
    """
    rotations, metric = crystal.rotations, symmetric_metric(crystal.cell, crystal.laue)
    vectors = list(crystal.alphas_put_in)
    if crystal.shells is None:
        vectors.append(UNDETERMINED_IN_COPPER_GOLD)
    orbits = orbits_of(vectors, rotations, metric)
    # Use l = 1/4: with l = 0 and 1/2 alone, steps of two along the normal look like no step.
    other = replace(crystal, plane=PlaneName(crystal.plane.axes, 0.25))
    given = [
        (one, each, zones_of(one.grid, rotations))
        for one, each in (
            (crystal, result),
            (other, factorize_plane(other.measured(0), factorizer=factorizer).result),
        )
    ]
    planes = [prepare_data(each, one.grid, zones, EXCLUDE_BELOW) for one, each, zones in given]
    try:
        refine(planes[:1], orbits)
    except InputError as error:
        refused = str(error)
    else:
        refused = "found"
    joint, known = refine(planes, orbits), refine_species_known(given, orbits)
    sums = crystal.sums_along_normal / crystal.sums_along_normal[MAX_INDEX, MAX_INDEX]
    return {
        "refused": refused,
        "planes": [str(crystal.plane), str(other.plane)],
        "in_plane": {
            f"{i} {j} 0": {
                "alpha": float(crystal.alphas[i + MAX_INDEX, j + MAX_INDEX, MAX_INDEX]),
                "of_the_plane": float(sums[i + MAX_INDEX, j + MAX_INDEX]),
            }
            for i, j in ((1, 0), (1, 1), (2, 0), (2, 1))
        },
        "joint": {
            orbit.name: {
                "alpha": float(crystal.alphas_put_in.get(vector, 0.0)),
                "found": float(joint.alphas[index]),
                "su": float(joint.uncertainties[index]),
                "species_known": float(known.alphas[index]),
                "species_known_su": float(known.uncertainties[index]),
            }
            for index, (vector, orbit) in enumerate(zip(vectors, orbits, strict=True))
        },
    }


def single_plane_table(crystals: Sequence[Crystal], records: Mapping[str, Record]) -> str:
    """Format the true alpha, and the ratio of sums that one plane gives instead."""
    lines = ["| crystal | vector | alpha | value from one plane |", "|---|---|---|---|"]
    for crystal in crystals:
        for vector, one in records[crystal.name]["in_plane"].items():
            lines.append(f"| {crystal.name} | {vector} | {one['alpha']:.4g} | {one['of_the_plane']:.4g} |")
    lines += [f"\n{crystal.name}, one plane: {records[crystal.name]['refused']}" for crystal in crystals]
    return _with_minus("\n".join(lines))


def joint_table(crystals: Sequence[Crystal], records: Mapping[str, Record]) -> str:
    """Format alphas from two planes together, for seed 0, by the default method and with the species known."""
    lines = [
        "| crystal | planes | vector | put in | default | pull | species known | pull |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for crystal in crystals:
        record = records[crystal.name]
        planes = ", ".join(record["planes"])
        for vector, one in record["joint"].items():
            cells = []
            for name, su in (("found", "su"), ("species_known", "species_known_su")):
                pull = (one[name] - one["alpha"]) / one[su]
                cells += [with_uncertainty(one[name], one[su]), f"{pull:+.1f}"]
            lines.append(
                f"| {crystal.name} | {planes} | {vector} | {one['alpha']:.4g} | {' | '.join(cells)} |"
            )
    return _with_minus("\n".join(lines))


def debye_waller_record(crystal: Crystal, result: Result) -> Record:
    """Fit the true pair of species to I_FF from both sources; return misfit and B with its uncertainty."""
    records = {}
    for source in ("networks", "lattice"):
        pair = ModelPair(crystal.pair.name, crystal.pair.first, crystal.pair.second)
        [fit] = compare_models(
            [pair], Observation.of(select_components(result, crystal, source)), resamples=100
        ).fits
        records[source] = {
            "misfit": fit.misfit,
            "debye_waller_b_angstrom2": fit.debye_waller_b_angstrom2,
            "debye_waller_b_su": fit.debye_waller_b_su if np.isfinite(fit.debye_waller_b_su) else None,
        }
    return {"put_in": crystal.debye_waller_b_angstrom2, **records}


def debye_waller_table(crystals: Sequence[Crystal], records: Mapping[str, Record]) -> str:
    """Format the true Debye-Waller B, and B refined with the true species against I_FF from both sources."""
    lines = ["| crystal | B put in (Å²) | networks alone | lattice mode |", "|---|---|---|---|"]
    for crystal in crystals:
        one = records[crystal.name]
        cells = [
            with_uncertainty(
                one[source]["debye_waller_b_angstrom2"], one[source]["debye_waller_b_su"] or float("nan")
            )
            for source in ("networks", "lattice")
        ]
        lines.append(f"| {crystal.name} | {one['put_in']:g} | {' | '.join(cells)} |")
    return _with_minus("\n".join(lines))


def _with_minus(text: str) -> str:
    """Replace hyphens in front of numbers by minus signs, except in the rules of tables."""
    return "\n".join(
        line if line.startswith("|---") else line.replace(" -", " \N{MINUS SIGN}")
        for line in text.splitlines()
    )
