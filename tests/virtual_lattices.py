"""Virtual crystals on any lattice: random pair energies between the sites of a primitive cell of any shape.

A third forward model beside `tests.virtual_crystals`: a supercell of primitive cells, ordered by Monte Carlo, and the
Fourier sum of its counted, tapered pair correlations at the indices of the conventional cell. One site a primitive
cell, so that every plane is a product F S; which vectors are correlated, and how strongly, depends on the seed.
"""

from functools import lru_cache
from typing import Literal

import gemmi
import numpy as np

from tests.virtual_crystals import Array, Atom, Plane, _order, hide_a_third

PRIMITIVE = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, 1 / 2), (0, -1 / 2, 1 / 2)),
    "B": ((1 / 2, 0, 1 / 2), (0, 1, 0), (-1 / 2, 0, 1 / 2)),
    "C": ((1 / 2, 1 / 2, 0), (-1 / 2, 1 / 2, 0), (0, 0, 1)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
"""Vectors of a primitive cell in fractions of the conventional one, obverse setting of R."""

Shape = Literal["cubic", "orthorhombic", "oblique", "hexagonal"]
CELLS: dict[Shape, tuple[float, float, float, float]] = {
    "cubic": (4.0, 4.0, 4.0, 90.0),
    "orthorhombic": (4.1, 4.9, 5.6, 90.0),
    "oblique": (4.3, 5.2, 4.8, 103.0),
    "hexagonal": (4.0, 4.0, 9.8, 120.0),
}
"""a, b, c, gamma [Angstrom, degrees]; alpha and beta are 90."""

_CELLS, _CONFIGURATIONS, _SWEEPS, _B_ISO = 16, 5, 40, 0.8
_REACH = (3.0, 6.0)  # [primitive cells]
_BONDS, _SUM_OF_ENERGIES = 7, 1.0  # [kT]: a liquid of sites well above its ordering temperature
_PAIRS = (("Au", "Cu"), ("Fe", "Al"), ("Pt", "Rh"), ("Ni", "W"))


def direct_vectors(shape: Shape) -> Array:
    """Return a, b, c as rows [Angstrom]."""
    a, b, c, gamma = CELLS[shape]
    turn = np.radians(gamma)
    return np.array([[a, 0, 0], [b * np.cos(turn), b * np.sin(turn), 0], [0, 0, c]])


def _molecule(length: float, angle: float) -> tuple[Atom, ...]:
    """Return a chain of carbon with a heavy atom at one end, in the plane of a and b, centred."""
    places = np.linspace(-0.5, 0.5, 5) * length
    names = ["Br", "C", "C", "C", "C"]
    return tuple(
        (name, x * np.cos(angle), x * np.sin(angle), 0.0) for name, x in zip(names, places, strict=True)
    )


@lru_cache(maxsize=4)
def _correlate(shape: Shape, centring: str, seed: int) -> tuple[Array, Array]:
    """Return lattice vectors in the conventional cell, shape (k, 3), and their tapered alphas."""
    primitive, random = np.array(PRIMITIVE[centring]), np.random.default_rng([seed, 19])
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    half = steps[[tuple(step) > (0, 0, 0) for step in steps.tolist()]]
    nearest = half[np.argsort(np.linalg.norm(half @ primitive @ direct_vectors(shape), axis=1))[:_BONDS]]
    energies = random.normal(size=_BONDS)
    energies *= _SUM_OF_ENERGIES / np.abs(energies).sum()
    number = np.arange(_CELLS**3).reshape([_CELLS] * 3)
    bonds = [*nearest, *-nearest]
    neighbours = np.stack(
        [np.roll(number, [-each for each in bond], (0, 1, 2)).reshape(-1) for bond in bonds], 1
    )
    share = float(random.uniform(0.3, 0.5))
    power = np.zeros(number.shape)
    for _ in range(_CONFIGURATIONS):
        occupied = (random.permutation(number.size) < round(share * number.size)).astype(np.int8)
        _order(occupied, neighbours, np.tile(energies, 2), _SWEEPS * number.size, random)
        power += np.abs(np.fft.fftn(occupied.reshape(number.shape) - occupied.mean())) ** 2 / _CONFIGURATIONS
    alphas = np.fft.ifftn(power).real
    axis = np.fft.fftfreq(_CELLS, 1 / _CELLS)
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    taper = np.clip((_REACH[1] - np.abs(places).max(axis=-1)) / (_REACH[1] - _REACH[0]), 0, 1)
    weights = (alphas / alphas[0, 0, 0] * taper**2 * (3 - 2 * taper)).reshape(-1)
    return places.reshape(-1, 3)[weights != 0] @ primitive, weights[weights != 0]


def _contrast(shape: Shape, seed: int, molecular: bool, indices: Array) -> Array:
    """Return |f_A - f_B|^2 at indices h, k, l, shape (..., 3) -> (...)."""
    random = np.random.default_rng([seed, 23])
    q = indices @ np.linalg.inv(direct_vectors(shape)).T
    s2 = np.sum(q**2, axis=-1) / 4
    if molecular:
        length, first, second = 0.9 * CELLS[shape][0], *random.uniform(0, np.pi, 2)
        species = _molecule(length, first), _molecule(length, second + np.pi)
    else:
        species = tuple(((name, 0.0, 0.0, 0.0),) for name in _PAIRS[seed % len(_PAIRS)])
    levels = np.linspace(0, float(s2.max()), 400)
    total = np.zeros(s2.shape, np.complex128)
    for sign, atoms in zip((1, -1), species, strict=True):
        for name, *position in atoms:
            table = [gemmi.Element(name).it92.calculate_sf(float(level)) for level in levels]
            factor = np.interp(s2, levels, table) * np.exp(-_B_ISO * s2)
            total += sign * factor * np.exp(2j * np.pi * (q @ np.array(position)))
    return np.asarray(np.abs(total) ** 2)


def measure_lattice(
    shape: Shape,
    centring: str,
    seed: int = 0,
    layer: float = 0.0,
    reach: float = 4.2,
    step: float = 1 / 20,
    brightest: float = 2000.0,
    missing: bool = False,
    molecular: bool = False,
) -> Plane:
    """Count photons on a plane hk of a random crystal.

    Args:
        shape: of the conventional cell.
        centring: a key of PRIMITIVE.
        seed: of the crystal and of the noise.
        layer: index l.
        reach: largest index along both axes.
        step: of the pixels [r.l.u.].
        brightest: expected counts of the brightest pixel.
        missing: whether 29 % are missing.
        molecular: whether two orientations of a molecule as long as the cell are disordered, not two atoms.
    """
    vectors, alphas = _correlate(shape, centring, seed)
    n = round(reach / step)
    axis = np.arange(-n, n + 1) * step
    projected, place = np.unique(np.round(vectors[:, :2], 6), axis=0, return_inverse=True)
    terms = np.zeros(len(projected), np.complex128)
    np.add.at(terms, place.reshape(-1), alphas * np.exp(2j * np.pi * layer * vectors[:, 2]))
    left, right = (np.exp(2j * np.pi * np.outer(axis, each)) for each in projected.T)
    order = np.asarray(((left * terms) @ right.T).real)
    indices = np.stack([*np.meshgrid(axis, axis, indexing="ij"), np.full(order.shape, layer)], -1)
    form_factor = _contrast(shape, seed, molecular, indices)
    expected = np.maximum(form_factor * order, 0)
    scale = brightest / float(expected.max())
    counts = np.random.default_rng([seed, 29]).poisson(scale * expected).astype(np.float64)
    mask = hide_a_third(axis, axis) if missing else np.full(order.shape, True)
    return Plane(counts, mask, axis, axis, scale * form_factor, order, (0, 1), layer, scale * expected)
