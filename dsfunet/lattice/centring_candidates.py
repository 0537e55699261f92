"""Centrings that a plane may have: conventional ones, those its layer tells apart, and those its residual asks for."""

import numpy as np

from dsfunet._typing import Mask
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import Harmonics, JointFit, list_harmonics
from dsfunet.lattice.joint_fit.plane import check_zones, resolved
from dsfunet.lattice.joint_fit.score import score_terms
from dsfunet.physics import Cell
from dsfunet.physics.centring import CENTRINGS, Centring
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName

# Before anything is fitted again, the residual must ask for so many of the shortest harmonics that a centring adds: on
# primitive crystals their log likelihood gains up to 16, on centred ones 100 or more.
_SCREENED, _SCREENING_GAIN = 8, 25.0
# Harmonics of the given cell in the short series; those of a centred cell reach as far.
_SHORT = 50
# Real parts of harmonics that must be imaginary, in standard uncertainties.
_SURELY_REAL = 5.0
_SAME_EDGE, _SAME_ANGLE = 1e-3, 0.05


def list_candidates(cell: Cell) -> tuple[Centring, ...]:
    """Return the centrings that are conventional for the shape of a cell, P first."""
    a, b, c, alpha, beta, gamma = cell.parameters

    def same(one: float, other: float) -> bool:
        return abs(one - other) <= _SAME_EDGE * one

    def angles(*wanted: float) -> bool:
        return bool(np.allclose((alpha, beta, gamma), wanted, atol=_SAME_ANGLE))

    if same(a, b) and angles(90, 90, 120):
        return "P", "R"
    if same(a, b) and same(a, c) and angles(90, 90, 90):
        return "P", "I", "F"
    return tuple(each for each in CENTRINGS if each not in ("R", "H"))


def group_centrings(grid: PlaneGrid, centrings: tuple[Centring, ...]) -> list[tuple[Centring, ...]]:
    """Group centrings whose harmonics on a layer are the same; in hk0, C and I."""
    groups: dict[object, list[Centring]] = {}
    for each in centrings:
        groups.setdefault(list_signature(grid, each), []).append(each)
    return [tuple(group) for group in groups.values()]


Signature = tuple[tuple[tuple[float, ...], ...], tuple[bool, ...]]


def list_signature(grid: PlaneGrid, centring: Centring, symmetric: bool = False) -> Signature:
    """Return the shorter harmonics of a layer, and whether they are real; if `symmetric`, less those 0 by a mirror."""
    spacing = list_harmonics(grid.cell, grid.name, "P", 0.0).spacing
    harmonics = list_harmonics(grid.cell, grid.name, centring, 3 * spacing)
    if symmetric:
        harmonics = harmonics.select(~find_imaginary(harmonics, grid))
    indices = np.round(harmonics.indices, 4)
    order = np.lexsort(indices.T[::-1])
    return tuple(map(tuple, indices[order].tolist())), tuple(harmonics.is_real[order].tolist())


def find_imaginary(harmonics: Harmonics, grid: PlaneGrid) -> Mask:
    """Return which harmonics are imaginary in any crystal, shape (k,).

    On a layer at half-integer l, lattice vectors with half-integer third component z have the phases exp(2 pi i z l),
    which are i or -i. A mirror across the third axis makes their sum 0.
    """
    name = grid.name
    if not isinstance(name, PlaneName) or abs(abs(name.offset % 1) - 0.5) > 1e-3:
        return np.zeros(harmonics.count, np.bool_)
    return np.asarray(np.abs(harmonics.vectors[:, name.fixed_axis] % 1 - 0.5) < 1e-3)


def list_short_series(grid: PlaneGrid, centring: Centring) -> Harmonics:
    """Return the harmonics of a short series; those of a centred cell reach as far as those of a primitive one."""
    spacing = list_harmonics(grid.cell, grid.name, "P", 0.0).spacing
    radius = spacing * float(np.sqrt(2 * _SHORT / np.pi))
    return resolved(list_harmonics(grid.cell, grid.name, centring, radius), grid)


def is_testable(grid: PlaneGrid, centring: Centring) -> bool:
    """Whether the plane shows two zones of a centring, with pixels that are fine enough."""
    try:
        check_zones(list_short_series(grid, centring), grid)
    except InputError:
        return False
    return True


def asks_for(fit: JointFit, grid: PlaneGrid, centring: Centring) -> bool:
    """Whether the residual of a fit asks for the shortest harmonics that another centring adds (`score_terms`)."""
    added = list_harmonics(grid.cell, grid.name, centring, 3 * fit.harmonics.spacing)
    known = {tuple(each) for each in np.round(fit.harmonics.indices, 4)}
    new = [index for index in added.indices if tuple(np.round(index, 4)) not in known][:_SCREENED]
    if not new:
        return False
    rows, columns = grid.rows[:, None], grid.columns[None, :]
    angles = [2 * np.pi * (first * rows + second * columns) for first, second in new]
    waves = [wave(angle) for angle in angles for wave in (np.cos, np.sin)]
    return score_terms(fit.solution, fit.form_factor * np.stack(waves)).gain > _SCREENING_GAIN


def has_impossible_phases(fit: JointFit, grid: PlaneGrid) -> bool:
    """Whether harmonics that must be imaginary are real: the lattice is then another one with the same projections."""
    imaginary = np.flatnonzero(find_imaginary(fit.harmonics, grid))
    if not len(imaginary):
        return False
    real = fit.alphas[imaginary]
    sines = fit.parameters[fit.harmonics.count :][np.isin(fit.harmonics.with_sine, imaginary)]
    surely = np.abs(real / fit.alpha_sigmas[imaginary]).max() > _SURELY_REAL
    return bool(surely and np.sum(real**2) > np.sum(sines**2))
