"""Warren-Cowley parameters of a crystal from the result of a whole volume, in one call."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dsfunet._typing import Array, Integers
from dsfunet.analysis.refinement.crystal import DEFAULT_SHELLS, cell_to_use
from dsfunet.analysis.refinement.equivalents import DISAGREEMENT, note_disagreement
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.reach import SIGNIFICANT, find_reach
from dsfunet.analysis.volume_refinement.checks import SumRule, check_sum_rule, mean_over_zones
from dsfunet.analysis.volume_refinement.laue import LaueTest, describe_evidence, find_laue_class
from dsfunet.analysis.volume_refinement.orbits import FittedVectors
from dsfunet.analysis.volume_refinement.outcome import VolumeRefinement
from dsfunet.analysis.volume_refinement.settings import VolumeRefinementSettings
from dsfunet.errors import InputError
from dsfunet.files import name_file_in_errors
from dsfunet.io.volume_results import (
    VolumeCorrelations,
    open_volume_result,
    read_correlations,
)
from dsfunet.physics.centring import Vector, check_closure, denominator_of
from dsfunet.physics.symmetry import Orbit, UniqueAxis, laue_rotations, orbits_of, symmetric_metric

_POOR_CHI_SQUARED = 1.1
_MEAN_TOLERANCE = 0.02
_NEGLIGIBLE = 0.01


def refine_volume(
    correlations: VolumeCorrelations,
    settings: VolumeRefinementSettings,
    name: str = "volume",
    file_mean: float | None = None,
) -> VolumeRefinement:
    """Refine the Warren-Cowley parameters of a crystal, with standard uncertainties, from the fit of a whole volume.

    The fit has one alpha for each lattice vector. Those that the Laue class makes equal are combined by generalised
    least squares with their full covariance.

    Args:
        correlations: of the volume.
        settings: of the refinement.
        name: of the result, for the report.
        file_mean: mean of the I_SRO of the result over whole zones, if known.

    Raises:
        InputError: the cell or the centring does not obey the Laue class, the centring is not that of the fit, a vector
            does not belong to the lattice or to the fit, or the correlations are damaged.

    Examples:
        >>> import numpy as np
        >>> from dsfunet import Cell
        >>> from dsfunet.analysis.volume_refinement import (
        ...     VolumeCorrelations,
        ...     VolumeRefinementSettings,
        ...     refine_volume,
        ... )
        >>> vectors = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
        >>> alphas = np.array([-0.101, -0.099, -0.100])
        >>> correlations = VolumeCorrelations(
        ...     Cell(4, 4, 4), "P", vectors, alphas, 3e-6 * np.eye(3), np.zeros(3), record={}
        ... )
        >>> (alpha,) = refine_volume(correlations, VolumeRefinementSettings(laue="m-3m", shells=1)).alphas
        >>> print(alpha.name, f"{alpha.value:.3f} {alpha.standard_uncertainty:.3f}")
        1 0 0 -0.100 0.001
    """
    cell, notes = cell_to_use(settings.cell, correlations.cell, name)
    cell = replace(cell, centring=correlations.centring)
    correlations = replace(correlations, cell=cell)
    _check_centring(settings, correlations)
    fitted = FittedVectors.of(correlations)
    laue, unique_axis, tests, of_laue = _choose_laue_class(settings, correlations)
    rotations = laue_rotations(laue, unique_axis)
    check_closure(rotations, correlations.centring, laue)
    metric = symmetric_metric(cell, laue, unique_axis)
    orbits = _choose_orbits(settings, fitted, rotations, metric)
    combined, covariance = fitted.combine_with_bias(orbits)
    refinement = Refinement(
        tuple(orbits), combined.values, covariance, np.zeros(len(orbits), dtype=np.int_), ()
    )
    everything = fitted.partition(rotations, metric)
    whole, whole_covariance = fitted.combine_with_bias(everything)
    sum_rule = check_sum_rule(everything, whole.values, whole_covariance, file_mean)
    reach = find_reach(everything, whole.values, np.sqrt(np.diag(whole_covariance)))
    notes += of_laue
    if combined.reduced > DISAGREEMENT:
        averaged = "laue" in correlations.record and correlations.record["laue"] == laue
        notes.append(
            f"alphas that the average made equal came out unequal (chi-squared {combined.reduced:.1f} per degree of"
            " freedom): the fit of the volume is not reliable"
            if averaged
            else note_disagreement(combined.reduced)
        )
    notes += _notes_on_fit(correlations)
    notes += _notes_on_sum_rule(sum_rule)
    return VolumeRefinement(
        settings=replace(settings, laue=laue, unique_axis=unique_axis, centring=correlations.centring),
        correlations=correlations,
        fit=refinement,
        chi_squared=combined.chi_squared,
        degrees_of_freedom=combined.degrees_of_freedom,
        all_orbits=tuple(everything),
        all_alphas=whole.values,
        all_uncertainties=np.sqrt(np.diag(whole_covariance)),
        sum_rule=sum_rule,
        reach=reach,
        laue_tests=tests,
        laue_from=_laue_source(settings, tests),
        name=name,
        notes=tuple(notes),
    )


def refine_volume_file(path: Path | str, settings: VolumeRefinementSettings) -> VolumeRefinement:
    """Refine the Warren-Cowley parameters of a crystal from a file of `dsfunet factorize --volume`.

    As `refine_volume`, with the mean of the I_SRO of the file over whole zones as a check.

    Args:
        path: of the result.
        settings: of the refinement.

    Raises:
        InputError: as `refine_volume`, or the file cannot be read.
    """
    correlations = read_correlations(path)
    with open_volume_result(path) as result:
        order = result.datasets["short_range_order"]
        file_mean = mean_over_zones(order, result.axes, denominator_of(correlations.centring))
    with name_file_in_errors(path):
        return refine_volume(correlations, settings, str(path), file_mean)


def _check_centring(settings: VolumeRefinementSettings, correlations: VolumeCorrelations) -> None:
    if settings.centring not in (None, correlations.centring):
        raise InputError(
            f"--centring {settings.centring}: the volume was fitted with centring {correlations.centring}; omit it, or"
            f" add --centring {settings.centring} to `dsfunet factorize`"
        )


def _choose_laue_class(
    settings: VolumeRefinementSettings, correlations: VolumeCorrelations
) -> tuple[str, UniqueAxis | None, tuple[LaueTest, ...], list[str]]:
    """Return the Laue class, its unusual axis, the tests of all classes if it was found, and notes."""
    applied = correlations.record.get("laue")
    of_average = (
        [
            f"the volume was averaged over Laue class {applied} before the fit, so the correlations cannot test it"
        ]
        if applied
        else []
    )
    if settings.laue is not None:
        return settings.laue, settings.unique_axis, (), of_average
    if applied:
        return str(applied), None, (), of_average
    tests = find_laue_class(correlations)
    return tests[0].laue, tests[0].unique_axis, tests, [describe_evidence(tests)]


def _laue_source(settings: VolumeRefinementSettings, tests: tuple[LaueTest, ...]) -> str:
    if settings.laue is not None:
        return "option"
    return "data" if tests else "result"


def _choose_orbits(
    settings: VolumeRefinementSettings, fitted: FittedVectors, rotations: Integers, metric: Array
) -> list[Orbit]:
    if settings.vectors is None:
        return fitted.select_nearest_shells(settings.shells, DEFAULT_SHELLS, rotations, metric)
    vectors: list[Vector] = [(i, j, k) for i, j, k in settings.vectors]
    orbits = orbits_of(vectors, rotations, metric, centring=fitted.correlations.centring)
    fitted.check_holds(orbits)
    return orbits


def _notes_on_fit(correlations: VolumeCorrelations) -> list[str]:
    chi_squared = correlations.record.get("chi_squared")
    if not isinstance(chi_squared, int | float) or chi_squared <= _POOR_CHI_SQUARED:
        return []
    return [
        f"chi-squared of the fit of the volume is {chi_squared:.2f} per voxel: the volume is not quite a smooth form"
        " factor times a function that repeats on this lattice, so do not trust small correlations"
    ]


def _notes_on_sum_rule(sum_rule: SumRule) -> list[str]:
    notes = []
    if sum_rule.lowest < -max(SIGNIFICANT * sum_rule.standard_uncertainty, _NEGLIGIBLE):
        place = " ".join(f"{each:.2f}" for each in sum_rule.place)
        notes.append(
            f"the sum of alpha exp(2 pi i q r) falls to {sum_rule.lowest:.3g} at {place} and is negative in"
            f" {100 * sum_rule.negative_share:.2g} % of the zone: correlations beyond the fit matter, or alphas are"
            " wrong"
        )
    if sum_rule.file_mean is not None and abs(sum_rule.file_mean - 1) > _MEAN_TOLERANCE:
        notes.append(
            f"the mean of I_SRO over whole zones is {sum_rule.file_mean:.3f} in the file; expected 1, so the alphas are"
            " not on the scale on which that of 0 0 0 is 1"
        )
    return notes
