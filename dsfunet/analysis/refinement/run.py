"""Warren-Cowley parameters from results in one call."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.answers import select_answer
from dsfunet.analysis.refinement.crystal import (
    cell_to_use,
    check_one_crystal,
    choose_orbits,
    layer_harmonics,
    notes_on_layers,
)
from dsfunet.analysis.refinement.data import PlaneData, prepare_data
from dsfunet.analysis.refinement.defaults import settle_settings
from dsfunet.analysis.refinement.fit import Refinement, refine
from dsfunet.analysis.refinement.further_terms import attach_terms, fit_joint_terms
from dsfunet.analysis.refinement.joint import (
    check_no_order_along_axis,
    fit_result,
    note_left_out,
    refine_layer,
    select_settled,
)
from dsfunet.analysis.refinement.known_form_factor import note_other_radiation, prepare_known
from dsfunet.analysis.refinement.misfit import Source, note_misfit, with_noise
from dsfunet.analysis.refinement.outcome import AlphaRefinement
from dsfunet.analysis.refinement.settings import RefinementSettings
from dsfunet.analysis.refinement.terms import FurtherParameter
from dsfunet.analysis.refinement.truncation import SettledRefinement, refine_until_settled, settle_layer
from dsfunet.analysis.refinement.zones import Zones, fold, zones_of
from dsfunet.analysis.verdicts import read_verdict
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import JointFit
from dsfunet.lattice.joint_fit.resolution import note_unknown_resolution
from dsfunet.physics.symmetry import Orbit, laue_rotations
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.result import Result

_FEW_GROUPS = 10
_LARGE_CHI_SQUARED = 2.0


def refine_alphas(
    results: Result | Sequence[Result], settings: RefinementSettings, names: Sequence[str] | None = None
) -> AlphaRefinement:
    """Refine Warren-Cowley parameters, with standard uncertainties, from one or more results.

    Fits I_SRO(Q) = 1 + sum over orbits of alpha sum_v cos(Q . v), equation (3) of Fuller & Rudden (2024), with a scale
    for each plane and one alpha for each orbit of the Laue class. Several results, of different planes of one crystal,
    share one set of alphas.

    With files, `refine_alphas(read_result("hk1.nxs"), RefinementSettings(laue="6/m"))` does what
    `dsfunet refine hk1.nxs --laue 6/m` does, without writing anything.

    Args:
        results: of factorisations of planes with a unit cell and axes, along two axes of the cell.
        settings: of the refinement.
        names: of the results, for error messages and the report; by default "result", or "result 1" and so on.

    Raises:
        InputError: a result has no axes, is not along two axes of the cell or does not hold the answer asked for, the
            results are not of one crystal, the cell does not obey the Laue class, or the pixels do not determine the
            parameters.

    Examples:
        A plane hk0 of a square lattice whose nearest neighbours tend to differ, alpha = -0.2, with a Gaussian form
        factor and 1 % of noise:

        >>> import numpy as np
        >>> from dsfunet.analysis.refinement import RefinementSettings, refine_alphas
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.measured import PlaneGrid
        >>> from dsfunet.planes.names import parse_plane_name
        >>> from dsfunet.planes.result import Result
        >>> axis = np.linspace(-4, 4, 81)
        >>> grid = PlaneGrid(Cell(5, 5, 4), parse_plane_name("hk0"), axis, axis)
        >>> h, k = np.meshgrid(axis, axis, indexing="ij")
        >>> order = 1 - 0.2 * 2 * (np.cos(2 * np.pi * h) + np.cos(2 * np.pi * k))
        >>> form_factor = np.exp(-grid.plane.q_squared() / 10)
        >>> noise = 1 + 0.01 * np.random.default_rng(1).normal(size=grid.shape)
        >>> intensity = form_factor * order * noise
        >>> result = Result(
        ...     input=intensity,
        ...     form_factor=form_factor,
        ...     short_range_order=(order - order.min()) / np.ptp(order),
        ...     product=form_factor * order,
        ...     residual=intensity - form_factor * order,
        ...     mask=np.ones(grid.shape, bool),
        ...     grid=grid,
        ... )
        >>> refinement = refine_alphas(result, RefinementSettings(laue="4/mmm", shells=1))
        >>> for alpha in refinement.alphas:
        ...     print(alpha.vector, f"{alpha.value:.2f}", alpha.standard_uncertainty < 0.002)
        (1, 0, 0) -0.20 True
        >>> refinement.alphas[0].equivalents
        ((-1, 0, 0), (0, -1, 0), (0, 1, 0), (1, 0, 0))
        >>> refinement.r_factors[0] < 0.01
        True
    """
    results = [results] if isinstance(results, Result) else list(results)
    if not results:
        raise InputError("refine_alphas: found no results; expected one or more")
    if names is None:
        names = ["result"] if len(results) == 1 else [f"result {n}" for n in range(1, len(results) + 1)]
    grids = [grid_of(result, name) for result, name in zip(results, names, strict=True)]
    check_one_crystal(names, grids)
    cell, notes = cell_to_use(settings.cell, grids[0].cell, names[0])
    grids = [replace(grid, cell=cell) for grid in grids]
    settled = settle_settings(settings, results, names)
    settings, notes = settled.settings, [*notes, *settled.notes]
    centring = settings.centring or "P"
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    orbits = choose_orbits(names, grids, settings)
    zones = [zones_of(grid, rotations, centring) for grid in grids]
    verdicts = [
        read_verdict(result, name, settings.answer) for result, name in zip(results, names, strict=True)
    ]
    results = [
        select_answer(result, settings.answer, name) for result, name in zip(results, names, strict=True)
    ]

    def prepare(known: Sequence[Array | None]) -> list[PlaneData]:
        planes = zip(results, grids, zones, names, known, strict=True)
        return [_plane_data(*plane, settings) for plane in planes]

    def refine_planes(planes: Sequence[PlaneData], orbits: Sequence[Orbit] = orbits) -> Refinement:
        try:
            return refine(
                planes, orbits, errors_from=settings.errors_from, alpha_bounds=settings.alpha_bounds()
            )
        except InputError as error:
            raise InputError(f"{', '.join(names)}: {error}") from error

    b_angstrom2, of_model = settings.b_iso_angstrom2, list[str]()
    if settings.form_factor == "data":
        try:
            joint = fit_result(results[0], grids[0], centring, settings.resolution)
            of_terms: tuple[tuple[FurtherParameter, ...], float | None] = ((), None)
            if settings.further:
                kept = orbits if settings.vectors else select_settled(joint, orbits, grids[0].name)[0]
                found = fit_joint_terms(joint, settings.further, kept, grids[0], rotations, centring)
                joint, of_terms = found[0], found[1:]
            planes = prepare([joint.form_factor])
            settled_fit, of_fit = _refine_layer(joint, orbits, results[0], planes[0], settings)
            of_layer = replace(settled_fit.fit, further=of_terms[0], evidence_gain=of_terms[1])
            settled_fit = replace(settled_fit, fit=of_layer)
            of_fit.append(_note_resolution(grids[0], settings))
        except InputError as error:
            raise InputError(f"{names[0]}: {error}") from error
    else:
        try:
            if settings.model is None:
                planes = prepare([None] * len(grids))
            else:
                about = (settings.model, grids, prepare, orbits)
                planes, b_angstrom2, left = prepare_known(*about, b_angstrom2, settings.scattering)
                of_model = note_other_radiation(*about, settings.scattering, left)
            planes = [
                attach_terms(
                    plane, result.input.astype(np.float64), settings.further, orbits, rotations, centring
                )
                if settings.further
                else plane
                for plane, result in zip(planes, results, strict=True)
            ]
        except InputError as error:
            raise InputError(f"{', '.join(names)}: {error}") from error
        settled_fit = refine_until_settled(
            lambda longer: refine_planes(planes, longer),
            orbits,
            lambda shells: choose_orbits(names, grids, replace(settings, vectors=None, shells=shells)),
            sum(int(plane.used.sum()) for plane in planes),
        )
        settled_fit = replace(settled_fit, fit=with_noise(settled_fit.fit, planes, settings))
        of_fit = _notes_on_uncertainties(settled_fit.fit, settings)
    fit = settled_fit.fit
    of_fit += [settled_fit.describe(), *_notes_on_misfit(fit, planes, settings)]
    folded = tuple(
        fold(plane.values, fitted.calculated, plane.weights, plane.grid, rotations, centring)
        for plane, fitted in zip(planes, fit.planes, strict=True)
    )
    notes += notes_on_layers(grids, settings)
    notes += [note for plane in planes for note in plane.notes]
    notes += [] if settings.model is None else [*settings.model.notes, *of_model]
    notes += [*of_fit, *settings.further.cautions]
    return AlphaRefinement(
        settings,
        cell,
        fit,
        tuple(planes),
        folded,
        tuple(names),
        b_angstrom2,
        tuple(notes),
        settled.centring_from,
        tuple(verdicts),
        settled_fit,
    )


def grid_of(result: Result, name: str) -> PlaneGrid:
    """Return the grid of a result that can be refined; `name` names it in error messages.

    Raises:
        InputError: the result has no axes, or its plane is not along two axes of the cell.
    """
    if result.grid is None:
        raise InputError(
            f"{name}: the result has no unit cell and axes; expected a result from a file that has them"
        )
    try:
        result.grid.name.layer  # noqa: B018  # zones are defined on the layers of the cell
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return result.grid


def _plane_data(
    result: Result,
    grid: PlaneGrid,
    zones: Zones,
    name: str,
    known: Array | None,
    settings: RefinementSettings,
) -> PlaneData:
    """Return the data of one result, divided by a known form factor, if there is one."""
    try:
        return prepare_data(
            result,
            grid,
            zones,
            exclude_below=settings.further.lowest_form_factor(settings.exclude_below),
            fit_to=settings.fit_to,
            floor=settings.floor,
            errors_from=settings.errors_from,
            known_form_factor=known,
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _refine_layer(
    joint: JointFit, orbits: Sequence[Orbit], result: Result, plane: PlaneData, settings: RefinementSettings
) -> tuple[SettledRefinement, list[str]]:
    """Return the correlations of a layer from a joint fit, and notes; of shells, those that the data settle."""
    name, left_out = plane.grid.name, list[str]()
    if settings.vectors is None:
        orbits, left_out = select_settled(joint, orbits, name)
    fit, notes = refine_layer(joint, orbits, result, plane)
    every = layer_harmonics(plane.grid, settings).orbits_within(float(joint.harmonics.lengths.max()))
    settled = settle_layer(joint, fit, every, name)
    if left_out:
        notes.append(note_left_out(joint, left_out))
    if settings.no_order_along_axis:
        check_no_order_along_axis(joint, every, plane.grid, settings.centring or "P")
    return settled, notes


def _notes_on_misfit(fit: Refinement, planes: Sequence[PlaneData], settings: RefinementSettings) -> list[str]:
    """Return sentences about planes of which the fit leaves more than noise."""
    source: Source = "result" if settings.form_factor != "data" else "data"
    if settings.model is not None:
        source = "model"
    notes = [
        note_misfit(fitted.r_factor, fitted.noise_r_factor, source, str(plane.grid.name))
        for fitted, plane in zip(fit.planes, planes, strict=True)
    ]
    return [note for note in notes if note is not None]


def _note_resolution(grid: PlaneGrid, settings: RefinementSettings) -> str:
    if settings.resolution is None:
        return note_unknown_resolution(grid)
    return f"{settings.resolution.describe(grid)} enters the fit"


def _notes_on_uncertainties(fit: Refinement, settings: RefinementSettings) -> list[str]:
    """Return sentences that qualify the uncertainties."""
    notes = []
    to_measured = settings.fit_to == "measured"
    if settings.errors_from == "zones" and fit.groups < _FEW_GROUPS:
        notes.append(
            f"only {fit.groups} zones are independent, so the uncertainties are themselves uncertain"
        )
    if np.isnan(fit.chi_squared):
        advice = "" if to_measured else "; if I_SRO was already fitted as a series, use --fit-to measured"
        notes.append(
            "all zones agree to rounding, so their scatter gives no information on the errors" + advice
        )
    reduced = fit.chi_squared / max(1, fit.degrees_of_freedom)
    if reduced > _LARGE_CHI_SQUARED:
        component = "I_FF" if to_measured else "I_SRO"
        advice = "" if to_measured else "; --fit-to measured may avoid that"
        notes.append(
            f"chi-squared is {reduced:.3g} per degree of freedom: vectors are missing, or {component} has an error that"
            f" repeats in every zone, which the uncertainties treat as random{advice}"
        )
    return notes
