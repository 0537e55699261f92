"""The kinds of violation: for each, a function that makes a plane break one assumption of the method.

Each function takes an ideal plane, drawn like any other (species, order, cell, layer, mask), and changes one thing. The
result is not a product of a smooth form factor and a periodic short-range order, or it comes with a wrong cell or mask.
`simulate.violations.planes` draws the ideal planes and turns the results into samples of a store.
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

MAX_ATTEMPTS = 60
"""Largest number of crystals to draw for one plane; the first is usually suitable."""

_LAYER_TOLERANCE = 0.02
_FEWEST_SPOTS = 6
# Largest index of the vectors with a size effect; displacements fall off with the square of the distance.
_SIZE_REACH = 2
# Added to omega^2, so that the intensity stays finite at the Bragg positions.
_SOFTEST = 0.01
# Largest correlation rho between the occupations of both sites.
_LARGEST_CROSS = 0.6


@dataclass(frozen=True)
class IdealPlane:
    """A plane before the violation.

    Attributes:
        crystal: crystal of the plane.
        plane: pixel positions.
        axes: the two reciprocal axes that span the plane.
        offset: index along the third axis [r.l.u.].
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
        """Product of both components [electrons^2]."""
        return self.form_factor * self.order


@dataclass(frozen=True)
class ViolatingPlane:
    """A plane after the violation: its scattering (any unit), and the mask and cell given with it."""

    scattering: Array
    mask: Mask
    cell: Cell


ViolationMaker = Callable[[Population, np.random.Generator, IdealPlane, float], ViolatingPlane | None]
"""Makes a plane violate an assumption with a given strength; returns None if the ideal plane is not suitable."""


def add_bragg_peaks(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Add all Bragg peaks, proportional to |m_A F_A + m_B F_B|^2.

    The brightest peak is `strength` times as high as the brightest diffuse scattering.
    """
    pixels = bragg_pixels(ideal.plane, ideal.crystal.cell, _LAYER_TOLERANCE)
    # Leave out the direct beam, which is behind its stop.
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


def replace_by_smooth_background(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Replace the plane by air scattering and a bump in |Q|; `strength` is the bump's height relative to the air's."""
    air = smooth_background(ideal.plane, rng.uniform(0.02, 0.3), 1.0, 0.0, rng.uniform(0.8, 3.0))
    bump = smooth_background(ideal.plane, 0.0, strength, rng.uniform(1.5, 4.5), rng.uniform(0.3, 1.0))
    return ViolatingPlane(air + bump, ideal.mask, ideal.crystal.cell)


def replace_by_powder_rings(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Replace the plane by powder rings on air scattering; `strength` is their height relative to the air's."""
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


def replace_by_noise(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Replace the plane by Poisson noise with `strength` counts expected everywhere."""
    return ViolatingPlane(
        rng.poisson(strength, ideal.plane.shape).astype(np.float64), ideal.mask, ideal.crystal.cell
    )


def add_background(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Add air scattering and a bump in |Q|, together `strength` times as high as the plane's maximum."""
    background = replace_by_smooth_background(population, rng, ideal, float(rng.uniform(0.0, 1.5))).scattering
    measured = ideal.scattering
    return ViolatingPlane(
        measured + background * (strength * measured[ideal.mask].max() / background.max()),
        ideal.mask,
        ideal.crystal.cell,
    )


def add_size_effect(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Add Warren's size effect: I_FF [sum alpha_v cos(Q.v) - sum (Q.v/|v|) gamma_v sin(Q.v)], clipped at zero.

    gamma_v [Angstrom] is `strength` for the nearest neighbours and falls off as 1/|v|^2. Its sign is random but the
    same for all vectors, since a larger A pushes all its neighbours away.
    """
    sign = float(rng.choice([-1.0, 1.0]))
    steps = np.stack(np.meshgrid(*(np.arange(-_SIZE_REACH, _SIZE_REACH + 1),) * 3, indexing="ij"), axis=-1)
    steps = steps.reshape(-1, 3)
    steps = steps[len(steps) // 2 + 1 :]  # one of v and -v, which give equal terms
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


def add_thermal_diffuse(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Add scattering by acoustic phonons, |F|^2 Q^2 / omega^2(q), with a mean of `strength` times the plane's mean.

    omega^2 belongs to a lattice with equal springs between nearest neighbours: it is the sum of 1 - cos(Q.a) over the
    three axes. The intensity therefore follows 1/q^2 around every Bragg position.
    """
    origin, rows, columns = ideal.plane.phase_factors(np.asarray(ideal.crystal.cell.direct))
    stiffness = sum(1 - np.multiply.outer(origin[i] * rows[:, i], columns[:, i]).real for i in range(3))
    phonons = _mean_power(ideal) * ideal.plane.q_squared() / (np.asarray(stiffness) + _SOFTEST)
    measured = ideal.scattering
    scale = strength * measured[ideal.mask].mean() / phonons[ideal.mask].mean()
    return ViolatingPlane(measured + scale * phonons, ideal.mask, ideal.crystal.cell)


def add_second_site(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Add a second disordered site: |dF1|^2 S11 + |dF2|^2 S22 + 2 Re(dF1 conj(dF2) S12 exp(i Q.r)).

    The second site has another pair of species and its own order; `strength` is its mean intensity relative to the
    first site's. S12 = rho sqrt(S11 S22) with a random rho; intensities stay positive for |rho| up to 1.
    """
    lattice = ideal.crystal.species[0].lattice
    for _ in range(MAX_ATTEMPTS):
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


def change_cell_edge(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Keep the plane, but give a cell with one of the plane's two edges multiplied by `strength`."""
    lengths = list(ideal.crystal.cell.parameters)
    lengths[ideal.axes[int(rng.integers(2))]] *= strength
    return ViolatingPlane(ideal.scattering, ideal.mask, Cell(*lengths))


def fill_gaps_with_zeros(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Give the gaps as measured zeros; they cover at least the share `strength` of the plane."""
    if ideal.mask.mean() > 1 - strength:
        return None
    return ViolatingPlane(
        np.where(ideal.mask, ideal.scattering, 0.0), np.ones_like(ideal.mask), ideal.crystal.cell
    )


def transpose_mask(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane | None:
    """Put zeros in the gaps and transpose the mask; at least the share `strength` of the plane is unmasked zeros."""
    mask_given = ideal.mask.T.copy()
    if np.mean(mask_given & ~ideal.mask) < strength or not (mask_given & ideal.mask).any():
        return None
    return ViolatingPlane(np.where(ideal.mask, ideal.scattering, 0.0), mask_given, ideal.crystal.cell)


def add_hot_pixels(
    population: Population, rng: np.random.Generator, ideal: IdealPlane, strength: float
) -> ViolatingPlane:
    """Make one pixel in a thousand up to `strength` times as bright as the plane's maximum."""
    measured = ideal.scattering
    hot = rng.random(measured.shape) < 1e-3
    measured[hot] = strength * measured[ideal.mask].max() * rng.uniform(0.5, 1.0, int(hot.sum()))
    return ViolatingPlane(measured, ideal.mask, ideal.crystal.cell)


KINDS: dict[str, tuple[ViolationMaker, dict[str, float]]] = {
    "Bragg peaks left in": (add_bragg_peaks, {"0.3 of brightest": 0.3, "3 times": 3.0, "100 times": 100.0}),
    "smooth background alone": (replace_by_smooth_background, {"air": 0.0, "air and bump": 0.5, "bump": 2.0}),
    "powder rings alone": (replace_by_powder_rings, {"weak": 0.3, "middling": 1.0, "strong": 5.0}),
    "noise alone": (replace_by_noise, {"3 counts": 3.0, "30 counts": 30.0, "300 counts": 300.0}),
    "background left in": (add_background, {"0.1 of brightest": 0.1, "0.3": 0.3, "1": 1.0}),
    "size effect": (add_size_effect, {"0.03 A": 0.03, "0.1 A": 0.1, "0.3 A": 0.3}),
    "thermal diffuse": (add_thermal_diffuse, {"0.1 of mean": 0.1, "0.5": 0.5, "2": 2.0}),
    "two sites": (add_second_site, {"0.1 of mean": 0.1, "0.3": 0.3, "1": 1.0}),
    "wrong cell": (change_cell_edge, {"1 % longer": 1.01, "3 % longer": 1.03, "10 % longer": 1.1}),
    "another cell": (change_cell_edge, {"halved": 0.5, "0.7": 0.7, "doubled": 2.0}),
    "zeros for gaps": (fill_gaps_with_zeros, {"7 %": 0.07, "20 %": 0.2, "35 %": 0.35}),
    "transposed mask": (transpose_mask, {"2 %": 0.02, "7 %": 0.07, "15 %": 0.15}),
    "hot pixels": (add_hot_pixels, {"0.3 of brightest": 0.3, "1": 1.0, "10 times": 10.0}),
}
"""Function and levels of each kind of violation; a level is a name and a strength."""


def _amplitude(molecule: Molecule, crystal: Crystal, plane: Plane) -> npt.NDArray[np.complex128]:
    damping = np.exp(-crystal.debye_waller_b_angstrom2 / (16 * np.pi**2) * plane.q_squared())
    amplitude: npt.NDArray[np.complex128] = molecular_form_factor(molecule, plane) * damping
    return amplitude


def _difference(crystal: Crystal, plane: Plane) -> npt.NDArray[np.complex128]:
    """Return sqrt(m_A m_B) (F_A - F_B), whose squared modulus is I_FF."""
    first, second = (_amplitude(each, crystal, plane) for each in crystal.molecules)
    share = crystal.order.m_a
    difference: npt.NDArray[np.complex128] = np.sqrt(share * (1 - share)) * (first - second)
    return difference


def _mean_power(ideal: IdealPlane) -> Array:
    """Return |m_A F_A + m_B F_B|^2, the scattering power of the average site [electrons^2]."""
    first, second = (_amplitude(each, ideal.crystal, ideal.plane) for each in ideal.crystal.molecules)
    share = ideal.crystal.order.m_a
    mean: Array = np.square(np.abs(share * first + (1 - share) * second))
    return mean
