"""Virtual crystals that no product F S describes: two sites in a primitive cell, twins and displacements.

Made like those of `tests.virtual_crystals`: explicit sites ordered by pair energies, and the Fourier sum of counted,
tapered pair correlations, here of each pair of sublattices with its own contrast. Nothing is shared with dsfunet.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import gemmi
import numpy as np
import numpy.typing as npt

from tests.virtual_crystals import (
    CRYSTALS,
    Array,
    Atom,
    Plane,
    _order,
    contrast,
    correlate,
    hide_a_third,
    measure,
    reciprocal_vectors,
)

Bond = tuple[int, int, tuple[int, int, int], float]
"""From one site to another, cells between them, and the pair energy of two like species [kT]."""


@dataclass(frozen=True)
class SiteCrystal:
    """A crystal with two disordered sites in a primitive cell.

    Attributes:
        lengths: a, b, c [Angstrom].
        gamma: angle between a and b [degrees]; the others are 90.
        sites: fractional positions of both.
        species: for each site the atoms of A and of B around it.
        bonds: pair energies, each bond once; both sites must have alike ones.
        share: share of A.
        cells: cells of the supercell along each axis.
        b_iso: B of all atoms [Angstrom^2].
    """

    lengths: tuple[float, float, float]
    gamma: float
    sites: tuple[tuple[float, float, float], ...]
    species: tuple[tuple[tuple[Atom, ...], tuple[Atom, ...]], ...]
    bonds: tuple[Bond, ...]
    share: float = 0.4
    cells: tuple[int, int, int] = (16, 16, 12)
    b_iso: float = 0.6

    @property
    def direct(self) -> Array:
        """a, b, c as rows [Angstrom]."""
        (a, b, c), turn = self.lengths, np.radians(self.gamma)
        return np.array([[a, 0, 0], [b * np.cos(turn), b * np.sin(turn), 0], [0, 0, c]])


def _flat_molecule(angle: float) -> tuple[Atom, ...]:
    """Return a flat molecule, like bromobenzene without hydrogen, in the plane of a and b."""
    atoms = [("Br", 3.3, 0.0)]
    atoms += [("C", 1.4 * np.cos(turn), 1.4 * np.sin(turn)) for turn in np.arange(6) * np.pi / 3]
    c, s = np.cos(angle), np.sin(angle)
    return tuple((name, x * c - y * s, x * s + y * c, 0.0) for name, x, y in atoms)


_LIGHTER = ((("Fe", 0.0, 0.0, 0.0),), (("Al", 0.0, 0.0, 0.0),))
_METALS = ((("Au", 0.0, 0.0, 0.0),), (("Cu", 0.0, 0.0, 0.0),))
# Steps to the neighbours of a site of the first kind among those of the second.
_BETWEEN = [(step[0], step[1], up) for step in ((0, 0), (0, 1), (-1, 0)) for up in (0, -1)]
_CORNERS = [(step, other, 0) for step in (0, -1) for other in (0, -1)]
_MOLECULES = (
    (_flat_molecule(0.4), _flat_molecule(0.4 + np.pi)),
    (_flat_molecule(np.pi - 0.4), _flat_molecule(-0.4)),
)
_TURNED = (
    (_flat_molecule(0.4), _flat_molecule(1.5)),
    (_flat_molecule(0.4 + np.pi), _flat_molecule(1.5 + np.pi)),
)


def _inside(*steps: tuple[tuple[int, int, int], float]) -> tuple[Bond, ...]:
    return tuple((site, site, step, energy) for site in (0, 1) for step, energy in steps)


SITE_CRYSTALS = {
    "hcp": SiteCrystal(
        (2.9, 2.9, 4.7), 120.0, ((1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)), (_METALS, _METALS),
        (*_inside(((1, 0, 0), 0.2), ((0, 1, 0), 0.2), ((1, 1, 0), 0.2)), *((0, 1, s, 0.2) for s in _BETWEEN)),
    ),
    "glide": SiteCrystal(
        (9.2, 7.8, 6.0), 90.0, ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0)), _MOLECULES,
        (*_inside(((1, 0, 0), 0.1), ((0, 1, 0), -0.25), ((0, 0, 1), 0.1)), *((0, 1, s, 0.2) for s in _CORNERS)),
        share=0.5, b_iso=2.0,
    ),
    "general": SiteCrystal(
        (9.2, 7.8, 6.0), 90.0, ((0.0, 0.0, 0.0), (0.42, 0.31, 0.0)), _MOLECULES,
        (*_inside(((1, 0, 0), 0.1), ((0, 1, 0), -0.25), ((0, 0, 1), 0.1)), *((0, 1, s, 0.2) for s in _CORNERS)),
        share=0.5, b_iso=2.0,
    ),
    "two molecules": SiteCrystal(
        (9.2, 7.8, 6.0), 90.0, ((0.0, 0.0, 0.0), (0.42, 0.31, 0.0)), _MOLECULES,
        tuple((site, site, step, energy)
              for site, energies in enumerate(((0.2, -0.25), (-0.25, 0.2)))
              for step, energy in zip(((1, 0, 0), (0, 1, 0)), energies, strict=True)),
        share=0.5, b_iso=2.0,
    ),
    # Two chains of molecules that a glide line makes equal, each ordered for itself along another diagonal.
    "independent": SiteCrystal(
        (9.2, 7.8, 6.0), 90.0, ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0)), _MOLECULES,
        (*_inside(((1, 0, 0), 0.1), ((0, 1, 0), -0.2), ((0, 0, 1), 0.1)),
         (0, 0, (1, 1, 0), 0.2), (1, 1, (1, -1, 0), 0.2)),
        share=0.5, b_iso=2.0,
    ),
    # Two molecules that a two-fold axis makes equal, in an oblique cell.
    "oblique": SiteCrystal(
        (8.6, 7.4, 6.0), 104.0, ((0.0, 0.0, 0.0), (0.45, 0.38, 0.0)), _TURNED,
        (*_inside(((1, 0, 0), 0.15), ((0, 1, 0), -0.15), ((0, 0, 1), 0.1)), *((0, 1, s, 0.2) for s in _CORNERS)),
        share=0.5, b_iso=2.0,
    ),
    "oblique, independent": SiteCrystal(
        (8.6, 7.4, 6.0), 104.0, ((0.0, 0.0, 0.0), (0.45, 0.38, 0.0)), (_MOLECULES[0], _TURNED[1]),
        tuple((site, site, step, energy)
              for site, energies in enumerate(((0.2, -0.25), (-0.25, 0.2)))
              for step, energy in zip(((1, 0, 0), (0, 1, 0)), energies, strict=True)),
        share=0.5, b_iso=2.0,
    ),
    "oblique alloy": SiteCrystal(
        (4.1, 4.7, 4.0), 97.0, ((0.0, 0.0, 0.0), (0.5, 0.31, 0.0)), (_METALS, _LIGHTER),
        (*_inside(((1, 0, 0), 0.1), ((0, 1, 0), -0.2), ((0, 0, 1), 0.1)), *((0, 1, s, 0.25) for s in _CORNERS)),
    ),
    "unlike atoms": SiteCrystal(
        (4.2, 4.6, 4.0), 90.0, ((0.0, 0.0, 0.0), (0.38, 0.27, 0.0)), (_METALS, _LIGHTER),
        (*_inside(((1, 0, 0), 0.1), ((0, 1, 0), -0.2), ((0, 0, 1), 0.1)), *((0, 1, s, 0.25) for s in _CORNERS)),
    ),
    "one after another": SiteCrystal(
        (4.2, 4.6, 4.0), 90.0, ((0.0, 0.0, 0.0), (0.38, 0.27, 0.0)), (_METALS, _METALS),
        (*_inside(((1, 0, 0), 0.1), ((0, 1, 0), -0.2), ((0, 0, 1), 0.1)), *((0, 1, s, 0.25) for s in _CORNERS)),
    ),
}  # fmt: skip
_REACH = (3.0, 6.0)  # [cells]


@lru_cache(maxsize=8)
def correlate_sites(name: str, seed: int = 0, count: int = 5, sweeps: int = 40) -> Array:
    """Return tapered pair correlations from site i to site j by cells between them, shape (2, 2, n, m, l), periodic."""
    crystal = SITE_CRYSTALS[name]
    shape = (2, *crystal.cells)
    number = np.arange(np.prod(shape)).reshape(shape)
    steps: dict[int, list[tuple[float, int, tuple[int, int, int]]]] = {0: [], 1: []}
    for first, second, step, energy in crystal.bonds:
        steps[first].append((energy, second, step))
        steps[second].append((energy, first, (-step[0], -step[1], -step[2])))
    columns = []
    for site, bonds in steps.items():
        bonds.sort(key=lambda bond: bond[0])
        assert [bond[0] for bond in bonds] == sorted(bond[0] for bond in steps[0]), site
        shifted = [np.roll(number[other], [-each for each in step], (0, 1, 2)) for _, other, step in bonds]
        columns.append(np.stack([each.reshape(-1) for each in shifted], axis=1))
    neighbours, energies = np.concatenate(columns), np.array([bond[0] for bond in steps[0]])
    random = np.random.default_rng([seed, 3])
    power = np.zeros((2, 2, *crystal.cells), np.complex128)
    for _ in range(count):
        start = random.permutation(number.size) < round(crystal.share * number.size)
        occupied = start.astype(np.int8)
        _order(occupied, neighbours, energies, sweeps * number.size, random)
        wave = np.fft.fftn(occupied.reshape(shape) - crystal.share, axes=(1, 2, 3))
        power += wave[:, None].conj() * wave[None] / count
    pairs = np.fft.ifftn(power, axes=(2, 3, 4)).real / (number.size / 2)
    distance = np.zeros(crystal.cells)
    for axis, n in enumerate(crystal.cells):
        along = np.abs(np.fft.fftfreq(n, 1 / n))
        distance = np.maximum(distance, along.reshape([-1 if each == axis else 1 for each in range(3)]))
    taper = np.clip((_REACH[1] - distance) / (_REACH[1] - _REACH[0]), 0, 1)
    return np.asarray(pairs * taper**2 * (3 - 2 * taper) / (crystal.share * (1 - crystal.share)))


def _amplitude(crystal: SiteCrystal, site: int, indices: Array) -> npt.NDArray[np.complex128]:
    """Return f_A - f_B of a site at indices h, k, l, shape (..., 3) -> (...)."""
    q = indices @ np.linalg.inv(crystal.direct).T
    s2 = np.sum(q**2, axis=-1) / 4
    levels = np.linspace(0, float(s2.max()), 400)
    total = np.zeros(s2.shape, np.complex128)
    for sign, atoms in zip((1, -1), crystal.species[site], strict=True):
        for name, *position in atoms:
            table = [gemmi.Element(name).it92.calculate_sf(float(level)) for level in levels]
            factor = np.interp(s2, levels, table) * np.exp(-crystal.b_iso * s2)
            total += sign * factor * np.exp(2j * np.pi * (q @ np.array(position)))
    return np.asarray(total)


def measure_sites(
    name: str,
    seed: int = 0,
    layer: float = 0.0,
    reach: float = 4.2,
    step: float = 1 / 20,
    brightest: float = 2000.0,
    missing: bool = False,
    crystal_seed: int = 0,
) -> tuple[Array, npt.NDArray[np.bool_], Array]:
    """Count photons on a plane hk of a crystal with two sites.

    Returns:
        counts (n, n), a mask that is True where measured, and the indices of the pixels along both axes (n,).
    """
    crystal = SITE_CRYSTALS[name]
    n = round(reach / step)
    axis = np.arange(-n, n + 1) * step
    indices = np.stack([*np.meshgrid(axis, axis, indexing="ij"), np.full((2 * n + 1, 2 * n + 1), layer)], -1)
    numbers = [np.fft.fftfreq(count, 1 / count) for count in crystal.cells]
    flat = correlate_sites(name, crystal_seed) @ np.exp(2j * np.pi * layer * numbers[2])
    left, right = (np.exp(2j * np.pi * np.outer(axis, each)) for each in numbers[:2])
    amplitudes = [_amplitude(crystal, site, indices) for site in (0, 1)]
    expected = np.zeros(indices.shape[:2])
    for first, second in np.ndindex(2, 2):
        between = np.subtract(crystal.sites[second], crystal.sites[first])
        term = amplitudes[first].conj() * amplitudes[second] * np.exp(2j * np.pi * (indices @ between))
        expected += (term * (left @ flat[first, second] @ right.T)).real
    expected = np.maximum(expected, 0)
    counts = (
        np.random.default_rng([seed, 11]).poisson(brightest * expected / expected.max()).astype(np.float64)
    )
    return counts, hide_a_third(axis, axis) if missing else np.full(counts.shape, True), axis


Fault = Literal["twin", "two-fold twin", "size effect", "thermal", "background", "flat", "Bragg"]

FAULTS: tuple[tuple[Fault, float], ...] = (
    ("twin", 0.05),
    ("twin", 0.4),
    ("two-fold twin", 0.2),
    ("two-fold twin", 0.4),
    ("size effect", 1.0),
    ("size effect", 3.0),
    ("thermal", 0.05),
    ("thermal", 0.3),
    ("background", 0.3),
    ("Bragg", 0.1),
    ("Bragg", 2.0),
)
"""Faults, weak and strong, that are not several sites, with how much of each."""


def measure_fault(
    name: str,
    fault: Fault,
    amount: float,
    seed: int = 0,
    axes: tuple[int, int] = (0, 1),
    reach: float = 4.2,
    brightest: float = 2000.0,
    missing: bool = False,
) -> Plane:
    """Count photons on a plane of a crystal of `tests.virtual_crystals` that is no product F S for other reasons.

    Args:
        name: of the crystal.
        fault: a twin turned by 8 degrees, or by half a turn about the first axis, with the share `amount`; neighbours
            along both axes whose distance changes by `amount` per cent for unlike pairs; thermal scattering around all
            lattice points, or a liquid's ring, with `amount` of the mean; or Bragg peaks, `amount` times as bright as
            the brightest pixel.
        amount: how much of it.
        seed: of the noise.
        axes: axes of the plane.
        reach: largest index.
        brightest: counts of the brightest pixel without the fault.
        missing: whether 29 % are missing.
    """
    good = measure(name, seed, axes, reach=reach, brightest=brightest, missing=missing)
    u, v = np.meshgrid(good.rows, good.columns, indexing="ij")
    reciprocal = reciprocal_vectors(CRYSTALS[name].cell)
    q = np.stack([u, v], axis=-1) @ reciprocal[list(axes)]
    q_squared = np.sum(q**2, axis=-1)
    away = (u - np.round(u)) ** 2 + (v - np.round(v)) ** 2
    random = np.random.default_rng([seed, 13])
    expected, mean = good.expected, good.expected.mean()
    if fault in ("twin", "two-fold twin"):
        first, second = sorted(set(range(3)) - {3 - sum(axes)})
        turned = q.copy()
        if fault == "twin":
            c, s = np.cos(np.radians(8)), np.sin(np.radians(8))
            turned[..., first] = c * q[..., first] - s * q[..., second]
            turned[..., second] = s * q[..., first] + c * q[..., second]
        else:  # in an oblique cell, every other vector of the twin lies beside those of the crystal
            turned[..., second] = -q[..., second]
        indices = (turned @ np.linalg.inv(reciprocal)).reshape(-1, 3)
        table = np.moveaxis(correlate(name).alphas, axes, (0, 1)).sum(axis=2)
        waves = [
            np.exp(1j * np.pi * np.outer(indices[:, axis], np.fft.fftfreq(n, 1 / n)))
            for axis, n in zip(axes, table.shape, strict=True)
        ]
        order = np.einsum("pi,ij,pj->p", waves[0], table / table[0, 0], waves[1], optimize=True).real
        crystal = CRYSTALS[name]
        whole = np.zeros((*u.shape, 3))
        whole[..., list(axes)] = np.stack([u, v], axis=-1)
        scale = good.form_factor.max() / contrast(crystal, whole).max()
        other = scale * contrast(crystal, indices) * order
        expected = (1 - amount) * expected + amount * other.reshape(u.shape)
    elif fault == "size effect":
        wave = u * np.sin(2 * np.pi * u) + v * np.sin(2 * np.pi * v)
        expected = expected + good.form_factor * 2 * np.pi * 0.01 * amount * wave
    elif fault == "thermal":
        thermal = q_squared * np.exp(-q_squared / 2) / (away + 0.1**2)
        expected = expected + amount * mean / thermal.mean() * thermal
    elif fault == "flat":
        expected = expected + amount * mean
    elif fault == "background":
        ring = np.exp(-((np.sqrt(q_squared) - 0.35) ** 2) / (2 * 0.07**2)) + 0.1
        expected = expected + amount * mean / ring.mean() * ring
    else:
        nodes = random.exponential(size=u.shape)[np.round(u).astype(int), np.round(v).astype(int)]
        peaks = nodes * np.exp(-q_squared - away / (2 * 0.03**2))
        expected = expected + amount * expected.max() * peaks
    counts = random.poisson(np.maximum(expected, 0)).astype(np.float64)
    return Plane(
        counts, good.mask, good.rows, good.columns, good.form_factor, good.order, axes, 0.0, expected
    )
