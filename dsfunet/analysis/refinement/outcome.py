"""The outcome of a refinement: Warren-Cowley parameters, the quality of the fit, the report and the files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.cif import as_cif
from dsfunet.analysis.refinement.crystal import layer_formula
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.picture import draw_refinement
from dsfunet.analysis.refinement.reach import describe_reach, reach_record
from dsfunet.analysis.refinement.reports import (
    as_csv,
    as_record,
    as_table,
    list_name,
    plane_lines,
    quality_line,
    quantity_of,
)
from dsfunet.analysis.refinement.settings import RefinementSettings
from dsfunet.analysis.refinement.terms import describe_further
from dsfunet.analysis.refinement.truncation import SettledRefinement
from dsfunet.analysis.refinement.vectors import lattice_vectors_of
from dsfunet.analysis.refinement.zones import FoldedMap
from dsfunet.analysis.verdicts import RecordedVerdict, describe_verdicts
from dsfunet.files import replacing, write_json
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, Vector
from dsfunet.plotting.result import save_png


@dataclass(frozen=True)
class Alpha:
    """One refined Warren-Cowley parameter: the correlation of all lattice vectors of one orbit.

    Attributes:
        vector: (i, j, k), one lattice vector of the orbit; integers, and `fractions.Fraction` in a centred lattice. Of
            the vectors that the correlation of a layer sums, the one with the smallest component along `summed_axis`.
        value: alpha, dimensionless.
        standard_uncertainty: NaN if alpha is at a bound.
        equivalents: all lattice vectors of the orbit, likewise, `vector` among them.
        length_angstrom: length of the vectors [Angstrom].
        at_bound: -1 at the lower bound, 1 at the upper bound, 0 between or without bounds.
        summed_axis: for the correlation of a layer 0, 1 or 2, the axis a, b or c along which it is a sum; None for the
            correlation of lattice vectors.
        is_sine: whether this is the second, antisymmetric part of the correlation of a layer.
        name: such as "1/2 1/2 0", or "1/2 0 (all l)" for the correlation of a layer.
    """

    vector: Vector
    value: float
    standard_uncertainty: float
    equivalents: tuple[Vector, ...]
    length_angstrom: float
    at_bound: int
    summed_axis: int | None = None
    is_sine: bool = False
    name: str = ""


@dataclass(frozen=True, eq=False)
class AlphaRefinement:
    """Warren-Cowley parameters refined from one or more results, and everything needed to report them.

    `str` of it is the report.

    Attributes:
        settings: of the refinement, with nothing left open.
        cell: unit cell on which it was made.
        fit: the alphas as arrays, their covariance, and the quality of the fit of each plane.
        data: the values that were fitted, one entry for each result.
        folded: each plane folded into one Brillouin zone, observed and calculated.
        names: of the results.
        debye_waller_b_angstrom2: B of the model's form factor, given or refined [Angstrom^2]; None without a model.
        notes: sentences that qualify the values and their uncertainties.
        centring_from: "option" for the settings, "result" for its record, or "assumed".
        verdicts: of `dsfunet factorize` on the results, one for each.
        settled: the same fit, with the drift by truncation and how far order reaches.

    Examples:
        >>> from dsfunet import FactorizeSettings, RefinementSettings, factorize_plane, read_plane, refine_alphas
        >>> plane = read_plane("examples/cresol_benzene.h5", "hk1")
        >>> result = factorize_plane(plane, FactorizeSettings(passes=0)).result
        >>> refinement = refine_alphas(result, RefinementSettings(laue="6/m", shells=2))
        >>> for alpha in refinement.alphas:
        ...     print(alpha.name, f"{alpha.value:.2f}")
        1 0 (all l) -0.20
        2 1 (all l) 0.10
    """

    settings: RefinementSettings
    cell: Cell
    fit: Refinement
    data: tuple[PlaneData, ...]
    folded: tuple[FoldedMap, ...]
    names: tuple[str, ...]
    debye_waller_b_angstrom2: float | None
    notes: tuple[str, ...]
    centring_from: str = "option"
    verdicts: tuple[RecordedVerdict, ...] = ()
    settled: SettledRefinement | None = None

    @property
    def quantity(self) -> str:
        """What was refined: "alpha", or "layer correlation" where the planes determine no alphas of the crystal."""
        return quantity_of(self.fit)

    @property
    def alphas(self) -> tuple[Alpha, ...]:
        """The refined parameters, one for each orbit."""
        return list_alphas(self.fit, self._centring)

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
        lines += describe_verdicts(self.verdicts)
        lines += [f"           note: {note}" for note in self.notes]
        for plane, fitted in zip(self.data, self.fit.planes, strict=True):
            with_floor = self.settings.fit_to == "short-range-order"
            lines += plane_lines(plane, fitted, self.settings.laue, several, with_floor)
        model = self.settings.model
        if model is not None:
            how = "refined" if self.settings.b_iso_angstrom2 is None else "given"
            if how == "refined" and all(each.name != "B" for each in self.fit.further):
                how = "at its lower limit"
            formulas = f"{model.first.formula}, {model.second.formula}"
            b = f"{self.debye_waller_b_angstrom2:.3g}"
            sigma = next((each.standard_uncertainty for each in self.fit.further if each.name == "B"), None)
            if sigma is not None:
                b = with_uncertainty(self.debye_waller_b_angstrom2 or 0.0, sigma)
            lines.append(
                f"I_FF       of {model.name} ({formulas}), B = {b} Å² ({how}); {self.settings.scattering.describe()}"
            )
        lines += [*describe_further(self.fit.further, self.fit.evidence_gain), as_table(self.fit)]
        lines.append(quality_line(self.fit))
        if self.settled is not None:
            lines.append(describe_reach(self.settled.reach, self.settled.fitted, self.quantity))
        lines += [f"WARNING    {each.name}: {each.warning}" for each in self.verdicts if each.warning]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.report()

    def as_record(self) -> dict[str, Any]:
        """Return everything as the content of a JSON file, with None where there is no finite number."""
        content = as_record(
            self.fit,
            self.folded,
            self.cell,
            self._settings_record(),
            self._sources(),
            self.notes,
            self._centring,
        )
        content["verdicts"] = [verdict.as_record() for verdict in self.verdicts]
        content["formula"] = self._formula()
        content["further_parameters"] = [vars(each) for each in self.fit.further]
        content["evidence_gain"] = self.fit.evidence_gain
        if self.settled is not None:
            content["reach"] = reach_record(self.settled.reach)
            content["longest_fitted_angstrom"] = self.settled.longest_angstrom
            drifts = self.settled.drift.tolist()
            for entry, drift in zip(content[list_name(self.fit)], drifts, strict=True):
                entry["truncation_drift"] = drift
        return content

    def as_csv(self) -> str:
        """Return the alphas as CSV, one line for each orbit."""
        return as_csv(self.fit)

    def as_cif(self) -> str:
        """Return the alphas, the settings and the quality of the fit as CIF."""
        settings = self._settings_record()
        if self.settled is not None:
            reach = self.settled.reach
            settings["sro_correlation_length"] = reach.length_text
        for number, verdict in enumerate(self.verdicts, 1):
            suffix = "" if len(self.verdicts) == 1 else f"_{number}"
            settings[f"verdict{suffix}"] = verdict.sentence
            settings[f"warning{suffix}"] = verdict.warning
        settings["sro_formula"] = self._formula()
        return as_cif(self.fit, self.cell, settings, self._sources())

    def write(self, targets: Mapping[str, Path]) -> None:
        """Write files; `targets` are their paths by kind, "json", "csv", "cif" or "png".

        Raises:
            InputError: a file cannot be written.
        """
        write_files(
            targets,
            {"csv": self.as_csv, "cif": self.as_cif},
            self.as_record,
            lambda: draw_refinement(self.folded, self.fit, self.data, self.verdicts),
        )

    def _formula(self) -> str | None:
        """Return the definition of a layer's correlation; None for alphas."""
        axis = self.fit.orbits[0].summed_axis
        return None if axis is None else layer_formula(axis)

    @property
    def _centring(self) -> Centring:
        return self.settings.centring or "P"

    def _settings_record(self) -> dict[str, object]:
        settings, bounds = self.settings, self.settings.alpha_bounds()
        resolution = settings.resolution
        form_factor = settings.form_factor if settings.model is None else "model"
        return {
            "centring": self._centring,
            "centring_from": self.centring_from,
            "layer": bool(settings.layer),
            "form_factor": form_factor,
            "answer": settings.answer,
            "resolution_rlu": None if resolution is None else list(resolution.widths(self.data[0].grid)),
            "thickness_rlu": None if resolution is None else resolution.thickness,
            "laue_class": settings.laue,
            "unique_axis": settings.unique_axis,
            "out_of_plane": settings.out_of_plane,
            "no_order_along_axis": settings.no_order_along_axis,
            "exclude_below": settings.exclude_below,
            "fit_to": settings.fit_to,
            "errors_from": settings.errors_from,
            "model": None if settings.model is None else settings.model.name,
            "debye_waller_b_angstrom2": self.debye_waller_b_angstrom2,
            "radiation": None if settings.model is None else settings.scattering.radiation,
            "wavelength_angstrom": settings.scattering.wavelength_angstrom,
            "further_terms": settings.further.options or None,
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


def list_alphas(refinement: Refinement, centring: Centring) -> tuple[Alpha, ...]:
    """Return the refined parameters, one for each orbit."""
    rows = zip(
        refinement.orbits,
        refinement.alphas.tolist(),
        refinement.uncertainties.tolist(),
        refinement.at_bound.tolist(),
        strict=True,
    )
    found = []
    for orbit, value, uncertainty, bound in rows:
        vector, equivalents = lattice_vectors_of(orbit, centring)
        about = (orbit.length_angstrom, bound, orbit.summed_axis, orbit.is_sine, orbit.name)
        found.append(Alpha(vector, value, uncertainty, equivalents, *about))
    return tuple(found)


def write_files(
    targets: Mapping[str, Path],
    texts: Mapping[str, Callable[[], str]],
    record: Callable[[], dict[str, Any]],
    draw: Callable[[], Figure],
) -> None:
    """Write the files of a refinement; nothing is written before the picture is drawn.

    Args:
        targets: paths by kind, of those in `texts`, "json" or "png".
        texts: how to make the contents of text files, by kind.
        record: how to make the content of the JSON file.
        draw: how to draw the picture.

    Raises:
        InputError: a file cannot be written.
    """
    figure = draw() if "png" in targets else None
    if "json" in targets:
        write_json(targets["json"], record(), sort_keys=False)
    for kind, text in texts.items():
        if kind in targets:
            with replacing(targets[kind]) as temporary:
                temporary.write_text(text(), encoding="utf-8")
    if figure is not None:
        save_png(figure, targets["png"])
