"""Molecules, files and results that the tests of structural models share, all made on the spot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet.analysis.models.model_names import ModelPair
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.io import PlaneGrid, Result, parse_plane_name
from dsfunet.physics import Cell, form_factor_intensity
from dsfunet.physics.scattering import XRAYS, Scattering

Array = npt.NDArray[np.float64]

CELL = Cell(10.0, 11.0, 7.0, 90.0, 90.0, 105.0)

# Label, three atoms before it, distance [Angstrom], angle and torsion [degrees]: C6H5-CO-NH-C(CH3)3 without hydrogen.
_INTERNAL = [
    ("C4", "C3", "C2", "C1", 1.39, 120.0, 0.0),
    ("C5", "C4", "C3", "C2", 1.39, 120.0, 0.0),
    ("C6", "C5", "C4", "C3", 1.39, 120.0, 0.0),
    ("C7", "C1", "C2", "C3", 1.50, 120.0, 180.0),
    ("O1", "C7", "C1", "C2", 1.23, 120.0, 25.0),
    ("N1", "C7", "C1", "C2", 1.34, 117.0, 205.0),
    ("C8", "N1", "C7", "C1", 1.48, 124.0, 178.0),
    ("C9", "C8", "N1", "C7", 1.53, 109.5, 60.0),
    ("C10", "C8", "N1", "C7", 1.53, 109.5, 180.0),
    ("C11", "C8", "N1", "C7", 1.53, 109.5, 300.0),
]


def place(a: Array, b: Array, c: Array, distance: float, angle: float, torsion: float) -> Array:
    """A point at a distance from a, with an angle to a-b and a torsion about it against c."""
    along = (b - a) / np.linalg.norm(b - a)
    across = (c - b) - ((c - b) @ along) * along
    across /= np.linalg.norm(across)
    theta, phi = np.radians([angle, torsion])
    side = np.cos(phi) * across - np.sin(phi) * np.cross(along, across)
    return np.asarray(a + distance * (np.cos(theta) * along + np.sin(theta) * side))


def amide() -> LabelledMolecule:
    """N-tert-butylbenzamide without hydrogen; torsion C7-N1-C8-C9 is 60 degrees."""
    points = {"C1": np.zeros(3), "C2": np.array([1.39, 0, 0]), "C3": np.array([2.085, 1.2038, 0])}
    for label, a, b, c, *numbers in _INTERNAL:
        points[label] = place(points[a], points[b], points[c], *numbers)
    positions = np.array(list(points.values()))
    labels = tuple(points)
    return LabelledMolecule(tuple(label[0] for label in labels), positions - positions.mean(axis=0), labels)


def chain(*labels: str) -> LabelledMolecule:
    """Carbon atoms in a bent, twisted chain of single bonds."""
    points = [np.zeros(3), np.array([1.53, 0.0, 0.0]), np.array([2.05, 1.44, 0.0])][: len(labels)]
    while len(points) < len(labels):
        points.append(place(points[-1], points[-2], points[-3], 1.53, 110.0, 50.0))
    return LabelledMolecule(("C",) * len(labels), np.array(points), labels)


def grid(plane: str = "hk1", pixels: int = 96, reach: int = 8) -> PlaneGrid:
    """A plane of Q of the cell, `reach` reciprocal cells to either side."""
    axis = np.linspace(-reach, reach, pixels)
    return PlaneGrid(CELL, parse_plane_name(plane), axis, axis)


def result_of(
    pair: ModelPair,
    where: PlaneGrid | None = None,
    b: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
    sigma: npt.NDArray[np.float32] | None = None,
    scattering: Scattering = XRAYS,
) -> Result:
    """What the networks would find for a pair: I_FF in [0, 1], with smooth errors of `noise` in 2 sqrt(y) - 1."""
    where = where or grid()
    plane = form_factor_intensity(pair.first, pair.second, where.plane, 0.5, b, scattering=scattering)
    plane = (plane - plane.min()) / np.ptp(plane)
    if noise:
        waves_of_noise = np.fft.fft2(np.random.default_rng(seed).standard_normal(plane.shape))
        waves = [np.fft.fftfreq(n)[:, None] ** 2 for n in plane.shape]
        errors = np.fft.ifft2(waves_of_noise * np.exp(-2 * np.pi**2 * 2.0**2 * (waves[0] + waves[1].T))).real
        plane = np.clip(np.sqrt(plane) + noise / 2 * errors / errors.std(), 0, 1) ** 2
    values = plane.astype(np.float32)
    mask = np.ones(plane.shape, dtype=np.bool_)
    mask[:5] = False
    zeros = np.zeros_like(values)
    return Result(values, values, zeros, values, zeros, mask, where, sigma_form_factor=sigma)


def write_xyz(path: Path, molecule: LabelledMolecule, keep_labels: bool = False) -> Path:
    """An XYZ file of a molecule, with its own labels or with bare elements."""
    names: Sequence[str] = molecule.labels if keep_labels else molecule.elements
    lines = [
        f"{name} " + " ".join(f"{x:.8f}" for x in point)
        for name, point in zip(names, molecule.positions_angstrom, strict=True)
    ]
    path.write_text(f"{len(lines)}\nmade by a test\n" + "\n".join(lines) + "\n")
    return path


def write_cif(path: Path, molecules: dict[str, LabelledMolecule], cell: Cell = CELL) -> Path:
    """A CIF whose disorder groups are the keys."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_test"] + [
        f"_cell_{name} {value}" for name, value in zip(names, cell.parameters, strict=True)
    ]
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "disorder_group")
    lines += ["loop_", *(f"_atom_site_{tag}" for tag in tags)]
    for group, molecule in molecules.items():
        fractional = molecule.positions_angstrom @ np.linalg.inv(cell.direct)
        for label, element, point in zip(molecule.labels, molecule.elements, fractional, strict=True):
            numbers = " ".join(f"{x:.6f}(4)" for x in point)
            lines.append(f"{label} {element} {numbers} {1 if group == '.' else 0.5} {group}")
    path.write_text("\n".join(lines) + "\n")
    return path
