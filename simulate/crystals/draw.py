"""Draw one simulated crystal from a random stream: its two species, their order and the cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet.data.manifests import digest_arrays
from dsfunet.physics import Cell, Molecule
from simulate.correlations.oscillators import ARRANGEMENTS, Lattice, draw_oscillator_set
from simulate.correlations.sets import CorrelationSet
from simulate.correlations.symmetric_order import SYMMETRIC_KINDS, sets_by_lattice
from simulate.crystals.sheared_cells import shear_cell
from simulate.recipe import Recipe
from simulate.rotations import random_rotation
from simulate.species import Species, load_catalogue, pairs

ORDER_KINDS = (
    "monte_carlo",
    *SYMMETRIC_KINDS,
    *(f"{lattice}_{each}" for lattice, arrangements in ARRANGEMENTS.items() for each in arrangements),
)
"""Names of the stored `order_kind` indices; names without monte_carlo are damped oscillators (equation 7)."""


@dataclass(frozen=True)
class Population:
    """Everything that the crystals of one split are drawn from.

    Attributes:
        recipe: recipe of the data set.
        split: `train` or `validation`.
        catalogue: all species, of both splits.
        pairs: pairs of species of this split.
        monte_carlo_sets: usable Monte Carlo sets for each lattice.
    """

    recipe: Recipe
    split: str
    catalogue: tuple[Species, ...]
    pairs: tuple[tuple[Species, Species], ...]
    monte_carlo_sets: Mapping[Lattice, tuple[CorrelationSet, ...]]

    @property
    def species_names(self) -> list[str]:
        """Names of the species, in the order of the stored indices."""
        return [species.name for species in self.catalogue]

    @property
    def species_digest(self) -> str:
        """SHA-256 over the geometries and cells of the catalogue, which identifies the molecules of a data set."""
        arrays = {}
        for species in self.catalogue:
            arrays[f"{species.name} {species.split} {' '.join(species.elements)}"] = np.concatenate(
                [np.array(species.cell_edges_angstrom), species.positions_angstrom.reshape(-1)]
            )
        return digest_arrays(arrays)


def build_population(recipe: Recipe, split: str, monte_carlo_sets: tuple[CorrelationSet, ...]) -> Population:
    """Return the population of one split, without the Monte Carlo sets that missed their targets.

    Raises:
        InputError: the species folder is not usable, or there are sets but none fits one of the lattices.
    """
    catalogue = load_catalogue(Path(recipe.species_folder) if recipe.species_folder else None)
    usable = tuple(each for each in monte_carlo_sets if each.converged)
    return Population(recipe, split, catalogue, pairs(catalogue, split), sets_by_lattice(usable))


@dataclass(frozen=True)
class Crystal:
    """A crystal with one disordered site.

    Attributes:
        species: Species A and B.
        rotations: Rotation matrices of A and B relative to the catalogue orientation (2, 3, 3).
        order: Correlations and share of A.
        cell: Average cell.
        debye_waller_b_angstrom2: Isotropic B [Angstrom^2].
        q_max_inv_angstrom: Q_max of all its planes [1/Angstrom].
    """

    species: tuple[Species, Species]
    rotations: npt.NDArray[np.float64]
    order: CorrelationSet
    cell: Cell
    debye_waller_b_angstrom2: float
    q_max_inv_angstrom: float

    @property
    def is_triclinic(self) -> bool:
        """Whether the cell is triclinic, so that inversion is the only symmetry."""
        return 90.0 not in self.cell.parameters[3:]

    @property
    def molecules(self) -> tuple[Molecule, Molecule]:
        """Molecules A and B in their orientation in the crystal."""
        first, second = (
            Molecule(species.elements, species.positions_angstrom).rotated(rotation)
            for species, rotation in zip(self.species, self.rotations, strict=True)
        )
        return first, second


def draw_crystal(population: Population, rng: np.random.Generator) -> Crystal:
    """Draw a crystal from a population."""
    recipe = population.recipe
    first, second, rotations = _draw_species(population, rng)
    order = _draw_order(population, rng, first.lattice)
    cell = vegard_cell(first, second, order.m_a)
    # A triclinic cell needs an order without symmetry.
    if recipe.triclinic_share > 0 and order.kind == "monte_carlo" and rng.random() < recipe.triclinic_share:
        cell = shear_cell(cell, rng)
    reach = (
        recipe.monte_carlo_q_max_inv_angstrom
        if order.kind.startswith("monte_carlo")
        else recipe.oscillator_q_max_inv_angstrom
    )
    return Crystal(
        species=(first, second),
        rotations=rotations,
        order=order,
        cell=cell,
        debye_waller_b_angstrom2=rng.uniform(*recipe.debye_waller_b_angstrom2),
        q_max_inv_angstrom=rng.uniform(*reach),
    )


def vegard_cell(first: Species, second: Species, concentration_first: float) -> Cell:
    """Return the cell of a mixed crystal: edges averaged by concentration (Vegard), beta = 120 degrees if hexagonal."""
    edges = concentration_first * np.array(first.cell_edges_angstrom)
    edges = edges + (1 - concentration_first) * np.array(second.cell_edges_angstrom)
    a, b, c = (float(edge) for edge in edges)
    if first.lattice == "hexagonal":
        return Cell(a, b, a, 90.0, 120.0, 90.0)
    return Cell(a, b, c)


def _draw_species(
    population: Population, rng: np.random.Generator
) -> tuple[Species, Species, npt.NDArray[np.float64]]:
    candidates = population.pairs
    if population.recipe.balance_groups:
        groups = sorted({first.group for first, _ in candidates})
        group = groups[rng.integers(len(groups))]
        candidates = tuple(pair for pair in candidates if pair[0].group == group)
    first, second = candidates[rng.integers(len(candidates))]
    if rng.random() < 0.5:
        first, second = second, first
    rotations = np.stack([np.eye(3), np.eye(3)])
    one_species = rng.random() < population.recipe.orientation_share and len(first.elements) > 1
    for which in range(2):
        if rng.random() < population.recipe.rotated_share or (one_species and which == 1):
            rotations[which] = random_rotation(rng)
    return first, first if one_species else second, rotations


def _draw_order(population: Population, rng: np.random.Generator, lattice: Lattice) -> CorrelationSet:
    if rng.random() < population.recipe.monte_carlo_share:
        sets = population.monte_carlo_sets[lattice]
        return sets[rng.integers(len(sets))]
    return draw_oscillator_set(rng, lattice, population.recipe.oscillator)
