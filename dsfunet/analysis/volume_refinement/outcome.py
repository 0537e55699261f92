"""The outcome of a refinement on a volume: alphas of the crystal, checks, the report and the files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsfunet._typing import Array
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.cif import as_cif
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.outcome import Alpha, list_alphas, write_files
from dsfunet.analysis.refinement.reach import Reach, describe_reach, reach_record
from dsfunet.analysis.refinement.reports import as_csv, as_record, as_table
from dsfunet.analysis.volume_refinement.checks import SumRule
from dsfunet.analysis.volume_refinement.laue import LaueTest
from dsfunet.analysis.volume_refinement.picture import draw_volume_refinement
from dsfunet.analysis.volume_refinement.settings import VolumeRefinementSettings
from dsfunet.io.volume_results import VolumeCorrelations
from dsfunet.physics.centring import Centring
from dsfunet.physics.symmetry import Orbit


@dataclass(frozen=True, eq=False)
class VolumeRefinement:
    """Warren-Cowley parameters of a crystal from a whole volume, and everything needed to report them.

    `str` of it is the report.

    Attributes:
        settings: of the refinement, with nothing left open but shells or vectors.
        correlations: of the volume, with the cell that was used.
        fit: the alphas that were asked for as arrays, and their covariance.
        chi_squared: of the differences between equivalent alphas of these orbits.
        degrees_of_freedom: number of these differences.
        all_orbits: all vectors of the fit as orbits, n of them, in order of length.
        all_alphas: their alphas, shape (n,).
        all_uncertainties: standard uncertainties, shape (n,).
        sum_rule: the lowest value of the series, and the mean of I_SRO over zones.
        reach: how far order reaches.
        laue_tests: of all classes of the cell, that of `settings` first; empty if the class was given.
        laue_from: "option", "result" where the volume was averaged over the class before the fit, or "data".
        name: of the result.
        notes: sentences that qualify the values and their uncertainties.
    """

    settings: VolumeRefinementSettings
    correlations: VolumeCorrelations
    fit: Refinement
    chi_squared: float
    degrees_of_freedom: int
    all_orbits: tuple[Orbit, ...]
    all_alphas: Array
    all_uncertainties: Array
    sum_rule: SumRule
    reach: Reach
    laue_tests: tuple[LaueTest, ...]
    laue_from: str
    name: str
    notes: tuple[str, ...]

    @property
    def alphas(self) -> tuple[Alpha, ...]:
        """The parameters that were asked for, one for each orbit."""
        return list_alphas(self.fit, self.centring)

    @property
    def centring(self) -> Centring:
        """Lattice type of the sites."""
        return self.correlations.centring

    @property
    def reduced_chi_squared(self) -> float:
        """Chi-squared of equivalent alphas for each degree of freedom; 1 where nothing is equivalent."""
        return self.chi_squared / self.degrees_of_freedom if self.degrees_of_freedom else 1.0

    def report(self) -> str:
        """Return the report that `dsfunet refine` prints: data, notes, the table of alphas, and checks."""
        correlations, record = self.correlations, self.correlations.record
        cell = " ".join(f"{value:g}" for value in correlations.cell.parameters)
        lines = [f"read       {self.name}: volume; cell {cell}, centring {self.centring}"]
        lines += [f"           note: {note}" for note in self.notes]
        fitted = f"fitted     {len(correlations.vectors)} pairs of vectors r and -r"
        if "measured_share" in record:
            fitted += f" to a volume of which {100 * float(record['measured_share']):.1f} % was measured"
        if "chi_squared" in record:
            fitted += f", chi-squared {float(record['chi_squared']):.3g} per voxel"
        return "\n".join([*lines, fitted, as_table(self.fit), *self._quality()])

    def __str__(self) -> str:
        return self.report()

    def _quality(self) -> list[str]:
        sum_rule, reach = self.sum_rule, self.reach
        if self.degrees_of_freedom:
            agreement = (
                f"chi-squared {self.chi_squared:.4g} for {self.degrees_of_freedom} degrees of freedom"
                f" ({self.reduced_chi_squared:.3g}) between equivalents under {self.settings.laue}"
            )
        else:
            agreement = f"no two of these vectors are equivalent under {self.settings.laue}"
        lowest = with_uncertainty(sum_rule.lowest, sum_rule.standard_uncertainty)
        place = " ".join(f"{each:.2f}" for each in sum_rule.place)
        mean = (
            "the volume covers no whole zone"
            if sum_rule.file_mean is None
            else f"its mean over whole zones of the file is {sum_rule.file_mean:.4f}, expected 1"
        )
        lines = [
            f"quality    {agreement}",
            f"sum rule   lowest I_SRO of all vectors {lowest} at {place}, highest {sum_rule.highest:.3g}; {mean}",
        ]
        return [*lines, describe_reach(reach, len(self.all_orbits))]

    def as_record(self) -> dict[str, Any]:
        """Return everything as the content of a JSON file, with None where there is no finite number."""
        settings = self._settings_record()
        content = as_record(self.fit, (), self.correlations.cell, settings, (), self.notes, self.centring)
        return content | {
            "laue_class": self.settings.laue,
            "unique_axis": self.settings.unique_axis,
            "centring": self.centring,
            "concentration": None,
            "quality": {
                "chi_squared": self.chi_squared,
                "degrees_of_freedom": self.degrees_of_freedom,
            },
            "sum_rule": asdict(self.sum_rule),
            "reach": reach_record(self.reach),
            "laue_tests": [{**asdict(test), "reduced_chi_squared": test.reduced} for test in self.laue_tests],
            "all_alphas": [
                {
                    "name": orbit.name,
                    "length_angstrom": orbit.length_angstrom,
                    "value": value,
                    "standard_uncertainty": s,
                }
                for orbit, value, s in zip(
                    self.all_orbits, self.all_alphas.tolist(), self.all_uncertainties.tolist(), strict=True
                )
            ],
        }

    def as_csv(self) -> str:
        """Return the alphas as CSV, one line for each orbit."""
        return as_csv(self.fit)

    def as_cif(self) -> str:
        """Return the alphas, the settings and the checks as CIF."""
        checks = {
            "sro_chi_squared": f"{self.chi_squared:.6g}",
            "sro_degrees_of_freedom": self.degrees_of_freedom,
            "sro_lowest": with_uncertainty(self.sum_rule.lowest, self.sum_rule.standard_uncertainty),
            "sro_mean": None if self.sum_rule.file_mean is None else f"{self.sum_rule.file_mean:.5f}",
            "sro_correlation_length": self.reach.length_text,
        }
        return as_cif(self.fit, self.correlations.cell, {**self._settings_record(), **checks}, ())

    def write(self, targets: Mapping[str, Path]) -> None:
        """Write files; `targets` are their paths by kind, "json", "csv", "cif" or "png".

        Raises:
            InputError: a file cannot be written.
        """
        title = f"Short-range order of the crystal, {len(self.fit.orbits)} parameters, Laue class {self.settings.laue}"
        write_files(
            targets,
            {"csv": self.as_csv, "cif": self.as_cif},
            self.as_record,
            lambda: draw_volume_refinement(
                self.fit, self.all_orbits, self.all_alphas, self.correlations.cell, self.reach, title
            ),
        )

    def _settings_record(self) -> dict[str, object]:
        record = self.correlations.record
        return {
            "source": Path(self.name).name,
            "centring": self.centring,
            "centring_from": record.get("centring_from"),
            "laue_class": self.settings.laue,
            "laue_from": self.laue_from,
            "unique_axis": self.settings.unique_axis,
            "volume_chi_squared": record.get("chi_squared"),
            "volume_measured_share": record.get("measured_share"),
            "volume_averaged_over": record.get("laue"),
        }
