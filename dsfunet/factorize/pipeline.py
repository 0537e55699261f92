"""One measured plane, from its owner's grid and back: cleaned up, resampled, factorised, judged, and on record."""

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
from dsfunet.cleanup import CleanUpRecord, clean, look_for_bragg
from dsfunet.errors import InputError
from dsfunet.factorize.components import Components
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.factorize.trained_range import check_range, trained_range_notes
from dsfunet.io import MeasuredPlane, Result
from dsfunet.lattice.search import FoundLattice
from dsfunet.physics import Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import Product, fit_product
from dsfunet.planes.geometry import make_lattice_plane
from dsfunet.planes.preprocessing import check_brightest, measured_pixels
from dsfunet.planes.resampling import to_network_grid, to_user_grid
from dsfunet.verdict.judge import Verdict, judge

_TRAINED_MISSING = 0.55

_SUSPICIOUS_ZEROS = 0.05

_FEW_COUNTS = 12


@dataclass(frozen=True, eq=False)
class Separation:
    """A result and what was seen on the way.

    Attributes:
        result: both components and what they explain, on the owner's grid.
        r_factor: sum |I - P| / sum I over the measured pixels that have components, P the product.
        missing: share of the networks' square that was not measured.
        q_max_inv_angstrom: how far the networks saw, half the side of their square [1/Angstrom]; None without axes.
        lattice: whether the lattice was used, and how far it moved the answer, in words.
        verdict: whether the components explain the plane, and what speaks against them.
        clean_up: what was done to the plane before.
        notes: sentences about the plane that a user should know before believing the answer.
        seconds: that all this took.
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


def separate(
    measured: MeasuredPlane,
    factorizer: Factorizer,
    settings: FactorizeSettings | None = None,
    source: str = "",
    asked_for: str = "",
) -> Separation:
    """Factorise one measured plane, on the lattice of its cell and axes or, without these, on the one that is found.

    Args:
        measured: as a reader gives it; NaN and negative are missing.
        factorizer: the networks.
        settings: how, the defaults unless given.
        source: name of the file, for the record.
        asked_for: name of the plane that was asked for, likewise.

    Raises:
        InputError: nothing was measured, or too little to be worth an answer; all measured pixels are equal or too
            large or small for 32-bit numbers; a plane without axes is not 256 x 256; or as `dsfunet.cleanup.clean`.
    """
    settings = settings or FactorizeSettings()
    start = time.perf_counter()
    measured, cleaned = clean(measured, settings.clean_up)
    mask = measured_pixels(measured.intensity)
    intensity = np.where(mask, measured.intensity, np.nan)
    check_brightest(intensity[mask])
    shown, plane = to_network_grid(measured, settings.whole)
    check_range(measured)
    lattice = _lattice_to_use(measured, plane) if settings.lattice else None
    components = factorizer(shown, lattice=lattice, passes=settings.passes, seed=settings.seed)

    def on_own_grid(values: npt.NDArray[np.floating[Any]]) -> Float32:
        return to_user_grid(values, plane, measured.grid).astype(np.float32)

    both = {"form_factor": components.form_factor, "short_range_order": components.short_range_order}
    answers = both | _sigmas(components) | _other_answer(components)
    # Scipy's splines leave Python's lock alone. The first by itself: what grids have in common is then there for all.
    form_factor = on_own_grid(answers.pop("form_factor"))
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        own = dict(zip(answers, threads.map(on_own_grid, answers.values()), strict=True))
    order = own.pop("short_range_order")
    # A plane that is wider than the networks see has no components far from its centre.
    known = mask & np.isfinite(form_factor) & np.isfinite(order)
    product = fit_product(intensity, form_factor.astype(np.float64), order.astype(np.float64), known)
    residual = intensity - product.intensity
    r_factor = float(np.nansum(np.abs(residual)[known]) / np.sum(intensity[known]))
    words = _lattice_in_words(components)
    verdict = _judged(shown, components, lattice)
    q_max = None if plane is None else half_side(plane)
    # Those of the clean-up are among the plane's own.
    notes = [
        *trained_range_notes(measured, plane),
        *_bragg_notes(measured, settings, lattice, verdict),
    ]
    result = Result(
        input=intensity.astype(np.float32),
        form_factor=form_factor,
        short_range_order=order,
        product=product.intensity.astype(np.float32),
        residual=residual.astype(np.float32),
        mask=mask,
        grid=measured.grid,
        process={
            "program": "dsfunet",
            "version": __version__,
            "source": source,
            "plane": str(measured.grid.name) if measured.grid else "",
            **_of_networks(factorizer, components, settings),
            "lattice_mode": words,
            "r_factor": r_factor,
            **_of_product(product),
            "verdict": verdict.sentence,
            "verdict_level": verdict.level,
            "verdict_numbers": json.dumps(verdict.numbers),
            "clean_up": json.dumps(cleaned.as_plain()),
            "notes": json.dumps([*measured.notes, *notes]),
            "recipe": json.dumps(
                {
                    "asked_for_plane": asked_for or None,
                    "device": str(factorizer.device),
                    "network_grid_q_max_inv_angstrom": q_max,
                    "product": "scale (form_factor + form_factor_floor) (short_range_order + short_range_order_floor)",
                }
            ),
        },
        **{name: np.maximum(each, 0) if name.startswith("sigma") else each for name, each in own.items()},
    )
    return Separation(
        result,
        r_factor,
        float(1 - np.isfinite(shown).mean()),
        q_max,
        words,
        verdict,
        cleaned,
        (
            *cleaned.notes,
            *notes,
        ),
        time.perf_counter() - start,
    )


def _lattice_to_use(measured: MeasuredPlane, plane: Plane | None) -> LatticePlane | Literal["find"] | None:
    """The lattice of the plane's cell and axes, "find" where it has none, None for a plane on which nothing repeats."""
    if measured.grid is None or plane is None:
        return "find"
    try:
        return make_lattice_plane(measured.grid, plane)
    except InputError:
        return None


def _judged(shown: Array, components: Components, lattice: LatticePlane | Literal["find"] | None) -> Verdict:
    [answer] = components.lattice_answers or (None,)
    [found] = components.found_lattices or (None,)
    its_lattice = lattice if isinstance(lattice, LatticePlane) else found.lattice if found else None
    return judge(
        shown, components.mask, components.form_factor, components.short_range_order, answer, its_lattice
    )


def _of_networks(
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


def _of_product(product: Product) -> dict[str, float]:
    return {
        "scale": product.scale,
        "form_factor_floor": product.form_factor_floor,
        "short_range_order_floor": product.short_range_order_floor,
    }


def _sigmas(components: Components) -> dict[str, Float32]:
    if components.sigma_form_factor is None or components.sigma_short_range_order is None:
        return {}
    return {
        "sigma_form_factor": components.sigma_form_factor,
        "sigma_short_range_order": components.sigma_short_range_order,
    }


def _bragg_notes(
    measured: MeasuredPlane,
    settings: FactorizeSettings,
    lattice: LatticePlane | Literal["find"] | None,
    verdict: Verdict,
) -> list[str]:
    """A warning where Bragg peaks seem to be left in; on a lattice the verdict has looked for them, too."""
    seen = isinstance(lattice, LatticePlane) and (verdict.trustworthy or "Bragg" in verdict.reasons)
    if measured.grid is None or seen or settings.clean_up.bragg_radius is not None:
        return []
    evidence = look_for_bragg(measured.intensity, measured.grid.plane, measured.grid.cell)
    return [evidence.sentence()] if evidence.suspicious else []


def half_side(plane: Plane) -> float:
    """How far from its centre a plane goes along its rows' axis [1/Angstrom]."""
    return float(np.linalg.norm(plane.step_u)) * plane.shape[0] / 2


def _other_answer(components: Components) -> dict[str, npt.NDArray[np.float32]]:
    """The answer that is not shown, under its names in a result."""
    answer = components.lattice_answers[0] if components.lattice_answers else None
    if answer is None:
        return {}
    assert components.of_networks is not None
    if answer.accepted:
        names, planes = "of_networks", components.of_networks
    else:
        names, planes = "on_lattice", (answer.form_factor, answer.short_range_order)
    return {f"form_factor_{names}": planes[0], f"short_range_order_{names}": planes[1]}


def _lattice_in_words(components: Components) -> str:
    """Whether the lattice was used, what it makes of the plane beside the networks alone, and how far both differ."""
    if not components.lattice_answers:
        return "not used: the networks alone"
    [answer] = components.lattice_answers
    if answer is None:
        return "none found that convinces: the networks alone"
    residuals = (
        f"wR2 {answer.residual:.3f} on the lattice, {answer.residual_of_networks:.3f} by the networks alone"
    )
    shown = components.form_factor, components.short_range_order
    differences = [
        f"{title} by {np.sqrt(np.mean((np.sqrt(one) - np.sqrt(other)) ** 2)):.3f}"
        for title, one, other in zip(
            ("I_FF", "I_SRO"), shown, _other_answer(components).values(), strict=True
        )
    ]
    where = _found_in_words(components.found_lattices[0]) if components.found_lattices else ""
    differ = f"they differ in {' and '.join(differences)} (rms of square roots)"
    if not answer.accepted:
        return f"{where}does not explain the plane, the networks alone are shown ({residuals}); {differ}"
    return f"{where}used ({residuals}); {differ}"


def _found_in_words(found: FoundLattice | None) -> str:
    assert found is not None
    first, second = found.reciprocal_pixels
    lengths = np.linalg.norm(found.reciprocal_pixels, axis=1)
    angle = np.degrees(np.arccos(first @ second / np.prod(lengths)))
    return (
        f"found from the plane itself, periods of {lengths[0]:.2f} and {lengths[1]:.2f} pixels at {angle:.1f}°"
        f" (confidence {found.confidence:.2f}), "
    )


def notes_on(found: Separation) -> list[str]:
    """What a user should know before believing the answer."""
    notes = [*found.notes]
    if found.missing > _TRAINED_MISSING:
        notes.append(
            f"{100 * found.missing:.0f} % of the square the networks see is missing, more than the"
            f" {100 * _TRAINED_MISSING:.0f} % they were trained on"
        )
    intensity = found.result.input
    zeros = float(np.mean(intensity[found.result.mask] == 0))
    if zeros > _SUSPICIOUS_ZEROS and not _of_few_counts(intensity[found.result.mask]):
        notes.append(
            f"{100 * zeros:.0f} % of the pixels are exactly 0 and count as measured; if they are gaps, set them to NaN"
            " or give --mask-value 0"
        )
    return notes


def _of_few_counts(values: npt.NDArray[np.float32]) -> bool:
    """Whether these are counts so few that some are 0 by chance."""
    counts = values[values > 0]
    whole = np.array_equal(values, np.round(values))
    return whole and bool(counts.size == 0 or np.median(counts) <= _FEW_COUNTS)
