"""Structural models tested against a result: what `dsfunet compare` and `dsfunet scan` read and write."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsfunet._typing import Array
from dsfunet._version import __version__
from dsfunet.analysis.answers import Answer, list_answers, select_answer
from dsfunet.analysis.models.fit import Comparison, Fit
from dsfunet.analysis.models.model_names import ModelPair, describe_point
from dsfunet.analysis.models.molecules import Torsion
from dsfunet.analysis.models.observation import Observation
from dsfunet.analysis.models.reports import (
    comparison_records,
    draw_fit,
    draw_scan,
    minimum_records,
    scan_records,
    write_csv,
)
from dsfunet.analysis.models.scan import About, Scan, Species, Turn, rotation_turn, torsion_turn
from dsfunet.analysis.verdicts import RecordedVerdict, read_verdict
from dsfunet.errors import InputError
from dsfunet.files import write_json
from dsfunet.io import read_result
from dsfunet.physics import Cell
from dsfunet.physics.scattering import XRAYS, Radiation, Scattering
from dsfunet.planes.result import Result
from dsfunet.plotting.result import save_png


@dataclass(frozen=True, eq=False)
class ObservedFile:
    """A file of `dsfunet factorize` whose form factor models are tested against.

    Attributes:
        path: of the file.
        result: that the file holds, with the answer that is used.
        observation: the form factor of the result, with its weights.
        answer: by the data on their lattice or by the networks alone.
        verdict: of `dsfunet factorize` on this answer; None if the result was not read from a file.
    """

    path: Path
    result: Result
    observation: Observation
    answer: Answer
    verdict: RecordedVerdict | None = None

    @classmethod
    def read(cls, path: Path | str, answer: Answer | None = None) -> "ObservedFile":
        """Read a result.

        Args:
            path: of the file.
            answer: which answer to use; None takes the chosen one. The other one has no standard uncertainties.

        Raises:
            InputError: the file is not a result, does not hold this answer, has no unit cell and axes, or its form
                factor cannot be used.
        """
        whole = read_result(path)
        result = select_answer(whole, answer, str(path))
        verdict = read_verdict(whole, str(path), answer)
        try:
            return cls(Path(path), result, Observation.of(result), list_answers(result)[0], verdict)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @property
    def cell(self) -> Cell:
        """Unit cell of the measurement."""
        assert self.result.grid is not None  # `Observation.of` checked it
        return self.result.grid.cell


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion of a scan.

    Attributes:
        turn: moves a model by an angle [degrees].
        label: of the angle, for the axis of a plot.
        torsions_at_zero_deg: torsion angles in the structure as given [degrees], by name; empty for a rotation.
        about: a sentence on the point that stays; empty for torsions.
    """

    turn: Turn
    label: str
    torsions_at_zero_deg: Mapping[str, float]
    about: str = ""


def torsion_motion(torsions: Sequence[Torsion], pair: ModelPair, species: Species = "both") -> Motion:
    """Return the motion that changes one or more torsion angles together; arguments as for `torsion_turn`.

    Raises:
        InputError: a torsion is in none of the chosen species, or cannot be turned.
    """
    turn = torsion_turn(torsions, pair, species)
    bonds = ", ".join(f"{torsion.labels[1]}-{torsion.labels[2]}" for torsion in torsions)
    angles = {
        f"{torsion} of {name}": torsion.angle_deg(molecule)
        for torsion in torsions
        for name, molecule in (("A", pair.first), ("B", pair.second))
        if species in (name, "both") and torsion.is_in(molecule)
    }
    return Motion(turn, f"turn about {bonds} (°)", angles)


def rotation_motion(
    axis: Array,
    name: str,
    species: Species = "both",
    about: About = "centroid",
    pair: ModelPair | None = None,
) -> Motion:
    """Return the rotation of whole molecules.

    Args:
        axis: Cartesian, shape (3,).
        name: of the axis, for the label.
        species: that are rotated.
        about: the point that stays, the centroid of each species or the origin.
        pair: the model, to say where its points are.
    """
    sentence = "turned about the origin (--about origin)"
    if about == "centroid":
        centroids = (
            [
                f"{describe_point(molecule.centroid)} of {letter}"
                for letter, molecule in (("A", pair.first), ("B", pair.second))
                if species in (letter, "both") and molecule.elements
            ]
            if pair is not None
            else []
        )
        where = f", {' and '.join(centroids)}" if centroids else ""
        sentence = f"turned about the centroid{where} (the default; --about origin turns about the origin)"
    return Motion(rotation_turn(axis, species, about), f"rotation about {name} (°)", {}, sentence)


def write_comparison(
    comparison: Comparison,
    observed: ObservedFile,
    targets: Mapping[str, Path],
    scattering: Scattering = XRAYS,
    better: tuple[Radiation, Fit] | None = None,
) -> None:
    """Write a comparison; `targets` are the paths of the files "json", "csv" and "png" (the best fit).

    Raises:
        InputError: a file cannot be written.
    """
    records, best = comparison_records(comparison), comparison.fits[0]
    header = _header(observed, comparison.resamples, comparison.seed, scattering)
    names = [fit.name for fit in comparison.fits]
    judged = {
        "best_explains": best.explains,
        "best_wr2": best.wr2,
        "noise_wr2": best.noise_wr2 if np.isfinite(best.noise_wr2) else None,
        "indistinguishable": [
            [names[first], names[second]] for first, second in comparison.indistinguishable
        ],
        "better_radiation": None if better is None else {"radiation": better[0], "wr2": better[1].wr2},
    }
    _write_json(targets["json"], {**header, **judged, "models": records})
    write_csv(targets["csv"], records)
    save_png(
        draw_fit(observed.result, best, observed.observation, _title(best.name, observed)), targets["png"]
    )


def write_scan(
    scan: Scan,
    observed: ObservedFile,
    pair: ModelPair,
    motion: Motion,
    species: Species,
    targets: Mapping[str, Path],
    scattering: Scattering = XRAYS,
) -> None:
    """Write a scan; `targets` are the paths of "json", "csv", "png" (the curve) and "planes" (the best fit, as .png).

    Raises:
        InputError: a file cannot be written.
    """
    _write_json(
        targets["json"],
        {
            **_header(observed, scan.resamples, scan.seed, scattering),
            "model": pair.name,
            "formulas": [pair.first.formula, pair.second.formula],
            "turned": motion.label,
            "about": motion.about or None,
            "torsions_at_angle_0_deg": dict(motion.torsions_at_zero_deg),
            "species": species,
            "minima": minimum_records(scan),
            "curve": scan_records(scan),
        },
    )
    write_csv(targets["csv"], scan_records(scan))
    save_png(draw_scan(scan, motion.label, _title(pair.name, observed)), targets["png"])
    best = float(scan.angles_deg[scan.fits.index(scan.best)])
    title = f"{pair.name} at {best:g}°".replace(" -", " \N{MINUS SIGN}")
    save_png(
        draw_fit(observed.result, scan.best, observed.observation, _title(title, observed)), targets["planes"]
    )


def _title(title: str, observed: ObservedFile) -> str:
    """Return a title that carries the verdict of a plane that is not explained."""
    verdict = observed.verdict
    return title if verdict is None or verdict.warning is None else f"{verdict.level}: {title}"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_json(path, content, indent=2, sort_keys=False, ensure_ascii=False)


def _header(observed: ObservedFile, resamples: int, seed: int, scattering: Scattering) -> dict[str, Any]:
    """Return the entries of a JSON file that say where its numbers come from."""
    observation = observed.observation
    return {
        "program": "dsfunet",
        "version": __version__,
        "source": observed.path.name,
        "answer": observed.answer,
        "verdict": None if observed.verdict is None else observed.verdict.as_record(),
        "source_sha256": hashlib.sha256(observed.path.read_bytes()).hexdigest(),
        "pixels": int(observation.used.sum()),
        "blocks": observation.block_count,
        "weights": "1 / sigma^2"
        if observation.sigma is not None
        else "1 / (P + 0.01), P = (y_o + 2 y_c) / 3",
        "misfit": "mean of (s_o - s_c)^2, s = 2 sqrt(y) - 1, y = scale I_FF exp(-B |Q|^2 / 8 pi^2) + floor",
        "radiation": scattering.radiation,
        "wavelength_angstrom": scattering.wavelength_angstrom,
        "resamples": resamples,
        "seed": seed,
    }
