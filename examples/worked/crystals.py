"""The three crystals of the worked examples, and what a diffractometer would bring home of each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet.analysis.symmetry import Orbit, laue_rotations, orbits_of
from dsfunet.io import MeasuredPlane, PlaneGrid
from dsfunet.io.plane_names import PlaneName
from dsfunet.physics import (
    ALPHA_SHAPE,
    MAX_INDEX,
    Cell,
    Molecule,
    form_factor_intensity,
    short_range_order_intensity,
)
from examples.worked.molecule import STACKING_ANGSTROM, column
from simulate.artefacts import MaskRecipe, draw_mask

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Vector = tuple[int, int, int]

PIXELS_ALONG_AXIS = 301
Q_MAX_INV_ANGSTROM = 7.0
_EQUAL_SHARES = 0.5


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal, the order put into it, and how it was measured.

    Attributes:
        name: short, fit for a file name.
        title: in words.
        species: A and B of equation (1).
        cell: of the lattice that the species share [Angstrom, degrees].
        planes: the layers that are measured, refined together.
        laue: Laue class, which ties the alphas.
        alphas: Warren-Cowley parameters by one vector of each orbit; all others are 0.
        out_of_plane: whether vectors with a component along the layers' third axis are correlated too.
        share: of species A.
        debye_waller_b: B of both species [Angstrom^2].
        counts: expected in the brightest pixel.
        mask_seed: of the detector's gaps and the wedges that a scan leaves.
    """

    name: str
    title: str
    species: tuple[Molecule, Molecule]
    cell: Cell
    planes: tuple[PlaneName, ...]
    laue: str
    alphas: dict[Vector, float]
    out_of_plane: bool
    share: float
    debye_waller_b: float
    counts: float
    mask_seed: int = 1

    @cached_property
    def orbits(self) -> list[Orbit]:
        """The orbits that carry the alphas, in their order; refined as they are."""
        fixed = None if self.out_of_plane else self.planes[0].fixed_axis
        metric = self.cell.direct @ self.cell.direct.T
        return orbits_of(list(self.alphas), laue_rotations(self.laue), metric, fixed)

    @cached_property
    def alpha_set(self) -> Array:
        """All alphas, shape (11, 11, 11)."""
        full = np.zeros(ALPHA_SHAPE)
        full[MAX_INDEX, MAX_INDEX, MAX_INDEX] = 1.0
        for orbit, alpha in zip(self.orbits, self.alphas.values(), strict=True):
            full[tuple((orbit.vectors + MAX_INDEX).T)] = alpha
        return full

    @cached_property
    def layers(self) -> "tuple[Layer, ...]":
        """One of each plane."""
        return tuple(Layer(self, plane, number) for number, plane in enumerate(self.planes))


@dataclass(frozen=True, eq=False)
class Layer:
    """One plane of a crystal, and what a Pilatus 2M sees of it."""

    crystal: Crystal
    plane: PlaneName
    number: int

    @cached_property
    def grid(self) -> PlaneGrid:
        """The pixels, oblique as the cell is, out to `Q_MAX_INV_ANGSTROM` along both axes."""
        # The distance between lattice lines, so that the circle of Q_max fits into the parallelogram.
        lengths = np.linalg.norm(self.crystal.cell.direct[list(self.plane.axes)], axis=1)
        reach = Q_MAX_INV_ANGSTROM / (2 * np.pi) * lengths
        rows, columns = (np.linspace(-each, each, PIXELS_ALONG_AXIS) for each in reach)
        return PlaneGrid(self.crystal.cell, self.plane, rows, columns)

    @cached_property
    def form_factor(self) -> Array:
        """I_FF, with its Debye-Waller factor, on the grid [electrons squared]."""
        crystal = self.crystal
        return form_factor_intensity(*crystal.species, self.grid.plane, crystal.share, crystal.debye_waller_b)

    @cached_property
    def order(self) -> Array:
        """I_SRO on the grid."""
        return short_range_order_intensity(self.crystal.alpha_set, self.crystal.cell, self.grid.plane)

    @cached_property
    def mask(self) -> Mask:
        """True where the detector saw anything."""
        plane = self.grid.plane
        recipe = MaskRecipe(
            detectors=("pilatus_2m",), share_unmasked=0.0, missing_fraction=(0.1, 0.45), share_swung=0.0
        )
        rng = np.random.default_rng([self.crystal.mask_seed, self.number])
        seen: Mask = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, recipe)
        # The experiment's resolution, in the plane.
        return seen & (plane.q_squared() - plane.origin @ plane.origin <= Q_MAX_INV_ANGSTROM**2)

    def measured(self, seed: int | None = None) -> MeasuredPlane:
        """The plane as it was counted, NaN where it was not; without a seed, without noise."""
        intensity = self.form_factor * self.order
        intensity *= self.crystal.counts / intensity[self.mask].max()
        if seed is not None:
            rng = np.random.default_rng([self.crystal.mask_seed, self.number, seed])
            intensity = rng.poisson(intensity).astype(np.float64)
        return MeasuredPlane(np.where(self.mask, intensity, np.nan), self.grid)


TORSION_DEG = 12.0
"""The tert-butyl torsion put in."""


def tricarboxamide() -> Crystal:
    """Columns that point up or down, unlike neighbours preferred; along c all of a column is one species.

    The correlations along c are complete, so that there is diffuse scattering in layers of integer l alone, where they
    multiply I_SRO by a number. At l = 0 mirror images scatter alike, which leaves hk1.
    """
    return Crystal(
        name="tricarboxamide",
        title="tris-tert-butyl-1,3,5-benzene tricarboxamide, hk1",
        species=(column(TORSION_DEG), column(TORSION_DEG, up=False)),
        cell=Cell(14.12, 14.12, STACKING_ANGSTROM, 90, 90, 120),
        planes=(PlaneName((0, 1), 1.0),),
        laue="6/m",
        alphas={(1, 0, 0): -0.18, (2, 1, 0): 0.06, (2, 0, 0): 0.03, (3, 1, 0): -0.02, (3, 0, 0): 0.01},
        out_of_plane=False,
        share=_EQUAL_SHARES,
        debye_waller_b=3.0,
        counts=1000,
    )


def copper_gold() -> Crystal:
    """An alloy like Cu3Au above its transition: unlike first, like second neighbours on fcc.

    I_SRO is written on integer vectors, so the cell is half the cubic one, a / 2 = 1.875 Angstrom; of its sites only those
    of even i + j + k exist.
    """
    copper, gold = (Molecule((element,), np.zeros((1, 3))) for element in ("Cu", "Au"))
    return Crystal(
        name="copper_gold",
        title="Cu3Au-like alloy, hk0",
        species=(copper, gold),
        cell=Cell(1.875, 1.875, 1.875),
        planes=(PlaneName((0, 1), 0.0),),
        laue="m-3m",
        alphas={(1, 1, 0): -0.13, (2, 0, 0): 0.16, (2, 1, 1): 0.01, (2, 2, 0): 0.05},
        out_of_plane=True,
        share=0.75,
        debye_waller_b=0.6,
        counts=1000,
        mask_seed=2,
    )


def perovskite() -> Crystal:
    """Magnesium and niobium on the B sites of a perovskite, unlike neighbours preferred: maxima at h k l of 1/2.

    In h k 1/2 alone [1 0 0] and [1 1 0] make the same waves, and `refine` says that it cannot tell them apart.
    """
    magnesium, niobium = (Molecule((element,), np.zeros((1, 3))) for element in ("Mg", "Nb"))
    return Crystal(
        name="perovskite",
        title="B sites of a perovskite, h k 1/2 and hk0 together",
        species=(magnesium, niobium),
        cell=Cell(4.05, 4.05, 4.05),
        planes=(PlaneName((0, 1), 0.5), PlaneName((0, 1), 0.0)),
        laue="m-3m",
        alphas={(1, 0, 0): -0.14, (1, 1, 0): 0.07, (1, 1, 1): -0.05, (2, 0, 0): 0.03},
        out_of_plane=True,
        share=1 / 3,
        debye_waller_b=0.6,
        counts=1000,
        mask_seed=3,
    )


CRYSTALS = (tricarboxamide, copper_gold, perovskite)
"""All of them, in the order of the report."""
