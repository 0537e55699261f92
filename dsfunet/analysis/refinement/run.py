"""Warren-Cowley parameters from results in one call, and the files that `dsfunet refine` writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet.analysis.refinement.data import PlaneData, prepare_data
from dsfunet.analysis.refinement.fit import Refinement, refine
from dsfunet.analysis.refinement.known_form_factor import damped_form_factor, refine_debye_waller
from dsfunet.analysis.refinement.picture import draw_refinement
from dsfunet.analysis.refinement.reports import (
    as_cif,
    as_csv,
    as_record,
    as_table,
    plane_lines,
    quality_line,
)
from dsfunet.analysis.refinement.settings import (
    RefinementSettings,
    cell_to_use,
    check_one_crystal,
    fixed_axis,
)
from dsfunet.analysis.refinement.zones import FoldedMap, Zones, fold, zones_of
from dsfunet.errors import InputError
from dsfunet.files import replacing, write_json
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import Vector, laue_rotations
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.result import Result
from dsfunet.plotting.result import save_png

_FEW_GROUPS = 10
_LARGE_CHI_SQUARED = 2.0


@dataclass(frozen=True)
class Alpha:
    """One refined Warren-Cowley parameter: the correlation of all lattice vectors of one orbit.

    Attributes:
        vector: (i, j, k), one lattice vector of the orbit.
        value: alpha, dimensionless.
        standard_uncertainty: NaN if alpha is at a bound.
        equivalents: all lattice vectors of the orbit, `vector` among them.
        length_angstrom: length of the vectors [Angstrom].
        at_bound: -1 at the lower bound, 1 at the upper bound, 0 between or without bounds.
    """

    vector: Vector
    value: float
    standard_uncertainty: float
    equivalents: tuple[Vector, ...]
    length_angstrom: float
    at_bound: int


@dataclass(frozen=True, eq=False)
class AlphaRefinement:
    """Warren-Cowley parameters refined from one or more results, and everything needed to report them.

    `str` of it is the report.

    Attributes:
        settings: of the refinement.
        cell: unit cell on which it was made.
        fit: the alphas as arrays, their covariance, and the quality of the fit of each plane.
        data: the values that were fitted, one entry for each result.
        folded: each plane folded into one Brillouin zone, observed and calculated.
        names: of the results.
        debye_waller_b_angstrom2: B of the model's form factor, given or refined [Angstrom^2]; None without a model.
        notes: sentences that qualify the uncertainties.
    """

    settings: RefinementSettings
    cell: Cell
    fit: Refinement
    data: tuple[PlaneData, ...]
    folded: tuple[FoldedMap, ...]
    names: tuple[str, ...]
    debye_waller_b_angstrom2: float | None
    notes: tuple[str, ...]

    @property
    def alphas(self) -> tuple[Alpha, ...]:
        """The refined parameters, one for each orbit."""
        return tuple(
            Alpha(
                orbit.representative,
                value,
                uncertainty,
                tuple((i, j, k) for i, j, k in orbit.vectors.tolist()),
                orbit.length_angstrom,
                bound,
            )
            for orbit, value, uncertainty, bound in zip(
                self.fit.orbits,
                self.fit.alphas.tolist(),
                self.fit.uncertainties.tolist(),
                self.fit.at_bound.tolist(),
                strict=True,
            )
        )

    @property
    def r_factors(self) -> tuple[float, ...]:
        """sum |o - c| / sum |o| of each plane."""
        return tuple(plane.r_factor for plane in self.fit.planes)

    @property
    def reduced_chi_squared(self) -> float:
        """Chi-squared of all planes for each degree of freedom; NaN where the zones of a plane do not scatter."""
        return self.fit.chi_squared / max(1, self.fit.degrees_of_freedom)

    def report(self) -> str:
        """Return the report that `dsfunet refine` prints: data, notes, the table of alphas, quality of the fit."""
        several = len(self.data) > 1
        lines = [
            f"read       {name}: {plane.grid.describe()}"
            for name, plane in zip(self.names, self.data, strict=True)
        ]
        lines += [f"           note: {note}" for note in self.notes]
        for plane, fitted in zip(self.data, self.fit.planes, strict=True):
            with_floor = self.settings.fit_to == "short-range-order"
            lines += plane_lines(plane, fitted, self.settings.laue, several, with_floor)
        model = self.settings.model
        if model is not None:
            how = "refined" if self.settings.b_iso_angstrom2 is None else "given"
            formulas = f"{model.first.formula}, {model.second.formula}"
            lines.append(
                f"I_FF       of {model.name} ({formulas}), B = {self.debye_waller_b_angstrom2:.3g} Å² ({how})"
            )
        return "\n".join([*lines, as_table(self.fit), quality_line(self.fit)])

    def __str__(self) -> str:
        return self.report()

    def as_record(self) -> dict[str, Any]:
        """Return everything as the content of a JSON file, with None where there is no finite number."""
        return as_record(
            self.fit, self.folded, self.cell, self._settings_record(), self._sources(), self.notes
        )

    def as_csv(self) -> str:
        """Return the alphas as CSV, one line for each orbit."""
        return as_csv(self.fit)

    def as_cif(self) -> str:
        """Return the alphas, the settings and the quality of the fit as CIF."""
        return as_cif(self.fit, self.cell, self._settings_record(), self._sources())

    def write(self, targets: Mapping[str, Path]) -> None:
        """Write files; `targets` are their paths by kind, "json", "csv", "cif" or "png".

        Raises:
            InputError: a file cannot be written.
        """
        figure = draw_refinement(self.folded, self.fit, self.data) if "png" in targets else None
        if "json" in targets:
            write_json(targets["json"], self.as_record(), sort_keys=False)
        for kind, text in (("csv", self.as_csv()), ("cif", self.as_cif())):
            if kind in targets:
                with replacing(targets[kind]) as temporary:
                    temporary.write_text(text, encoding="utf-8")
        if figure is not None:
            save_png(figure, targets["png"])

    def _settings_record(self) -> dict[str, object]:
        settings, bounds = self.settings, self.settings.alpha_bounds()
        return {
            "laue_class": settings.laue,
            "unique_axis": settings.unique_axis,
            "out_of_plane": settings.out_of_plane,
            "exclude_below": settings.exclude_below,
            "fit_to": settings.fit_to,
            "errors_from": settings.errors_from,
            "model": None if settings.model is None else settings.model.name,
            "debye_waller_b_angstrom2": self.debye_waller_b_angstrom2,
            "alpha_lower_bound": bounds[0] if bounds else None,
            "alpha_upper_bound": bounds[1] if bounds else None,
        }

    def _sources(self) -> list[dict[str, object]]:
        return [
            {
                "source": Path(name).name,
                "plane": str(plane.grid.name),
                "floor": plane.floor,
                "floor_uncertainty": plane.floor_uncertainty,
                "weights": "1/sigma^2" if plane.inverse_variances else "unit",
            }
            for name, plane in zip(self.names, self.data, strict=True)
        ]


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
        InputError: a result has no axes or is not along two axes of the cell, the results are not of one crystal, the
            cell does not obey the Laue class, or the pixels do not determine the parameters.

    Example:
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
        >>> refinement = refine_alphas(result, RefinementSettings(laue="4/mmm", shells=2))
        >>> for alpha in refinement.alphas:
        ...     print(alpha.vector, f"{alpha.value:.2f}", alpha.standard_uncertainty < 0.002)
        (1, 0, 0) -0.20 True
        (1, 1, 0) 0.00 True
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
    cell, notes = cell_to_use(settings.cell, grids[0], names[0])
    grids = [replace(grid, cell=cell) for grid in grids]
    rotations = laue_rotations(settings.laue, settings.unique_axis)
    orbits = settings.orbits(cell, fixed_axis(grids, settings))
    zones = [zones_of(grid, rotations) for grid in grids]

    def prepare(b_angstrom2: float) -> list[PlaneData]:
        planes = zip(results, grids, zones, names, strict=True)
        return [_plane_data(*plane, settings, b_angstrom2) for plane in planes]

    def refine_planes(planes: Sequence[PlaneData]) -> Refinement:
        try:
            return refine(
                planes, orbits, errors_from=settings.errors_from, alpha_bounds=settings.alpha_bounds()
            )
        except InputError as error:
            raise InputError(f"{', '.join(names)}: {error}") from error

    b_angstrom2 = settings.b_iso_angstrom2
    if settings.model is not None and b_angstrom2 is None:
        b_angstrom2 = refine_debye_waller(prepare, refine_planes)
    planes = prepare(b_angstrom2 or 0.0)
    fit = refine_planes(planes)
    folded = tuple(
        fold(plane.values, fitted.calculated, plane.weights, plane.grid, rotations)
        for plane, fitted in zip(planes, fit.planes, strict=True)
    )
    notes += [note for plane in planes for note in plane.notes]
    notes += [] if settings.model is None else settings.model.notes
    notes += _notes_on_uncertainties(fit, settings)
    return AlphaRefinement(
        settings, cell, fit, tuple(planes), folded, tuple(names), b_angstrom2, tuple(notes)
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
    result: Result, grid: PlaneGrid, zones: Zones, name: str, settings: RefinementSettings, b_angstrom2: float
) -> PlaneData:
    """Return the data of one result, divided by the form factor of the model with a B if there is one."""
    known = None if settings.model is None else damped_form_factor(settings.model, grid, b_angstrom2)
    try:
        return prepare_data(
            result,
            grid,
            zones,
            exclude_below=settings.exclude_below,
            fit_to=settings.fit_to,
            floor=settings.floor,
            errors_from=settings.errors_from,
            known_form_factor=known,
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


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
