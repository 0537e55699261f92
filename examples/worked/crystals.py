"""Three crystals with known parameters, and planes of them as an experiment would measure them.

Each plane is a layer of a reconstruction, oblique if the cell is: I_FF I_SRO with a Debye-Waller factor, scaled to a
number of counts in the brightest pixel, with Poisson noise, and NaN where the detector of a rotation scan measures
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Integers
from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.io import MeasuredPlane, PlaneGrid, PlaneName
from dsfunet.physics import ALPHA_SHAPE, MAX_INDEX, Cell, form_factor_intensity, short_range_order_intensity
from dsfunet.physics.symmetry import Orbit, laue_rotations, nearest_shells, orbits_of, symmetric_metric
from examples.worked.molecule import build_column
from simulate.artefacts.masks import MaskRecipe, draw_mask

Vector = tuple[int, int, int]

UNDETERMINED_IN_COPPER_GOLD: Vector = (2, 2, 2)
"""Vector that hk0 cannot determine: its cosine there equals that of 2 2 0, which 2 0 0 and the scale can reproduce."""

TERT_BUTYL_DEG = -7.0
"""Torsion angle of the published structure, as quoted in the paper's section 3.2 [degrees]."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal, one plane of it, the measurement of that plane, and the parameters to refine.

    Attributes:
        name: short name for files and tables.
        title: title for figures.
        cell: cell of the lattice of the correlations.
        pair: species A and B.
        concentration_first: m_A.
        alphas_put_in: one lattice vector of each orbit and its true Warren-Cowley parameter; all others are 0.
        laue: Laue class.
        plane: layer that is measured.
        largest_index: largest index along both axes of the reconstruction [r.l.u.].
        step: step of the index along both axes [r.l.u.].
        q_max_inv_angstrom: resolution of the experiment [1/Angstrom].
        debye_waller_b_angstrom2: B of I_FF [Angstrom^2].
        brightest_counts: expected counts in the brightest measured pixel.
        mask_seed: seed of the detector's shadows.
        shells: number of shells to refine, in the plane only; None refines the vectors of `alphas_put_in`, including
            those out of the plane.
        columns: whether alphas are the same for every component along c, because whole columns are A or B.
    """

    name: str
    title: str
    cell: Cell
    pair: ModelPair
    concentration_first: float
    alphas_put_in: Mapping[Vector, float]
    laue: str
    plane: PlaneName
    largest_index: float
    step: float
    q_max_inv_angstrom: float
    debye_waller_b_angstrom2: float
    brightest_counts: float
    mask_seed: int
    shells: int | None = None
    columns: bool = False

    @cached_property
    def rotations(self) -> Integers:
        """Operations of the Laue class, as matrices on lattice vectors."""
        return laue_rotations(self.laue)

    @cached_property
    def grid(self) -> PlaneGrid:
        """Grid of the measured plane."""
        count = round(self.largest_index / self.step)
        axis = self.step * np.arange(-count, count + 1, dtype=np.float64)
        return PlaneGrid(self.cell, self.plane, axis, axis)

    @cached_property
    def alphas(self) -> Array:
        """The full set of Warren-Cowley parameters, shape (11, 11, 11)."""
        alphas = np.zeros(ALPHA_SHAPE)
        alphas[(MAX_INDEX,) * 3] = 1.0
        for vector, alpha in self.alphas_put_in.items():
            for image in self.rotations @ np.array(vector):
                alphas[tuple(image + MAX_INDEX)] = alpha
        if self.columns:
            alphas[:] = alphas[:, :, [MAX_INDEX]]
        return alphas

    @cached_property
    def orbits(self) -> list[Orbit]:
        """Orbits of the refined parameters."""
        metric = symmetric_metric(self.cell, self.laue)
        if self.shells is None:
            return orbits_of(list(self.alphas_put_in), self.rotations, metric)
        return nearest_shells(self.shells, self.rotations, metric, self.plane.fixed_axis)

    @cached_property
    def refined_truth(self) -> Array:
        """True values of the refined parameters, shape (k,): the true alphas, or their sums along the plane's normal.

        A refinement in the plane only gives sum_k alpha_ijk cos 2 pi k l over sum_k alpha_00k cos 2 pi k l, with k
        along the plane's normal.
        """
        if self.shells is None:
            return np.array(list(self.alphas_put_in.values()))
        sums = self.sums_along_normal
        places = [orbit.vectors[0][list(self.plane.axes)] + MAX_INDEX for orbit in self.orbits]
        seen: Array = np.array([sums[tuple(place)] for place in places]) / sums[MAX_INDEX, MAX_INDEX]
        return seen

    @cached_property
    def sums_along_normal(self) -> Array:
        """sum_k alpha_ijk cos 2 pi k l, shape (11, 11), indexed [i + 5, j + 5] along the plane's two axes."""
        along = np.cos(2 * np.pi * self.plane.offset * (np.arange(ALPHA_SHAPE[0]) - MAX_INDEX))
        third = self.plane.fixed_axis
        sums: Array = np.moveaxis(self.alphas, third, -1) @ along
        return sums

    @cached_property
    def form_factor(self) -> Array:
        """I_FF on the grid, Debye-Waller factor included [electrons^2]."""
        return form_factor_intensity(
            self.pair.first,
            self.pair.second,
            self.grid.plane,
            self.concentration_first,
            self.debye_waller_b_angstrom2,
        )

    @cached_property
    def short_range_order(self) -> Array:
        """I_SRO on the grid, not clipped, because it is positive for these crystals."""
        return short_range_order_intensity(self.alphas, self.cell, self.grid.plane, clip=False)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """True where measured, shape of the grid."""
        recipe = MaskRecipe(
            detectors=("pilatus_2m",), share_unmasked=0.0, missing_fraction=(0.1, 0.45), share_swung=0.0
        )
        plane = self.grid.plane
        rng = np.random.default_rng(self.mask_seed)
        seen = draw_mask(rng, plane.origin, plane.step_u, plane.step_v, plane.shape, recipe)
        inside: npt.NDArray[np.bool_] = plane.q_squared() <= self.q_max_inv_angstrom**2
        measured: npt.NDArray[np.bool_] = seen & inside
        return measured

    @cached_property
    def expected_counts(self) -> Array:
        """Expected counts without noise, shape of the grid."""
        intensity = self.form_factor * self.short_range_order
        counts: Array = intensity * (self.brightest_counts / intensity[self.mask].max())
        return counts

    def measured(self, seed: int) -> MeasuredPlane:
        """Return the plane with counting noise from a seed."""
        counts = np.random.default_rng(seed).poisson(self.expected_counts)
        return MeasuredPlane(np.where(self.mask, counts, np.nan), self.grid)


def tricarboxamide() -> Crystal:
    """Return the tricarboxamide: columns up or down, constant along c; neighbours prefer opposite directions."""
    cell, azimuth_deg = Cell(14.12, 14.12, 6.934, 90.0, 90.0, 120.0), 50.0
    pair = ModelPair(
        "up+down",
        build_column(cell.c, azimuth_deg, TERT_BUTYL_DEG),
        build_column(cell.c, azimuth_deg, TERT_BUTYL_DEG, up=False),
    )
    return Crystal(
        name="tricarboxamide",
        title="Tris-tert-butyl-1,3,5-benzene tricarboxamide: columns up or down",
        cell=cell,
        pair=pair,
        concentration_first=0.5,
        alphas_put_in={
            (1, 0, 0): -0.17,
            (2, 1, 0): 0.09,
            (2, 0, 0): 0.02,
            (3, 1, 0): -0.02,
            (3, 2, 0): -0.02,
        },
        columns=True,
        laue="6/m",
        plane=PlaneName((0, 1), 1.0),
        largest_index=15.5,
        step=0.1,
        q_max_inv_angstrom=6.9,
        debye_waller_b_angstrom2=2.0,
        brightest_counts=5000.0,
        shells=5,
        mask_seed=7,
    )


def copper_gold() -> Crystal:
    """Return Cu3Au above its ordering temperature, with alphas about 0.85 times those of Cowley (1950) at 405 Celsius.

    The sites are face-centred cubic. They form all integer vectors of even sum on a simple cubic lattice with half the
    edge, where equation 3 holds with all other alphas zero. Indices are therefore half of the usual ones. The alpha of
    (2 2 2), which Cowley found to be small, is 0, because hk0 cannot determine it together with the others
    (`UNDETERMINED_IN_COPPER_GOLD`).
    """
    gold, copper = (LabelledMolecule((name,), np.zeros((1, 3)), (f"{name}1",)) for name in ("Au", "Cu"))
    return Crystal(
        name="copper_gold",
        title="Cu3Au above the transition",
        cell=Cell(1.875, 1.875, 1.875),
        pair=ModelPair("Au+Cu", gold, copper),
        concentration_first=0.25,
        alphas_put_in={
            (1, 1, 0): -0.13,
            (2, 0, 0): 0.16,
            (2, 1, 1): 0.01,
            (2, 2, 0): 0.08,
            (3, 1, 0): -0.045,
            (3, 2, 1): -0.015,
            (4, 0, 0): 0.04,
        },
        laue="m-3m",
        plane=PlaneName((0, 1), 0.0),
        largest_index=2.4,
        step=0.02,
        q_max_inv_angstrom=7.9,
        debye_waller_b_angstrom2=1.2,
        brightest_counts=1000.0,
        mask_seed=11,
    )


def perovskite() -> Crystal:
    """Return a perovskite with Mg and Nb 1:2 on its B site, with short-range rock-salt order.

    Each B atom comes with its octahedron; an oxygen shifts by the sum of what its two neighbours demand, to first
    order in the shifts.
    """
    magnesium, niobium = (
        LabelledMolecule(
            (element, *["O"] * 6),
            np.vstack([np.zeros(3), bond * np.concatenate([np.eye(3), -np.eye(3)])]),
            (element, *(f"O{number}" for number in range(1, 7))),
        )
        for element, bond in (("Mg", 2.08), ("Nb", 1.99))
    )
    return Crystal(
        name="perovskite",
        title="Pb(Mg1/3Nb2/3)O3-like B-site order",
        cell=Cell(4.05, 4.05, 4.05),
        pair=ModelPair("MgO6+NbO6", magnesium, niobium),
        concentration_first=1 / 3,
        alphas_put_in={(1, 0, 0): -0.24, (1, 1, 0): 0.12, (1, 1, 1): -0.07, (2, 0, 0): 0.05},
        laue="m-3m",
        plane=PlaneName((0, 1), 0.5),
        largest_index=4.8,
        step=0.04,
        q_max_inv_angstrom=7.0,
        debye_waller_b_angstrom2=0.8,
        brightest_counts=1000.0,
        shells=4,
        mask_seed=3,
    )


def all_crystals() -> tuple[Crystal, ...]:
    """Return the three crystals in the order of the page."""
    return tricarboxamide(), copper_gold(), perovskite()
