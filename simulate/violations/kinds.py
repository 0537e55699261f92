"""Planes that break what the networks assume, by the physics that breaks it, in a store like any other.

A plane is first drawn as an ordinary one is: species, order, cell, layer, mask. Then one thing is done to it that
makes it no product of a smooth form factor and a periodic short-range order, or that tells the wrong lattice or pixels.
`simulate.violations.planes` draws the planes and makes samples of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Mask
from dsfunet.physics import Cell, Molecule, Plane
from dsfunet.physics.form_factor import molecular_form_factor
from dsfunet.planes.preprocessing import PIXELS
from simulate.artefacts.degradation import add_spots, bragg_pixels, smooth_background
from simulate.crystals.draw import Crystal, Population, draw_crystal
from simulate.crystals.kernels import short_range_order_intensity

MOST_ATTEMPTS = 60
"""Crystals that are drawn at most for one plane: most give one at once."""

_LAYER_TOLERANCE = 0.02
_FEWEST_SPOTS = 6
# Vectors along which neighbours are pushed reach so far; displacements fall off with the square of the distance.
_SIZE_REACH = 2
# The softest phonon that is told from a Bragg peak, as a share of the zone-boundary frequency squared.
_SOFTEST = 0.01
# A second site's form factor is uncorrelated with the first's; how their occupations go together is drawn.
_LARGEST_CROSS = 0.6


@dataclass(frozen=True)
class IdealPlane:
    """A plane before it is spoilt, in electrons squared.

    Attributes:
        crystal: it is of.
        plane: where the pixels lie.
        axes: the two reciprocal axes that span it.
        offset: index along the third [r.l.u.].
        form_factor: I_FF [electrons^2].
        order: I_SRO, not normalised.
        mask: True = measured.
    """

    crystal: Crystal
    plane: Plane
    axes: tuple[int, int]
    offset: float
    form_factor: Array
    order: Array
    mask: Mask

    @property
    def scattering(self) -> Array:
        """The product [electrons^2]."""
        return self.form_factor * self.order


@dataclass(frozen=True)
class ViolatingPlane:
    """A measured plane, any unit, with the mask and the cell that are told of it."""

    scattering: Array
    mask: Mask
    cell: Cell


ViolationMaker = Callable[[Population, np.random.Generator, IdealPlane, float], ViolatingPlane | None]
"""Spoils a draft with a strength; None where that cannot be shown on it, and another is drawn."""


def bragg_peaks(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Every Bragg peak left in, as |m_A F_A + m_B F_B|^2 makes them; the brightest is `strength` times the plane's."""
    pixels = bragg_pixels(ideal.plane, ideal.crystal.cell, _LAYER_TOLERANCE)
    # Row and column 0 hold no Q = 0; the direct beam is behind its stop.
    pixels = pixels[np.abs(pixels - PIXELS // 2).max(axis=1) > 2]
    if len(pixels) < _FEWEST_SPOTS:
        return None
    mean = _mean_power(ideal)
    rows, columns = np.rint(pixels).astype(int).T
    visible = ideal.mask[rows, columns]
    if visible.sum() < _FEWEST_SPOTS:
        return None
    heights = mean[rows, columns]
    measured = ideal.scattering
    heights = heights / heights[visible].max() * strength * measured[ideal.mask].max()
    add_spots(measured, pixels, heights, float(rng.uniform(0.6, 2.0)))
    return ViolatingPlane(measured, ideal.mask, ideal.crystal.cell)


def smooth_background_alone(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """No diffuse scattering: air scattering and a bump in |Q|; `strength` is the bump's height beside the air's."""
    air = smooth_background(ideal.plane, rng.uniform(0.02, 0.3), 1.0, 0.0, rng.uniform(0.8, 3.0))
    bump = smooth_background(ideal.plane, 0.0, strength, rng.uniform(1.5, 4.5), rng.uniform(0.3, 1.0))
    return ViolatingPlane(air + bump, ideal.mask, ideal.crystal.cell)


def powder_rings_alone(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """No diffuse scattering: rings of a powder on air scattering, `strength` times as high."""
    measured = smooth_background(ideal.plane, rng.uniform(0.02, 0.2), 1.0, 0.0, rng.uniform(0.8, 3.0))
    first = rng.uniform(1.8, 3.0)
    for multiple in (
        1.0,
        np.sqrt(4 / 3),
        np.sqrt(8 / 3),
        np.sqrt(11 / 3),
        2.0,
    ):  # a face-centred cubic powder
        height = strength * rng.uniform(0.2, 1.0)
        measured += smooth_background(ideal.plane, 0.0, height, first * multiple, rng.uniform(0.04, 0.12))
    return ViolatingPlane(measured, ideal.mask, ideal.crystal.cell)


def noise_alone(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Nothing but counts: Poisson's law with `strength` expected everywhere."""
    return ViolatingPlane(
        rng.poisson(strength, ideal.plane.shape).astype(np.float64), ideal.mask, ideal.crystal.cell
    )


def background_left(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Air scattering and a bump in |Q| left in, together `strength` times the plane's brightest."""
    background = smooth_background_alone(population, rng, ideal, float(rng.uniform(0.0, 1.5))).scattering
    measured = ideal.scattering
    return ViolatingPlane(
        measured + background * (strength * measured[ideal.mask].max() / background.max()),
        ideal.mask,
        ideal.crystal.cell,
    )


def size_effect(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Warren's size effect: I_FF [sum alpha_v cos(Q.v) - sum (Q.v/|v|) gamma_v sin(Q.v)], clipped at zero.

    gamma_v [Angstrom] is `strength` along the nearest neighbours' vectors and falls off as 1/|v|^2; its sign is
    drawn, the same for all, as a larger A pushes all its neighbours away.
    """
    sign = float(rng.choice([-1.0, 1.0]))
    steps = np.stack(np.meshgrid(*(np.arange(-_SIZE_REACH, _SIZE_REACH + 1),) * 3, indexing="ij"), axis=-1)
    steps = steps.reshape(-1, 3)
    steps = steps[len(steps) // 2 + 1 :]  # one of v and -v: both add the same
    vectors = steps @ ideal.crystal.cell.direct
    lengths = np.linalg.norm(vectors, axis=1)
    gammas = sign * strength * (lengths.min() / lengths) ** 2
    origin, rows, columns = ideal.plane.phase_factors(vectors)
    q = ideal.plane.q_points()
    term = np.zeros(ideal.plane.shape)
    for component in range(3):
        weights = 2 * gammas * vectors[:, component] / lengths
        term += q[..., component] * ((rows * (origin * weights)) @ columns.T).imag
    return ViolatingPlane(
        ideal.form_factor * np.maximum(ideal.order - term, 0.0), ideal.mask, ideal.crystal.cell
    )


def thermal_diffuse(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Scattering by acoustic phonons, |F|^2 Q^2 / omega^2(q), its mean `strength` times that of the plane.

    omega^2 is that of a lattice whose nearest neighbours are bound by equal springs, the sum over the three axes of
    1 - cos(Q.a), so that it goes with 1/q^2 about every Bragg position, whose core is cut out with the peak.
    """
    origin, rows, columns = ideal.plane.phase_factors(np.asarray(ideal.crystal.cell.direct))
    stiffness = sum(1 - np.multiply.outer(origin[i] * rows[:, i], columns[:, i]).real for i in range(3))
    phonons = _mean_power(ideal) * ideal.plane.q_squared() / (np.asarray(stiffness) + _SOFTEST)
    measured = ideal.scattering
    scale = strength * measured[ideal.mask].mean() / phonons[ideal.mask].mean()
    return ViolatingPlane(measured + scale * phonons, ideal.mask, ideal.crystal.cell)


def two_sites(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """A second disordered site: |dF1|^2 S11 + |dF2|^2 S22 + 2 Re(dF1 conj(dF2) S12 exp(i Q.r)).

    The second site holds another pair of species with an order of its own; `strength` is its mean intensity beside the
    first's. S12 = rho sqrt(S11 S22) with rho drawn, the largest that keeps all intensities positive being 1.
    """
    lattice = ideal.crystal.species[0].lattice
    for _ in range(MOST_ATTEMPTS):
        other = draw_crystal(population, rng)
        if other.species[0].lattice == lattice and {*other.species} != {*ideal.crystal.species}:
            break
    else:
        return None
    cell, plane = ideal.crystal.cell, ideal.plane
    first, second = (_difference(each, plane) for each in (ideal.crystal, other))
    order = short_range_order_intensity(other.order.alphas, cell, plane, ideal.axes).astype(np.float64)
    alone = np.square(np.abs(second)) * order
    if np.ptp(alone) < 1e-2:
        return None
    measured = ideal.scattering
    scale = np.sqrt(strength * measured[ideal.mask].mean() / alone[ideal.mask].mean())
    shift = rng.uniform(0.2, 0.8, 3) @ cell.direct
    cross = rng.uniform(-_LARGEST_CROSS, _LARGEST_CROSS) * np.sqrt(ideal.order * order)
    beats = first * np.conj(scale * second) * np.exp(1j * (plane.q_points() @ shift))
    total = measured + scale**2 * alone + 2 * cross * beats.real
    return ViolatingPlane(np.maximum(total, 0.0), ideal.mask, cell)


def wrong_edge(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """An exact plane whose cell is told with one edge in the plane `strength` times as long."""
    lengths = list(ideal.crystal.cell.parameters)
    lengths[ideal.axes[int(rng.integers(2))]] *= strength
    return ViolatingPlane(ideal.scattering, ideal.mask, Cell(*lengths))


def zeros_for_gaps(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Gaps given as zeros that were measured; `strength` is the share of the plane they cover at least."""
    if ideal.mask.mean() > 1 - strength:
        return None
    return ViolatingPlane(
        np.where(ideal.mask, ideal.scattering, 0.0), np.ones_like(ideal.mask), ideal.crystal.cell
    )


def transposed_mask(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Zeros in the gaps, and a mask transposed; `strength` is the least share of the plane at zero and not masked."""
    mask_given = ideal.mask.T.copy()
    if np.mean(mask_given & ~ideal.mask) < strength or not (mask_given & ideal.mask).any():
        return None
    return ViolatingPlane(np.where(ideal.mask, ideal.scattering, 0.0), mask_given, ideal.crystal.cell)


def hot_pixels(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """One pixel in a thousand `strength` times as bright as the brightest of the plane."""
    measured = ideal.scattering
    hot = rng.random(measured.shape) < 1e-3
    measured[hot] = strength * measured[ideal.mask].max() * rng.uniform(0.5, 1.0, int(hot.sum()))
    return ViolatingPlane(measured, ideal.mask, ideal.crystal.cell)


KINDS: dict[str, tuple[ViolationMaker, dict[str, float]]] = {
    "Bragg peaks left in": (bragg_peaks, {"0.3 of brightest": 0.3, "3 times": 3.0, "100 times": 100.0}),
    "smooth background alone": (smooth_background_alone, {"air": 0.0, "air and bump": 0.5, "bump": 2.0}),
    "powder rings alone": (powder_rings_alone, {"weak": 0.3, "middling": 1.0, "strong": 5.0}),
    "noise alone": (noise_alone, {"3 counts": 3.0, "30 counts": 30.0, "300 counts": 300.0}),
    "background left in": (background_left, {"0.1 of brightest": 0.1, "0.3": 0.3, "1": 1.0}),
    "size effect": (size_effect, {"0.03 A": 0.03, "0.1 A": 0.1, "0.3 A": 0.3}),
    "thermal diffuse": (thermal_diffuse, {"0.1 of mean": 0.1, "0.5": 0.5, "2": 2.0}),
    "two sites": (two_sites, {"0.1 of mean": 0.1, "0.3": 0.3, "1": 1.0}),
    "wrong cell": (wrong_edge, {"1 % longer": 1.01, "3 % longer": 1.03, "10 % longer": 1.1}),
    "another cell": (wrong_edge, {"halved": 0.5, "0.7": 0.7, "doubled": 2.0}),
    "zeros for gaps": (zeros_for_gaps, {"7 %": 0.07, "20 %": 0.2, "35 %": 0.35}),
    "transposed mask": (transposed_mask, {"2 %": 0.02, "7 %": 0.07, "15 %": 0.15}),
    "hot pixels": (hot_pixels, {"0.3 of brightest": 0.3, "1": 1.0, "10 times": 10.0}),
}
"""What is done to planes, and the strength of each level."""


def _amplitude(molecule: Molecule, crystal: Crystal, plane: Plane) -> npt.NDArray[np.complex128]:
    damping = np.exp(-crystal.debye_waller_b_angstrom2 / (16 * np.pi**2) * plane.q_squared())
    amplitude: npt.NDArray[np.complex128] = molecular_form_factor(molecule, plane) * damping
    return amplitude


def _difference(crystal: Crystal, plane: Plane) -> npt.NDArray[np.complex128]:
    """sqrt(m_A m_B) (F_A - F_B), whose square is I_FF."""
    first, second = (_amplitude(each, crystal, plane) for each in crystal.molecules)
    share = crystal.order.m_a
    difference: npt.NDArray[np.complex128] = np.sqrt(share * (1 - share)) * (first - second)
    return difference


def _mean_power(ideal: IdealPlane) -> Array:
    """|m_A F_A + m_B F_B|^2: what Bragg peaks and phonons see of the site [electrons^2]."""
    first, second = (_amplitude(each, ideal.crystal, ideal.plane) for each in ideal.crystal.molecules)
    share = ideal.crystal.order.m_a
    mean: Array = np.square(np.abs(share * first + (1 - share) * second))
    return mean
