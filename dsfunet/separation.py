"""One measured plane, from its owner's grid and back: resampled, factorised, on its lattice or not, and on record."""

import json
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dsfunet import __version__
from dsfunet.errors import InputError
from dsfunet.factorize import Components, Factorizer
from dsfunet.io import MeasuredPlane, Result
from dsfunet.lattice_search import FoundLattice
from dsfunet.physics import Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.preprocessing import measured_pixels
from dsfunet.product import fit_product
from dsfunet.resampling import to_network_grid, to_user_grid

Array = npt.NDArray[np.float64]

_SMALLEST_BRIGHTEST, _LARGEST_BRIGHTEST = 1e-30, 1e30


@dataclass(frozen=True, eq=False)
class Separation:
    """A result and what was seen on the way.

    Attributes:
        result: both components and what they explain, on the owner's grid.
        r_factor: sum |I - P| / sum I over the measured pixels, P the product.
        missing: share of the networks' square that was not measured.
        q_max_inv_angstrom: how far the networks saw, half the side of their square [1/Angstrom]; None without axes.
        lattice: whether the lattice was used, and how far it moved the answer, in words.
        seconds: that resampling and factorising took.
    """

    result: Result
    r_factor: float
    missing: float
    q_max_inv_angstrom: float | None
    lattice: str
    seconds: float


def separate(
    measured: MeasuredPlane,
    factorizer: Factorizer,
    use_lattice: bool = True,
    source: str = "",
    asked_for: str = "",
) -> Separation:
    """Factorise one measured plane, on the lattice of its cell and axes or, without these, on the one that is found.

    Args:
        measured: as a reader gives it; NaN and negative are missing.
        factorizer: the networks.
        use_lattice: False for the networks alone.
        source: name of the file, for the record.
        asked_for: name of the plane that was asked for, likewise.

    Raises:
        InputError: nothing was measured, all measured pixels are equal or too large or small for 32-bit numbers, or a
            plane without axes is not 256 x 256.
    """
    mask = measured_pixels(measured.intensity)
    intensity = np.where(mask, measured.intensity, np.nan)
    _check_range(intensity[mask])
    start = time.perf_counter()
    shown, plane = to_network_grid(measured)
    lattice: LatticePlane | Literal["find"] | None = "find" if use_lattice else None
    if use_lattice and measured.grid and plane:
        lattice = LatticePlane(measured.grid.cell, plane, measured.grid.name.axes)
    components = factorizer(shown, lattice=lattice)
    seconds = time.perf_counter() - start

    def on_own_grid(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return to_user_grid(values, plane, measured.grid).astype(np.float32)

    form_factor, order = map(on_own_grid, (components.form_factor, components.short_range_order))
    product = fit_product(intensity, form_factor.astype(np.float64), order.astype(np.float64), mask)
    residual = intensity - product.intensity
    r_factor = float(np.nansum(np.abs(residual)) / np.nansum(intensity))
    weights = factorizer.description
    words = _lattice_in_words(components)
    q_max = None if plane is None else half_side(plane)
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
            "weights": weights["name"],
            "weights_sha256": weights["digest"],
            "seed": "none: dropout is off, the answer is deterministic",
            "lattice_mode": words,
            "r_factor": r_factor,
            "scale": product.scale,
            "form_factor_floor": product.form_factor_floor,
            "short_range_order_floor": product.short_range_order_floor,
            "recipe": json.dumps(
                {
                    "asked_for_plane": asked_for or None,
                    "device": str(factorizer.device),
                    "network_grid_q_max_inv_angstrom": q_max,
                    "product": "scale (form_factor + form_factor_floor) (short_range_order + short_range_order_floor)",
                }
            ),
        },
        **{name: on_own_grid(values) for name, values in _other_answer(components).items()},
    )
    return Separation(result, r_factor, float(1 - np.isfinite(shown).mean()), q_max, words, seconds)


def half_side(plane: Plane) -> float:
    """How far from its centre a plane goes along its rows' axis [1/Angstrom]."""
    return float(np.linalg.norm(plane.step_u)) * plane.shape[0] / 2


def _check_range(values: Array) -> None:
    brightest = float(values.max(initial=0.0))
    if brightest > 0 and not _SMALLEST_BRIGHTEST < brightest < _LARGEST_BRIGHTEST:
        raise InputError(
            f"the brightest pixel is {brightest:g}, expected between {_SMALLEST_BRIGHTEST:g} and"
            f" {_LARGEST_BRIGHTEST:g}, which 32-bit numbers can hold"
        )


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
