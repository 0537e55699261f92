"""Slow and simple float64 references for `dsfunet.physics`: every atom, every lattice vector, one point of Q at a time.

Nothing here knows that a plane is affine or that a phase separates. Cells come from gemmi, scattering factors
from gemmi's IT92 coefficients at the very |Q| of each point. At the end are the planes, pixels and alphas on
which the two are compared.
"""

from collections.abc import Sequence
from itertools import product

import gemmi
import numpy as np
import numpy.typing as npt

from dsfunet.physics import Plane

Array = npt.NDArray[np.float64]


def reference_direct(parameters: Sequence[float]) -> Array:
    """Rows a, b, c [Angstrom] of a cell (a, b, c, alpha, beta, gamma), a along x and b in the xy plane."""
    return np.array(gemmi.UnitCell(*parameters).orth.mat.tolist()).T


def reference_reciprocal(parameters: Sequence[float]) -> Array:
    """Rows a*, b*, c* [1/Angstrom] with 2 pi, as cross products over the volume."""
    a, b, c = reference_direct(parameters)
    volume = a @ np.cross(b, c)
    return 2 * np.pi * np.array([np.cross(b, c), np.cross(c, a), np.cross(a, b)]) / volume


def reference_q(
    origin: Array, step_u: Array, step_v: Array, shape: tuple[int, int], pixels: Sequence[tuple[int, int]]
) -> Array:
    """Q [1/Angstrom] of some pixels (i, j) of a plane, shape (pixels, 3): o + (i - n/2) du + (j - m/2) dv."""
    n, m = shape
    return np.array([origin + (i - n // 2) * step_u + (j - m // 2) * step_v for i, j in pixels])


def reference_scattering_factor(element: str, q: Array) -> Array:
    """IT92 factor [electrons] of one element at every point of Q (points, 3), with one call per point."""
    coefficients = gemmi.Element(element).it92
    assert coefficients is not None
    return np.array(
        [coefficients.calculate_sf((float(np.linalg.norm(each)) / (4 * np.pi)) ** 2) for each in q]
    )


def reference_form_factor(elements: Sequence[str], positions: Array, q: Array) -> npt.NDArray[np.complex128]:
    """F(Q) of equation 2 [electrons] at points (points, 3), atom by atom."""
    total = np.zeros(len(q), dtype=np.complex128)
    for element, position in zip(elements, positions, strict=True):
        total += reference_scattering_factor(element, q) * np.exp(1j * (q @ position))
    return total


def reference_form_factor_intensity(
    first: tuple[Sequence[str], Array],
    second: tuple[Sequence[str], Array],
    q: Array,
    concentration_first: float,
    debye_waller_b_angstrom2: float = 0.0,
) -> Array:
    """I_FF of equation 1 [electrons^2] of two species, each (elements, positions), at points (points, 3)."""
    difference = reference_form_factor(*first, q) - reference_form_factor(*second, q)
    damping = np.exp(-debye_waller_b_angstrom2 * np.sum(q**2, axis=1) / (8 * np.pi**2))
    return concentration_first * (1 - concentration_first) * np.abs(difference) ** 2 * damping


def reference_short_range_order(alphas: npt.NDArray[np.floating], direct: Array, q: Array) -> Array:
    """I_SRO of equation 3 at points (points, 3), unclipped: a plain sum over all 1331 lattice vectors."""
    a, b, c = direct
    total = np.zeros(len(q))
    for i, j, k in product(range(-5, 6), repeat=3):
        total += float(alphas[i + 5, j + 5, k + 5]) * np.cos(q @ (i * a + j * b + k * c))
    return total


def random_alphas(seed: int) -> Array:
    """A full set (11, 11, 11) with inversion symmetry only; no value is zero, and some are negative."""
    rng = np.random.default_rng(seed)
    index = np.indices((11, 11, 11)) - 5
    alphas = rng.normal(size=(11, 11, 11)) * np.exp(-0.6 * np.linalg.norm(index, axis=0))
    alphas = (alphas + alphas[::-1, ::-1, ::-1]) / 2
    alphas[5, 5, 5] = 1.0
    return np.asarray(alphas)


def oblique_plane(seed: int = 0, shape: tuple[int, int] = (256, 256)) -> Plane:
    """A plane in general position: no vector along an axis, steps neither equal nor perpendicular."""
    rng = np.random.default_rng(seed)
    return Plane(rng.normal(size=3), *(0.03 * rng.normal(size=(2, 3))), shape)


def some_pixels(shape: tuple[int, int], count: int = 200, seed: int = 1) -> list[tuple[int, int]]:
    """Random pixels, plus the corners and the centre."""
    n, m = shape
    rng = np.random.default_rng(seed)
    drawn = zip(rng.integers(n, size=count).tolist(), rng.integers(m, size=count).tolist(), strict=True)
    return [(0, 0), (0, m - 1), (n - 1, 0), (n - 1, m - 1), (n // 2, m // 2), *drawn]


def at(picture: Array, pixels: list[tuple[int, int]]) -> Array:
    """Values of an image at some pixels."""
    return np.array([picture[pixel] for pixel in pixels])
