"""Draw planes that break the method's assumptions, as samples of a store.

In these samples `form_factor` and `short_range_order` belong to the ideal plane, before the violation; `scattering` is
the plane after it. The store's attribute `violations` lists kind, level and counts of every plane.
"""

import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics import plane_through
from dsfunet.planes.preprocessing import PIXELS, normalise
from simulate.artefacts.degradation import add_counting_noise
from simulate.artefacts.masks import draw_mask
from simulate.crystals.draw import ORDER_KINDS, Population, draw_crystal
from simulate.crystals.kernels import form_factor_intensity, measured_range, short_range_order_intensity
from simulate.crystals.planes import Sample, draw_layers
from simulate.recipe import SPLITS
from simulate.violations.kinds import KINDS, MAX_ATTEMPTS, IdealPlane, ViolatingPlane

COUNTS: tuple[float | None, ...] = (None, 1000.0, 100.0)
"""Counts expected in the brightest pixel; planes take turns. None means no noise."""


def plan_planes(planes_per_kind: int) -> list[dict[str, str | float | None]]:
    """Return kind, level, strength and counts of every plane of a store; levels and counts take turns.

    Raises:
        InputError: `planes_per_kind` is below 1.
    """
    if planes_per_kind < 1:
        raise InputError(f"--planes-per-kind is {planes_per_kind}; expected at least 1")
    return [
        {
            "kind": kind,
            "level": [*levels][number % len(levels)],
            "strength": [*levels.values()][number % len(levels)],
            "counts": COUNTS[number // len(levels) % len(COUNTS)],
        }
        for kind, (_, levels) in KINDS.items()
        for number in range(planes_per_kind)
    ]


def draw_violation(
    population: Population, index: int, kind: str, strength: float, counts: float | None
) -> Sample:
    """Draw plane number `index` of a store of violations: one entry for every array, including `scattering`.

    The plane depends on the recipe's seed, the split and the index only.

    Raises:
        InputError: none of the crystals drawn is suitable for this kind.
    """
    stream = (len(SPLITS) + 1, SPLITS.index(population.split), index)
    rng = np.random.default_rng(np.random.SeedSequence(population.recipe.seed, spawn_key=stream))
    for _ in range(MAX_ATTEMPTS):
        ideal = _draw_ideal_plane(population, rng)
        if ideal is None:
            continue
        violating = KINDS[kind][0](population, rng, ideal, strength)
        if violating is None:
            continue
        scattering = violating.scattering
        if counts is not None and kind != "noise alone":
            brightest = float(scattering[violating.mask].max())
            if not brightest > 0:
                continue
            # The brightest measured pixel sets the counts; pixels under the mask may be brighter.
            scattering = add_counting_noise(np.minimum(scattering, brightest), counts, rng)
        shown = np.where(violating.mask, scattering, 0.0)
        if not np.ptp(shown[violating.mask]) > 0:
            continue
        shown /= shown.max()
        if measured_range(shown.astype(np.float32), violating.mask) > 1e-3:
            return _sample(population, ideal, violating, shown)
    raise InputError(
        f"violation {kind!r}: none of {MAX_ATTEMPTS} crystals is suitable; use a recipe with masks, layers of integer"
        " index and species that scatter differently"
    )


def _sample(population: Population, ideal: IdealPlane, violating: ViolatingPlane, shown: Array) -> Sample:
    form_factor, form_factor_low, form_factor_range = normalise(ideal.form_factor)
    order, order_low, order_range = normalise(ideal.order)
    crystal, plane = ideal.crystal, ideal.plane
    return {
        "form_factor": form_factor.astype(np.float16),
        "short_range_order": order.astype(np.float16),
        "scattering": shown.astype(np.float16),
        "mask": np.packbits(violating.mask, axis=-1),
        "form_factor_floor": np.float32(form_factor_low / form_factor_range),
        "short_range_order_floor": np.float32(order_low / order_range),
        "species": np.array([population.catalogue.index(each) for each in crystal.species], np.int16),
        "rotations": crystal.rotations.astype(np.float32),
        "cell": np.array(violating.cell.parameters),
        "plane": np.stack([plane.origin, plane.step_u, plane.step_v]),
        "plane_axes": np.array(ideal.axes, np.int8),
        "plane_offset": np.float64(ideal.offset),
        "concentration": np.float32(crystal.order.m_a),
        "debye_waller_b": np.float32(crystal.debye_waller_b_angstrom2),
        "alphas": crystal.order.alphas.astype(np.float32),
        "order_kind": np.int8(ORDER_KINDS.index(crystal.order.kind)),
    }


def _draw_ideal_plane(population: Population, rng: np.random.Generator) -> IdealPlane | None:
    """Draw a crystal and return its first layer; None if a component is flat."""
    recipe = population.recipe
    crystal = draw_crystal(population, rng)
    axes, offset = next(draw_layers(recipe, rng, crystal))
    plane = plane_through(crystal.cell, axes, offset, crystal.q_max_inv_angstrom, PIXELS)
    form_factor = form_factor_intensity(
        *crystal.molecules, plane, crystal.order.m_a, crystal.debye_waller_b_angstrom2
    )
    order = short_range_order_intensity(crystal.order.alphas, crystal.cell, plane, axes)
    if np.ptp(form_factor) < 1e-2 or np.ptp(order) < 1e-2:
        return None
    masks = recipe.mask.for_triclinic() if crystal.is_triclinic else recipe.mask
    mask = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, masks)
    if measured_range(normalise(form_factor * order)[0], mask) < 1e-3:
        return None
    return IdealPlane(
        crystal, plane, axes, offset, form_factor.astype(np.float64), order.astype(np.float64), mask
    )
