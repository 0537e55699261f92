"""Virtual crystals by a forward model that shares no code with dsfunet: explicit sites, pair energies, counted pairs.

Sites of a periodic supercell are ordered by Monte Carlo; |Fourier sum of occupation minus mean|^2, averaged over a few
configurations, gives the pair correlations of all distances at once. Those beyond three cells are tapered off, to 0 at
six, as a large crystal would have it. The intensity of a plane is their Fourier sum times |f_A - f_B|^2 of explicit
atoms, as counts. The truth is counted from pairs of sites.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt
from numba import njit

from tests.virtual_resolution import blur_layer

Array = npt.NDArray[np.float64]
Vector = tuple[float, float, float]
Atom = tuple[str, float, float, float]
"""Element and position [Angstrom], Cartesian."""

HALVES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "P": ((0, 0, 0),),
    "I": ((0, 0, 0), (1, 1, 1)),
    "F": ((0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)),
}
"""Sites of a conventional cell in halves of its edges."""


@dataclass(frozen=True)
class Crystal:
    """What a virtual crystal is made of.

    Attributes:
        cell: a, b, c, beta [Angstrom, degrees]; alpha and gamma are 90.
        centring: P, I or F.
        energies: pair energy of two like species by vector in halves of the cell edges, in units of kT; with the
            opposite vector.
        species: atoms of A and of B around their site.
        share: share of A.
        cells: cells of the supercell along each axis.
        b_iso: B of all atoms [Angstrom^2].
    """

    cell: tuple[float, float, float, float]
    centring: str
    energies: tuple[tuple[tuple[int, int, int], float], ...]
    species: tuple[tuple[Atom, ...], tuple[Atom, ...]]
    share: float
    cells: tuple[int, int, int]
    b_iso: float = 0.6


def cubic_orbit(vector: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return half of the vectors that a cubic crystal makes equal to one, one of each pair r and -r."""
    found = set()
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for signs in np.ndindex(2, 2, 2):
            found.add(tuple((1 - 2 * signs[i]) * vector[order[i]] for i in range(3)))
    return sorted(each for each in found if each > (0, 0, 0))  # type: ignore[misc]


def _cubic_energies(*shells: tuple[Sequence[int], float]) -> tuple[tuple[tuple[int, int, int], float], ...]:
    return tuple((vector, energy) for shell, energy in shells for vector in cubic_orbit(shell))


_REACH = (3.0, 6.0)  # [cells]
_HEAVY, _LIGHT = (("Au", 0.0, 0.0, 0.0),), (("Cu", 0.0, 0.0, 0.0),)


def _molecule(angle: float, tilt: float) -> tuple[Atom, ...]:
    """Return a flat molecule like p-bromochlorobenzene without hydrogen, turned about b and tilted out of the plane."""
    atoms = [("Br", 3.3, 0.0), ("Cl", -3.15, 0.0)]
    atoms += [("C", 1.4 * np.cos(turn), 1.4 * np.sin(turn)) for turn in np.arange(6) * np.pi / 3]
    c, s, ct, st = np.cos(angle), np.sin(angle), np.cos(tilt), np.sin(tilt)
    return tuple((name, x * c - y * ct * s, y * st, x * s + y * ct * c) for name, x, y in atoms)


def _ring(turned: bool) -> tuple[Atom, ...]:
    """Return a phenol-like ring without hydrogen in the plane a, b, or turned about a into the plane a, c."""
    flat = [("C", 1.4 * np.cos(turn), 1.4 * np.sin(turn)) for turn in np.arange(6) * np.pi / 3] + [
        ("O", 2.76, 0.0)
    ]
    return tuple((name, x, 0.0, y) if turned else (name, x, y, 0.0) for name, x, y in flat)


def _octahedron(*ligands: tuple[str, float]) -> tuple[Atom, ...]:
    """Return atoms at some distances from a site along all axes."""
    return tuple(
        (name, *(sign * distance * np.eye(3)[axis]))
        for name, distance in ligands
        for axis in range(3)
        for sign in (1, -1)
    )


CRYSTALS = {
    "P alloy": Crystal(
        (4.0, 4.0, 4.0, 90.0), "P", _cubic_energies(((2, 0, 0), 0.24), ((2, 2, 0), -0.05)),
        (_HEAVY, _LIGHT), 0.35, (16, 16, 16),
    ),
    "I alloy": Crystal(
        (2.9, 2.9, 2.9, 90.0), "I", _cubic_energies(((1, 1, 1), 0.16), ((2, 0, 0), -0.05)),
        ((("Fe", 0.0, 0.0, 0.0),), (("Al", 0.0, 0.0, 0.0),)), 0.5, (16, 16, 16),
    ),
    "F alloy": Crystal(
        (3.75, 3.75, 3.75, 90.0), "F", _cubic_energies(((1, 1, 0), 0.3), ((2, 0, 0), -0.15)),
        (_HEAVY, _LIGHT), 0.3, (16, 16, 16),
    ),
    "molecule": Crystal(
        (7.4, 5.2, 8.2, 104.0), "P",
        (((2, 0, 0), 0.3), ((0, 0, 2), -0.25), ((2, 0, 2), 0.14), ((0, 2, 0), -0.15)),
        (_molecule(0.5, 0.6), _molecule(-0.7, -0.6)), 0.5, (16, 12, 16), 3.0,
    ),
    "ring": Crystal(
        (6.6, 6.6, 6.6, 90.0), "P",
        (((2, 0, 0), 0.2), ((0, 2, 0), -0.16), ((0, 0, 2), 0.1), ((2, 2, 0), 0.06)),
        (_ring(False), _ring(True)), 0.4, (12, 12, 12), 2.5,
    ),
    "cluster": Crystal(
        (10.2, 10.2, 10.2, 90.0), "F", _cubic_energies(((1, 1, 0), 0.2), ((2, 0, 0), 0.08)),
        ((("Fe", 0.0, 0.0, 0.0), *_octahedron(("C", 1.93), ("N", 3.08))), _octahedron(("O", 2.9))),
        0.65, (12, 12, 12), 1.5,
    ),
}  # fmt: skip


PLANE_CRYSTALS = ("P alloy", "I alloy", "F alloy", "molecule")
"""Names of the crystals whose planes are measured; the others are for volumes."""


@njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _order(occupied: Any, neighbours: Any, energies: Any, steps: int, random: Any) -> None:
    """Exchange unlike sites `steps` times by the rule of Metropolis, in place."""
    count = len(occupied)
    for _ in range(steps):
        first, second = random.integers(0, count), random.integers(0, count)
        if occupied[first] == occupied[second]:
            continue
        change = 0.0
        for place in (first, second):
            for bond in range(neighbours.shape[1]):
                other = neighbours[place, bond]
                if other != first and other != second:
                    # Like neighbours cost the energy; both sites become the other species.
                    like = 1.0 if occupied[other] == occupied[place] else -1.0
                    change -= energies[bond] * like
        if change <= 0 or random.random() < np.exp(-change):
            occupied[first], occupied[second] = occupied[second], occupied[first]


def _sites(crystal: Crystal) -> npt.NDArray[np.int64]:
    """Return the positions of all sites in halves of the cell edges, shape (sites, 3)."""
    corners = 2 * np.stack(np.meshgrid(*map(np.arange, crystal.cells), indexing="ij"), -1).reshape(-1, 1, 3)
    found: npt.NDArray[np.int64] = (corners + np.array(HALVES[crystal.centring])).reshape(-1, 3)
    return found


@lru_cache(maxsize=8)
def _configurations(name: str, seed: int, count: int, sweeps: int) -> npt.NDArray[np.int8]:
    """Return occupations 1 (A), 0 (B) and -1 (no site) on the grid of half cells, shape (count, n, m, l)."""
    crystal = CRYSTALS[name]
    sites, grid = _sites(crystal), 2 * np.array(crystal.cells)
    number = np.full(grid, -1)
    number[tuple(sites.T)] = np.arange(len(sites))
    bonds = [(np.array(vector), energy) for vector, energy in crystal.energies]
    bonds += [(-vector, energy) for vector, energy in bonds]
    neighbours = np.stack([number[tuple(((sites + vector) % grid).T)] for vector, _ in bonds], axis=1)
    assert neighbours.min() >= 0
    energies = np.array([energy for _, energy in bonds])
    random = np.random.default_rng(seed)
    found = np.full((count, *grid), -1, np.int8)
    for each in found:
        occupied = (random.permutation(len(sites)) < round(crystal.share * len(sites))).astype(np.int8)
        _order(occupied, neighbours, energies, sweeps * len(sites), random)
        each[tuple(sites.T)] = occupied
    return found


@dataclass(frozen=True, eq=False)
class Correlations:
    """Tapered pair correlations of a crystal on the periodic grid of half cells.

    Attributes:
        crystal: what it is made of.
        alphas: by vector in half cells, origin first, periodic; 1 at 0 and 0 where no vector joins two sites.
        taper: what the counted correlations were multiplied by, same shape.
        occupations: the configurations.
    """

    crystal: Crystal
    alphas: Array
    taper: Array
    occupations: npt.NDArray[np.int8]

    def count_pairs(self, vector: tuple[int, int, int]) -> float:
        """Return the tapered Warren-Cowley parameter of a vector in half cells, by counting pairs of sites."""
        here = self.occupations
        there = np.roll(here, [-step for step in vector], (1, 2, 3))
        pairs = (here >= 0) & (there >= 0)
        unlike = np.count_nonzero(here[pairs] != there[pairs]) / np.count_nonzero(pairs)
        share = float(np.mean(here[here >= 0]))
        return float(1 - unlike / (2 * share * (1 - share))) * float(self.taper[vector])

    def layer_value(self, indices: tuple[int, int], axes: tuple[int, int], offset: float) -> float:
        """Return the real part of a layer's correlation c_mn / c_00, which is what one layer on its own scale shows.

        c_mn is the sum along the third axis of the counted correlations with the phase of the layer.

        Args:
            indices: in-plane vector in half cells.
            axes: axes of the plane.
            offset: index of the layer along the third axis.
        """
        return self._sum_layer(indices, axes, offset) / self._sum_layer((0, 0), axes, offset)

    def _sum_layer(self, indices: tuple[int, int], axes: tuple[int, int], offset: float) -> float:
        third = 3 - sum(axes)
        reach, total = self.alphas.shape[third] // 2, 0.0
        sites = self.occupations[0] >= 0
        for step in range(-reach, reach + 1):
            vector = [0, 0, 0]
            vector[axes[0]], vector[axes[1]], vector[third] = *indices, step
            there = np.roll(sites, [-each for each in vector], (0, 1, 2))
            if self.taper[tuple(vector)] > 0 and (sites & there).any():
                total += self.count_pairs((vector[0], vector[1], vector[2])) * np.cos(np.pi * step * offset)
        return total

    def layer_mean(self, axes: tuple[int, int], offset: float) -> float:
        """Return the mean of I_SRO over its repeat on a layer, c_00, on the scale where that of the crystal is 1."""
        third = 3 - sum(axes)
        line = np.moveaxis(self.alphas, (*axes, third), (0, 1, 2))[0, 0]
        return float((line @ np.exp(1j * np.pi * offset * _signed(len(line)))).real)

    def order(self, axes: tuple[int, int], offset: float, rows: Array, columns: Array) -> Array:
        """Return I_SRO on a layer at any indices, divided by its mean over the repeat."""
        third = 3 - sum(axes)
        table = np.moveaxis(self.alphas, (*axes, third), (0, 1, 2))
        n, m, count = table.shape
        layer = table @ np.exp(1j * np.pi * offset * _signed(count))
        left = np.exp(1j * np.pi * np.outer(rows, _signed(n)))
        right = np.exp(1j * np.pi * np.outer(columns, _signed(m)))
        return np.asarray((left @ layer @ right.T).real) / float(layer[0, 0].real)


def _signed(count: int) -> Array:
    return np.fft.fftfreq(count, 1 / count)


@lru_cache(maxsize=8)
def correlate(name: str, seed: int = 0, count: int = 6, sweeps: int = 40) -> Correlations:
    """Return the correlations of a crystal: Monte Carlo, then |Fourier sum|^2 averaged over configurations."""
    crystal = CRYSTALS[name]
    occupations = _configurations(name, seed, count, sweeps)
    sites = occupations >= 0
    share = float(np.mean(occupations[sites]))
    away = np.where(sites, occupations - share, 0.0)
    power = np.mean(np.abs(np.fft.fftn(away, axes=(1, 2, 3))) ** 2, axis=0)
    alphas = np.fft.ifftn(power).real / (len(_sites(crystal)) * share * (1 - share)) * sites[0].any()
    distance = np.zeros(alphas.shape)
    for axis, n in enumerate(alphas.shape):
        shape = [1, 1, 1]
        shape[axis] = n
        distance = np.maximum(distance, np.abs(_signed(n)).reshape(shape) / 2)
    taper = np.clip((_REACH[1] - distance) / (_REACH[1] - _REACH[0]), 0, 1)
    taper = taper**2 * (3 - 2 * taper)
    return Correlations(crystal, alphas * taper, taper, occupations)


def average_equivalents(found: Correlations, cubic: bool) -> Correlations:
    """Return the correlations of a large crystal, in which all configurations that symmetry makes equal occur.

    Args:
        found: correlations of a few configurations.
        cubic: whether all permutations and signs of the axes are equivalent; otherwise the sign of b is.
    """
    alphas = found.alphas
    for axis in range(3) if cubic else (1,):
        alphas = (alphas + np.roll(np.flip(alphas, axis), 1, axis)) / 2
    if cubic:
        alphas = np.mean([np.transpose(alphas, order) for order in permutations(range(3))], axis=0)
    return replace(found, alphas=alphas)


def layer_table(found: Correlations, axes: tuple[int, int]) -> Array:
    """Return the correlations of the layer of index 0 by in-plane vector in half cells, periodic, 1 for 0 0."""
    table: Array = np.moveaxis(found.alphas, (*axes, 3 - sum(axes)), (0, 1, 2)).sum(axis=2)
    return table / table[0, 0]


def reciprocal_vectors(cell: tuple[float, float, float, float]) -> Array:
    """Return a*, b*, c* without 2 pi as rows [1/Angstrom], with a along x and b along y."""
    a, b, c, beta = cell
    direct = np.array([[a, 0, 0], [0, b, 0], [c * np.cos(np.radians(beta)), 0, c * np.sin(np.radians(beta))]])
    return np.asarray(np.linalg.inv(direct).T)


def contrast(crystal: Crystal, indices: Array) -> Array:
    """Return |f_A - f_B|^2 at indices h, k, l, shape (..., 3) -> (...)."""
    q = indices @ reciprocal_vectors(crystal.cell)
    s2 = np.sum(q**2, axis=-1) / 4
    levels = np.linspace(0, float(s2.max()), 400)
    total = np.zeros(s2.shape, np.complex128)
    for sign, atoms in zip((1, -1), crystal.species, strict=True):
        for name, *position in atoms:
            table = [gemmi.Element(name).it92.calculate_sf(float(level)) for level in levels]
            factor = np.interp(s2, levels, table) * np.exp(-crystal.b_iso * s2)
            total += sign * factor * np.exp(2j * np.pi * (q @ np.array(position)))
    return np.asarray(np.abs(total) ** 2)


@dataclass(frozen=True, eq=False)
class Plane:
    """A measured plane of a virtual crystal, and its truth.

    Attributes:
        counts: Poisson counts, shape (n, m).
        mask: True where measured.
        rows: coordinates along the first axis [r.l.u.].
        columns: coordinates along the second axis [r.l.u.].
        form_factor: F in counts, so that the expected counts are F times I_SRO.
        order: I_SRO, with a mean of 1 over its repeat.
        axes: axes of the plane.
        offset: its index along the third axis.
        expected: expected counts, with the resolution and the thickness of the layer.
    """

    counts: Array
    mask: npt.NDArray[np.bool_]
    rows: Array
    columns: Array
    form_factor: Array
    order: Array
    axes: tuple[int, int]
    offset: float
    expected: Array


def measure(
    name: str,
    seed: int = 0,
    axes: tuple[int, int] = (0, 1),
    offset: float = 0.0,
    reach: float = 4.2,
    step: float = 1 / 20,
    brightest: float = 2000.0,
    missing: bool = False,
    crystal_seed: int = 0,
    resolution: tuple[float, float] = (0.0, 0.0),
    thickness: float = 0.0,
    correlations: Correlations | None = None,
) -> Plane:
    """Count photons on a plane of a crystal; the step need not divide a reciprocal unit.

    Args:
        name: of the crystal.
        seed: of the noise.
        axes: axes of the plane.
        offset: its index along the third axis.
        reach: largest index along both axes.
        step: of the pixels [r.l.u.].
        brightest: expected counts of the brightest pixel.
        missing: whether 29 % are missing.
        crystal_seed: seed of the configurations.
        resolution: standard deviations along both axes [r.l.u.] of the Gaussian that blurs the plane.
        thickness: full width along the third axis [r.l.u.] over which the layer is averaged.
        correlations: of the crystal; None takes those of `crystal_seed`.
    """
    found = correlate(name, crystal_seed) if correlations is None else correlations
    n = round(reach / step)
    rows = columns = np.arange(-n, n + 1) * step
    form_factor, order = _factors(found, axes, offset, rows, columns)

    def intensity(rows: Array, columns: Array, offset: float) -> Array:
        return np.asarray(np.prod(_factors(found, axes, offset, rows, columns), axis=0))

    expected = blur_layer(intensity, rows, columns, offset, resolution, thickness)
    scale = brightest / expected.max()
    random = np.random.default_rng([seed, 7])
    counts = random.poisson(np.maximum(scale * expected, 0)).astype(np.float64)
    mask = hide_a_third(rows, columns) if missing else np.full(order.shape, True)
    return Plane(counts, mask, rows, columns, scale * form_factor, order, axes, offset, scale * expected)


def _factors(
    found: Correlations, axes: tuple[int, int], offset: float, rows: Array, columns: Array
) -> tuple[Array, Array]:
    """Return |f_A - f_B|^2 and I_SRO of one sharp layer, times and divided by the mean of I_SRO over its repeat."""
    indices = np.zeros((len(rows), len(columns), 3))
    indices[..., axes[0]], indices[..., axes[1]] = rows[:, None], columns[None]
    indices[..., 3 - sum(axes)] = offset
    mean = found.layer_mean(axes, offset)
    return contrast(found.crystal, indices) * mean, found.order(axes, offset, rows, columns)


def hide_a_third(rows: Array, columns: Array) -> npt.NDArray[np.bool_]:
    """Return a mask with two bands and a beam stop missing: 29 % of a plane."""
    h, k = np.meshgrid(rows / np.abs(rows).max(), columns / np.abs(columns).max(), indexing="ij")
    hidden = (np.abs(h - 0.45 - 0.2 * k) < 0.12) | (np.abs(k + 0.3) < 0.12) | (h**2 + k**2 < 0.16**2)
    return np.asarray(~hidden)
