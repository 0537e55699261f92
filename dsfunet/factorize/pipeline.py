"""`factorize_plane`: clean up a measured plane, resample it, factorise it, judge the answer, and keep the record."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from dsfunet._typing import Array, Float32
from dsfunet._version import __version__
from dsfunet.cleanup import CleanUpRecord, clean
from dsfunet.errors import InputError
from dsfunet.factorize.components import Components
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.notes import bragg_notes, describe_lattice_use, missing_notes, other_answer, zero_notes
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.factorize.trained_range import check_range, trained_range_notes
from dsfunet.physics import Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import Product, fit_product
from dsfunet.planes.geometry import make_lattice_plane
from dsfunet.planes.measured import MeasuredPlane
from dsfunet.planes.preprocessing import check_brightest, measured_pixels
from dsfunet.planes.resampling import to_network_grid, to_user_grid
from dsfunet.planes.result import Result
from dsfunet.verdict.judge import Verdict, judge


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
    mask = measured_pixels(cleaned_plane.intensity)
    intensity = np.where(mask, cleaned_plane.intensity, np.nan)
    check_brightest(intensity[mask])
    shown, square = to_network_grid(cleaned_plane, settings.whole)
    check_range(cleaned_plane)
    lattice = _choose_lattice(cleaned_plane, square) if settings.lattice else None
    components = factorizer(shown, lattice=lattice, passes=settings.passes, seed=settings.seed)
    planes = _to_own_grid(components, square, cleaned_plane)
    form_factor, order = planes.pop("form_factor"), planes.pop("short_range_order")
    # A plane that is wider than the networks' square has no components far from its centre.
    known = mask & np.isfinite(form_factor) & np.isfinite(order)
    product = fit_product(intensity, form_factor.astype(np.float64), order.astype(np.float64), known)
    residual = intensity - product.intensity
    r_factor = float(np.nansum(np.abs(residual)[known]) / np.sum(intensity[known]))
    verdict = _judge_answer(shown, components, lattice)
    missing = float(1 - np.isfinite(shown).mean())
    notes = [
        *cleaned_plane.notes,
        *trained_range_notes(cleaned_plane, square),
        *bragg_notes(cleaned_plane, settings.clean_up, lattice, verdict),
        *missing_notes(missing),
        *zero_notes(intensity.astype(np.float32), mask),
    ]
    lattice_use = describe_lattice_use(components)
    q_max = None if square is None else half_side(square)
    process = {
        "program": "dsfunet",
        "version": __version__,
        "source": source,
        "plane": str(measured.grid.name) if measured.grid else "",
        **_record_networks(factorizer, components, settings),
        "lattice_mode": lattice_use,
        "r_factor": r_factor,
        **_record_product(product),
        "verdict": verdict.sentence,
        "verdict_level": verdict.level,
        "verdict_numbers": json.dumps(verdict.numbers),
        "clean_up": json.dumps(clean_up.as_plain()),
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
        form_factor=form_factor,
        short_range_order=order,
        product=product.intensity.astype(np.float32),
        residual=residual.astype(np.float32),
        mask=mask,
        grid=measured.grid,
        process=process,
        **planes,
    )
    seconds = time.perf_counter() - start
    return Factorization(
        result, r_factor, missing, q_max, lattice_use, verdict, clean_up, tuple(notes), seconds
    )


def _to_own_grid(components: Components, square: Plane | None, measured: MeasuredPlane) -> dict[str, Float32]:
    """The components of one plane, their uncertainties and the other answer, on the grid of the plane, by name."""

    def bring_back(values: npt.NDArray[np.floating[Any]]) -> Float32:
        return to_user_grid(values, square, measured.grid).astype(np.float32)

    answers = {
        "form_factor": components.form_factor,
        "short_range_order": components.short_range_order,
        **_name_sigmas(components),
        **other_answer(components),
    }
    # The first plane is done by itself: it fills the cache of what all planes on this grid share. The others are done
    # in parallel, since scipy's splines release Python's lock.
    first = answers.pop("form_factor")
    planes = {"form_factor": bring_back(first)}
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        planes |= dict(zip(answers, threads.map(bring_back, answers.values()), strict=True))
    return {name: np.maximum(each, 0) if name.startswith("sigma") else each for name, each in planes.items()}


def _choose_lattice(measured: MeasuredPlane, square: Plane | None) -> LatticePlane | Literal["find"] | None:
    """The lattice of the plane's cell and axes, "find" if it has none, None if nothing repeats on this plane."""
    if measured.grid is None or square is None:
        return "find"
    try:
        return make_lattice_plane(measured.grid, square)
    except InputError:
        return None


def _judge_answer(
    shown: Array, components: Components, lattice: LatticePlane | Literal["find"] | None
) -> Verdict:
    [answer] = components.lattice_answers or (None,)
    [found] = components.found_lattices or (None,)
    its_lattice = lattice if isinstance(lattice, LatticePlane) else found.lattice if found else None
    return judge(
        shown, components.mask, components.form_factor, components.short_range_order, answer, its_lattice
    )


def _record_networks(
    factorizer: Factorizer, components: Components, settings: FactorizeSettings
) -> dict[str, str | int | float]:
    weights = factorizer.description
    return {
        "weights": weights["name"],
        "weights_sha256": weights["digest"],
        "passes": settings.passes,
        "seed": settings.seed if settings.passes > 1 else "none: one pass is deterministic",
        "uncertainty": components.uncertainty,
    }


def _record_product(product: Product) -> dict[str, float]:
    return {
        "scale": product.scale,
        "form_factor_floor": product.form_factor_floor,
        "short_range_order_floor": product.short_range_order_floor,
    }


def _name_sigmas(components: Components) -> dict[str, Float32]:
    if components.sigmas is None:
        return {}
    return {
        "sigma_form_factor": components.sigmas[0],
        "sigma_short_range_order": components.sigmas[1],
    }


def half_side(plane: Plane) -> float:
    """Distance from the centre of a square plane to its edge, along the axis of its rows [1/Angstrom]."""
    return float(np.linalg.norm(plane.step_u)) * plane.shape[0] / 2
