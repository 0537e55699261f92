"""One simulated plane from its random stream: species, order, cell, plane of Q, both components, mask."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.physics import (
    MAX_INDEX,
    Cell,
    Molecule,
    form_factor_intensity,
    plane_through,
    short_range_order_intensity,
)
from dsfunet.preprocessing import PIXELS, normalise
from simulate.artefacts import draw_mask
from simulate.correlations import CorrelationSet
from simulate.oscillators import ARRANGEMENTS, oscillator_set
from simulate.recipe import SPLITS, Recipe
from simulate.rotations import random_rotation
from simulate.species import Species, load_catalogue, pairs

ORDER_KINDS = (
    "monte_carlo",
    *(f"{lattice}_{each}" for lattice, arrangements in ARRANGEMENTS.items() for each in arrangements),
)
"""Names behind the stored `order_kind`; all but the first are damped oscillators (equation 7)."""

GENERATOR_VERSION = 1
"""Goes up whenever the same recipe and seed would give other planes, so that no store mixes two generators."""

_ATTEMPTS = 20


@dataclass(frozen=True)
class World:
    """What all samples of one split share: the recipe, the pairs of species, and the Monte Carlo sets."""

    recipe: Recipe
    split: str
    catalogue: tuple[Species, ...]
    pairs: tuple[tuple[Species, Species], ...]
    monte_carlo_sets: tuple[CorrelationSet, ...]

    @property
    def species_names(self) -> list[str]:
        """Names in the order of the indices that samples record."""
        return [species.name for species in self.catalogue]


def build_world(recipe: Recipe, split: str, monte_carlo_sets: tuple[CorrelationSet, ...]) -> World:
    """The world of one split; Monte Carlo sets that missed their targets are left out."""
    catalogue = load_catalogue(Path(recipe.species_folder) if recipe.species_folder else None)
    usable = tuple(each for each in monte_carlo_sets if each.converged)
    return World(recipe, split, catalogue, pairs(catalogue, split), usable)


def sample_stream(recipe: Recipe, split: str, index: int) -> np.random.Generator:
    """The random stream of sample `index` of a split, the same whoever draws it and when."""
    return np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(SPLITS.index(split), index)))


def draw_sample(world: World, index: int) -> dict[str, npt.ArrayLike]:
    """Sample `index` of a split: one entry for every array of `dsfunet.shards.LAYOUT`, in its shape.

    A draw whose components do not vary over the plane (two species that scatter alike) is drawn again from the
    same stream.

    Raises:
        RuntimeError: no usable plane came out of many draws, so the recipe cannot be what was meant.
    """
    rng = sample_stream(world.recipe, world.split, index)
    for _ in range(_ATTEMPTS):
        sample = _attempt(world, rng)
        if sample is not None:
            return sample
    raise RuntimeError(
        f"{world.split} sample {index}: {_ATTEMPTS} draws in a row gave a plane without contrast"
    )


def _attempt(world: World, rng: np.random.Generator) -> dict[str, npt.ArrayLike] | None:
    recipe = world.recipe
    first, second, rotations = _draw_species(world, rng)
    order = _draw_order(world, rng, first.lattice)
    cell = vegard_cell(first, second, order.m_a)
    q_max = rng.uniform(
        *(
            recipe.monte_carlo_q_max_inv_angstrom
            if order.kind == "monte_carlo"
            else recipe.oscillator_q_max_inv_angstrom
        )
    )
    axes, offset = _draw_layer(recipe, rng, cell, order.alphas)
    plane = plane_through(cell, axes, offset, q_max, PIXELS)
    low, high = recipe.debye_waller_b_angstrom2
    form_factor = form_factor_intensity(
        Molecule(first.elements, first.positions_angstrom).rotated(rotations[0]),
        Molecule(second.elements, second.positions_angstrom).rotated(rotations[1]),
        plane,
        order.m_a,
        rng.uniform(low, high),
    )
    short_range_order = short_range_order_intensity(order.alphas, cell, plane)
    # A hundredth of an electron squared is less than any real pair; a flat I_SRO has no order to find.
    if np.ptp(form_factor) < 1e-2 or np.ptp(short_range_order) < 1e-2:
        return None
    form_factor_unit, form_factor_low, form_factor_range = normalise(form_factor)
    order_unit, order_low, order_range = normalise(short_range_order)
    mask = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, recipe.mask)
    # What a detector did not see of a plane must not be all there was to see.
    if np.ptp((form_factor_unit * order_unit)[mask]) < 1e-3:
        return None
    return {
        "form_factor": form_factor_unit.astype(np.float16),
        "short_range_order": order_unit.astype(np.float16),
        "mask": np.packbits(mask, axis=-1),
        "form_factor_floor": np.float32(form_factor_low / form_factor_range),
        "short_range_order_floor": np.float32(order_low / order_range),
        "species": np.array([world.catalogue.index(first), world.catalogue.index(second)], np.int16),
        "rotations": rotations.astype(np.float32),
        "cell": np.array(cell.parameters),
        "plane": np.stack([plane.origin, plane.step_u, plane.step_v]),
        "plane_axes": np.array(axes, np.int8),
        "plane_offset": np.float64(offset),
        "concentration": np.float32(order.m_a),
        "alphas": order.alphas.astype(np.float32),
        "order_kind": np.int8(ORDER_KINDS.index(order.kind)),
    }


def vegard_cell(first: Species, second: Species, concentration_first: float) -> Cell:
    """The cell of a mixed crystal: edges averaged by concentration (Vegard), beta = 120 degrees if hexagonal."""
    edges = concentration_first * np.array(first.cell_edges_angstrom)
    edges = edges + (1 - concentration_first) * np.array(second.cell_edges_angstrom)
    a, b, c = (float(edge) for edge in edges)
    if first.lattice == "hexagonal":
        return Cell(a, b, a, 90.0, 120.0, 90.0)
    return Cell(a, b, c)


def _draw_species(world: World, rng: np.random.Generator) -> tuple[Species, Species, npt.NDArray[np.float64]]:
    candidates = world.pairs
    if world.recipe.balance_groups:
        groups = sorted({first.group for first, _ in candidates})
        group = groups[rng.integers(len(groups))]
        candidates = tuple(pair for pair in candidates if pair[0].group == group)
    first, second = candidates[rng.integers(len(candidates))]
    if rng.random() < 0.5:
        first, second = second, first
    rotations = np.stack([np.eye(3), np.eye(3)])
    one_species = rng.random() < world.recipe.orientation_share and len(first.elements) > 1
    for which in range(2):
        if rng.random() < world.recipe.rotated_share or (one_species and which == 1):
            rotations[which] = random_rotation(rng)
    return first, first if one_species else second, rotations


def _draw_order(world: World, rng: np.random.Generator, lattice: str) -> CorrelationSet:
    if rng.random() < world.recipe.monte_carlo_share:
        return world.monte_carlo_sets[rng.integers(len(world.monte_carlo_sets))]
    return oscillator_set(
        rng, "hexagonal" if lattice == "hexagonal" else "orthogonal", world.recipe.oscillator
    )


def strongest_offset(alphas: npt.NDArray[np.floating[Any]], axis: int) -> float:
    """The offset in [0, 1/2] of the layer with most scattering along an axis [r.l.u.].

    I_SRO averaged over a layer's Brillouin zone is sum_k alpha_(0,0,k) cos(2 pi l k): every vector with a component
    inside the layer averages out.
    """
    along = np.moveaxis(alphas, axis, 0)[:, MAX_INDEX, MAX_INDEX]
    offsets = np.linspace(0, 0.5, 51)
    series = np.cos(2 * np.pi * np.outer(offsets, np.arange(-MAX_INDEX, MAX_INDEX + 1))) @ along
    return float(offsets[int(np.argmax(series))])


def _draw_layer(
    recipe: Recipe, rng: np.random.Generator, cell: Cell, alphas: npt.NDArray[np.floating[Any]]
) -> tuple[tuple[int, int], float]:
    third = int(rng.integers(3))
    axes = [axis for axis in range(3) if axis != third]
    if rng.random() < 0.5:
        axes.reverse()
    highest = int(recipe.max_layer_inv_angstrom / np.linalg.norm(cell.reciprocal[third]))
    offset = float(rng.integers(highest + 1))
    if rng.random() < recipe.strongest_layer_share:
        offset += strongest_offset(alphas, third)
    return (axes[0], axes[1]), offset
