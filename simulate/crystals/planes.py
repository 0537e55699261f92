"""Draw planes of simulated crystals from random streams: the layer, both components and the mask."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.data.sample import scattering_plane
from dsfunet.errors import InputError
from dsfunet.physics import MAX_INDEX, plane_through
from dsfunet.planes.preprocessing import PIXELS, normalise, spread
from simulate.artefacts.degradation import degrade
from simulate.artefacts.masks import draw_mask
from simulate.crystals.draw import ORDER_KINDS, Crystal, Population, draw_crystal
from simulate.crystals.kernels import form_factor_intensity, measured_range, short_range_order_intensity
from simulate.recipe import SPLITS, Recipe

GENERATOR_VERSION = 2
"""Version of the generator. Increase it when the same recipe and seed give other planes; no store mixes versions."""

NEAR_DUPLICATE = 1e-3
"""Mean squared difference of two spread scattering planes below which the second is dropped.

This is a fourteenth of the error that the paper accepts for a form factor.
"""

_MAX_BARREN_CRYSTALS = 20
_THUMBNAIL_STEP = 4

Sample = dict[str, npt.ArrayLike]


def crystal_stream(recipe: Recipe, split: str, crystal: int) -> np.random.Generator:
    """Return random stream number `crystal` of a split; it depends on the recipe's seed, split and number only."""
    return np.random.default_rng(
        np.random.SeedSequence(recipe.seed, spawn_key=(SPLITS.index(split), crystal))
    )


def draw_samples(population: Population, start: int, stop: int) -> Iterator[Sample]:
    """Draw samples `start` to `stop - 1` of a split: one entry for every array of the store, in its shape.

    Sample i comes from stream number i // planes_per_crystal, so it does not depend on `start`.

    Raises:
        InputError: 20 crystals in a row gave no usable plane, so the recipe needs other species.
    """
    per_crystal = population.recipe.planes_per_crystal
    for crystal in range(start // per_crystal, -(-stop // per_crystal)):
        first = crystal * per_crystal
        samples = _draw_planes(population, crystal, per_crystal)
        yield from samples[max(start - first, 0) : stop - first]


def draw_sample(population: Population, index: int) -> Sample:
    """Draw sample `index` of a split, as in `draw_samples`."""
    return next(draw_samples(population, index, index + 1))


def _draw_planes(population: Population, number: int, count: int) -> list[Sample]:
    """Draw planes from one stream: layers of one crystal, and of further crystals if it has too few.

    Planes without contrast (both species scatter alike) and near-duplicates are dropped.

    Raises:
        InputError: 20 crystals in a row gave no plane.
    """
    rng = crystal_stream(population.recipe, population.split, number)
    samples: list[Sample] = []
    barren = 0
    while barren < _MAX_BARREN_CRYSTALS:
        crystal = draw_crystal(population, rng)
        thumbnails: list[npt.NDArray[np.float32]] = []
        barren += 1
        for axes, offset in draw_layers(population.recipe, rng, crystal):
            sample = _draw_plane(population, rng, crystal, axes, offset)
            if sample is None:
                continue
            if count > 1:
                thumbnail = _thumbnail(sample)
                if is_near_duplicate(thumbnail, thumbnails):
                    continue
                thumbnails.append(thumbnail)
            samples.append(sample)
            barren = 0
            if len(samples) == count:
                return samples
    raise InputError(
        f"{population.split} crystal {number}: {_MAX_BARREN_CRYSTALS} crystals in a row gave no plane with contrast;"
        " use pairs of species that scatter differently"
    )


def _draw_plane(
    population: Population, rng: np.random.Generator, crystal: Crystal, axes: tuple[int, int], offset: float
) -> Sample | None:
    """Return one layer of a crystal as a sample; None if a component is flat or the measured pixels are."""
    recipe, order, cell = population.recipe, crystal.order, crystal.cell
    plane = plane_through(cell, axes, offset, crystal.q_max_inv_angstrom, PIXELS)
    form_factor = form_factor_intensity(
        *crystal.molecules, plane, order.m_a, crystal.debye_waller_b_angstrom2
    )
    short_range_order = short_range_order_intensity(order.alphas, cell, plane, axes)
    # Every real pair varies by more than 0.01 electrons squared; a flat I_SRO contains no order.
    if np.ptp(form_factor) < 1e-2 or np.ptp(short_range_order) < 1e-2:
        return None
    form_factor, form_factor_low, form_factor_range = normalise(form_factor)
    short_range_order, order_low, order_range = normalise(short_range_order)
    floors = (form_factor_low / form_factor_range, order_low / order_range)
    shown = clean = scattering_plane(form_factor, short_range_order, *floors)
    masks = recipe.mask.for_triclinic() if crystal.is_triclinic else recipe.mask
    mask = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, masks)
    if recipe.signal.is_on:
        try:
            shown = degrade(clean, plane, cell, rng, recipe.signal)
        except InputError:  # all counts are zero
            return None
    # The measured pixels must have contrast.
    if measured_range(shown, mask) < 1e-3:
        return None
    sample: Sample = {
        "form_factor": form_factor.astype(np.float16),
        "short_range_order": short_range_order.astype(np.float16),
        "mask": np.packbits(mask, axis=-1),
        "form_factor_floor": np.float32(floors[0]),
        "short_range_order_floor": np.float32(floors[1]),
        "species": np.array([population.catalogue.index(each) for each in crystal.species], np.int16),
        "rotations": crystal.rotations.astype(np.float32),
        "cell": np.array(cell.parameters),
        "plane": np.stack([plane.origin, plane.step_u, plane.step_v]),
        "plane_axes": np.array(axes, np.int8),
        "plane_offset": np.float64(offset),
        "concentration": np.float32(order.m_a),
        "debye_waller_b": np.float32(crystal.debye_waller_b_angstrom2),
        "alphas": order.alphas.astype(np.float32),
        "order_kind": np.int8(ORDER_KINDS.index(order.kind)),
    }
    if recipe.signal.is_on:
        sample["scattering"] = shown.astype(np.float16)
    return sample


def _thumbnail(sample: Sample) -> npt.NDArray[np.float32]:
    """Return every fourth pixel along both axes of the spread scattering of a sample."""
    form_factor, short_range_order = (
        np.asarray(sample[name])[::_THUMBNAIL_STEP, ::_THUMBNAIL_STEP].astype(np.float32)
        for name in ("form_factor", "short_range_order")
    )
    floors = (float(np.asarray(sample[f"{name}_floor"])) for name in ("form_factor", "short_range_order"))
    return np.asarray(spread(scattering_plane(form_factor, short_range_order, *floors)))


def is_near_duplicate(thumbnail: npt.NDArray[np.float32], earlier: Sequence[npt.NDArray[np.float32]]) -> bool:
    """Return whether a spread scattering plane nearly equals an earlier one or its transpose.

    Transposes count because rows may run along either axis of a layer: h0l and 0kl of a tetragonal crystal are the
    same plane. Planes are nearly equal if their mean squared difference is below `NEAR_DUPLICATE`.
    """
    return any(
        float(np.square(thumbnail - other).mean()) < NEAR_DUPLICATE
        for each in earlier
        for other in (each, each.T)
    )


def strongest_offset(alphas: npt.NDArray[np.floating[Any]], axis: int) -> float:
    """Return the offset in [0, 1/2] along an axis of the layer with the most scattering [r.l.u.].

    I_SRO averaged over a layer's Brillouin zone is sum_k alpha_(0,0,k) cos(2 pi l k), because every vector with a
    component inside the layer averages out.
    """
    along = np.moveaxis(alphas, axis, 0)[:, MAX_INDEX, MAX_INDEX]
    offsets = np.linspace(0, 0.5, 51)
    series = np.cos(2 * np.pi * np.outer(offsets, np.arange(-MAX_INDEX, MAX_INDEX + 1))) @ along
    return float(offsets[int(np.argmax(series))])


def draw_layers(
    recipe: Recipe, rng: np.random.Generator, crystal: Crystal
) -> Iterator[tuple[tuple[int, int], float]]:
    """Draw the layers of a crystal in random order, each once.

    Yields the two reciprocal axes along rows and columns, and the layer's index along the third axis [r.l.u.]. The
    three axes take turns. The index is an integer up to the recipe's limit; if the scattering is strongest between
    integers, it may also be an integer plus that offset. With several planes per crystal the first layer along every
    axis has the offset; later layers, or a single one, have it with the recipe's probability.
    """
    order = rng.permutation(3).tolist()
    integers, between = {}, {}
    for third in order:
        highest = int(recipe.max_layer_inv_angstrom / np.linalg.norm(crystal.cell.reciprocal[third]))
        strongest = strongest_offset(crystal.order.alphas, third) if recipe.strongest_layer_share > 0 else 0.0
        integers[third] = rng.permutation(highest + 1).tolist()
        between[third] = (rng.permutation(highest + 1) + strongest).tolist() if strongest > 0 else []
    first_round = recipe.planes_per_crystal > 1
    while any(integers.values()) or any(between.values()):
        for third in order:
            wanted = first_round or rng.random() < recipe.strongest_layer_share
            layers = between[third] if between[third] and (wanted or not integers[third]) else integers[third]
            if layers:
                axes = [axis for axis in range(3) if axis != third]
                if rng.random() < 0.5:
                    axes.reverse()
                yield (axes[0], axes[1]), float(layers.pop())
        first_round = False
