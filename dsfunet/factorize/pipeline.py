"""`factorize_plane`: clean up a measured plane, resample it, factorise it, judge the answer, and keep the record."""

import json
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dsfunet._version import __version__
from dsfunet.cleanup import CleanUpRecord, clean
from dsfunet.errors import InputError
from dsfunet.factorize.answers import Answer, CleanPlane
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.lattice_answer import answer_on_lattice
from dsfunet.factorize.lattice_model import CentringContradictedError
from dsfunet.factorize.network_answer import answer_by_networks
from dsfunet.factorize.notes import bragg_notes, missing_notes, zero_notes
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.factorize.trained_range import check_range, trained_range_notes
from dsfunet.physics import Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import Product
from dsfunet.planes.geometry import make_lattice_plane
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.preprocessing import check_brightest, measured_pixels
from dsfunet.planes.resampling import to_network_grid
from dsfunet.planes.result import Result, count_repeats
from dsfunet.verdict.judge import Verdict


@dataclass(frozen=True, eq=False)
class Factorization:
    """The result of factorising a measured plane, with the verdict on it and the notes a user should read.

    Attributes:
        result: Both components and their product, on the plane's own grid; `dsfunet.write_result` writes it.
        r_factor: sum |I - P| / sum I over the measured pixels that have components; P is the product.
        missing: Share of the networks' input square that was not measured, 0 to 1.
        q_max_inv_angstrom: Half the side of that square [1/Angstrom]; None for a plane without axes.
        lattice: Whether lattice mode was used, and how far the two answers differ, in words.
        verdict: Whether the components explain the plane, and if not, why.
        clean_up: What the clean-up did to the plane.
        notes: Warnings about the plane and its answer, a sentence each; first those of the file's reader.
        seconds: Time that all this took [s].

    Examples:
        >>> from dsfunet import FactorizeSettings, factorize_plane, read_plane
        >>> plane = read_plane("examples/cresol_benzene.h5", "hk0")
        >>> factorization = factorize_plane(plane, FactorizeSettings(passes=0))
        >>> factorization.lattice.split()[0], factorization.verdict.trustworthy
        ('used', True)
        >>> 0 < factorization.r_factor < 0.1
        True
    """

    result: Result
    r_factor: float
    missing: float
    q_max_inv_angstrom: float | None
    lattice: str
    verdict: Verdict
    clean_up: CleanUpRecord
    notes: tuple[str, ...]
    seconds: float


def factorize_plane(
    measured: MeasuredPlane,
    settings: FactorizeSettings | None = None,
    factorizer: Factorizer | None = None,
    source: str = "",
    requested_plane: str = "",
) -> Factorization:
    """Split a measured plane into form factor and short-range order.

    The lattice is that of the plane's cell and axes. For a plane without axes it is searched for in the plane itself.

    Args:
        measured: The plane, from `dsfunet.read_plane` or made by hand; NaN and negative pixels are missing.
        settings: How to factorise it; the defaults if None.
        factorizer: The networks; the ones that ship with the package if None.
        source: Name of the file, for the record.
        requested_plane: Name of the plane as the user typed it, for the record.

    Raises:
        InputError: Too little of the plane was measured, all measured pixels are equal or beyond the range of 32-bit
            numbers, a plane without axes is not 256 x 256, or a clean-up step cannot be done (`dsfunet.cleanup.clean`).

    Examples:
        >>> from dsfunet import FactorizeSettings, factorize_plane, read_plane
        >>> plane = read_plane("examples/cresol_benzene.h5", "hk1")
        >>> factorization = factorize_plane(plane, FactorizeSettings(passes=0))
        >>> factorization.verdict.level
        'explained'
        >>> factorization.result.form_factor.shape == plane.intensity.shape
        True
    """
    settings = settings or FactorizeSettings()
    factorizer = factorizer or Factorizer.from_pretrained()
    start = time.perf_counter()
    cleaned_plane, clean_up = clean(measured, settings.clean_up)
    record = clean_up.as_plain()
    mask = measured_pixels(cleaned_plane.intensity)
    intensity = np.where(mask, cleaned_plane.intensity, np.nan)
    check_brightest(intensity[mask])
    check_range(cleaned_plane)
    shown, square = to_network_grid(cleaned_plane, settings.whole)
    lattice = _choose_lattice(cleaned_plane, square) if settings.lattice else None
    plane = CleanPlane(
        replace(cleaned_plane, intensity=intensity),
        mask,
        shown,
        square,
        count_repeats(record["steps"]),
    )
    answer = answer_plane(plane, lattice, settings, factorizer)
    product = answer.product
    residual = intensity - product.intensity
    known = mask & np.isfinite(product.intensity)
    r_factor = float(np.abs(residual)[known].sum() / np.sum(intensity[known]))
    verdict = answer.verdict
    missing = float(1 - np.isfinite(shown).mean())
    notes = [
        *cleaned_plane.notes,
        *trained_range_notes(cleaned_plane, square),
        *bragg_notes(cleaned_plane, settings.clean_up, lattice, verdict),
        *missing_notes(missing),
        *zero_notes(intensity.astype(np.float32), mask),
        *answer.notes,
    ]
    q_max = None if square is None else half_side(square)
    process = {
        "program": "dsfunet",
        "version": __version__,
        "source": source,
        "plane": str(measured.grid.name) if measured.grid else "",
        **_record_networks(factorizer, settings),
        "uncertainty": answer.uncertainty,
        "lattice_mode": answer.lattice_use,
        "lattice": json.dumps(answer.lattice),
        "r_factor": r_factor,
        **_record_product(product),
        "verdict": verdict.sentence,
        "verdict_level": verdict.level,
        "verdict_numbers": json.dumps(verdict.numbers),
        "clean_up": json.dumps(record),
        "notes": json.dumps(notes),
        "recipe": json.dumps(
            {
                "asked_for_plane": requested_plane or None,
                "device": str(factorizer.device),
                "network_grid_q_max_inv_angstrom": q_max,
                "product": "scale (form_factor + form_factor_floor) (short_range_order + short_range_order_floor)",
            }
        ),
    }
    result = Result(
        input=intensity.astype(np.float32),
        product=product.intensity.astype(np.float32),
        residual=residual.astype(np.float32),
        mask=mask,
        grid=measured.grid,
        process=process,
        **answer.planes,
    )
    seconds = time.perf_counter() - start
    return Factorization(
        result, r_factor, missing, q_max, answer.lattice_use, verdict, clean_up, tuple(notes), seconds
    )


def answer_plane(
    plane: CleanPlane,
    lattice: LatticePlane | Literal["find"] | None,
    settings: FactorizeSettings,
    factorizer: Factorizer,
) -> Answer:
    """Split a plane by the data on their lattice where that explains the plane, and by the networks elsewhere.

    Args:
        plane: What to split.
        lattice: That of the plane's cell and axes on the networks' grid; "find" if it has none; None to use none.
        settings: How to split it.
        factorizer: The networks.

    Raises:
        InputError: The settings insist on a lattice that cannot be fitted to the plane, or on a centring that the plane
            contradicts.
    """
    grid, square = plane.measured.grid, plane.square
    if not isinstance(lattice, LatticePlane) or grid is None or square is None:
        return answer_by_networks(plane, lattice, settings, factorizer)
    try:
        return answer_on_lattice(plane, square, grid, lattice, settings, factorizer)
    except InputError as error:
        if settings.lattice == "insist" or isinstance(error, CentringContradictedError):
            raise
        answer = answer_by_networks(plane, lattice, settings, factorizer)
        return replace(answer, notes=(*answer.notes, f"no joint fit of both factors to the data: {error}"))


def _choose_lattice(measured: MeasuredPlane, square: Plane | None) -> LatticePlane | Literal["find"] | None:
    """The lattice of the plane's cell and axes, "find" if it has none, None if nothing repeats on this plane."""
    if measured.grid is None or square is None:
        return "find"
    try:
        return make_lattice_plane(measured.grid, square)
    except InputError:
        return None


def _record_networks(factorizer: Factorizer, settings: FactorizeSettings) -> dict[str, str | int | float]:
    weights = factorizer.description
    return {
        "weights": weights["name"],
        "weights_sha256": weights["digest"],
        "passes": settings.passes,
        "seed": settings.seed if settings.passes > 1 else "none: one pass is deterministic",
    }


def _record_product(product: Product) -> dict[str, float]:
    return {
        "scale": product.scale,
        "form_factor_floor": product.form_factor_floor,
        "short_range_order_floor": product.short_range_order_floor,
    }


def half_side(plane: Plane) -> float:
    """Distance from the centre of a square plane to its edge, along the axis of its rows [1/Angstrom]."""
    return float(np.linalg.norm(plane.step_u)) * plane.shape[0] / 2
