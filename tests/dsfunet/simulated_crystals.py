"""Crystals whose alphas and components are known: what the command line and the Python interface are tried on.

Benzene and o-difluorobenzene, half and half: flat in the ab plane of a hexagonal crystal, unlike neighbours preferred
and columns along c independent of one another; or tilted in a cubic one.
"""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from dsfunet.physics import (
    ALPHA_SHAPE,
    MAX_INDEX,
    Cell,
    Molecule,
    Plane,
    form_factor_intensity,
    plane_through,
    short_range_order_intensity,
)
from dsfunet.planes.preprocessing import normalise, spread

Array = npt.NDArray[np.float64]

HEXAGONAL = Cell(8.4, 8.4, 3.6, 90, 90, 120)
HEXAGONAL_TEXT = "8.4 8.4 3.6 90 90 120"
CUBIC = Cell(5.0, 5.0, 5.0)

ALPHAS = {1: -0.2, 3: 0.1, 4: -0.03}
"""Of the hexagonal crystal, by squared length of the in-plane vector [a^2]: neighbours at a, sqrt(3) a and 2 a."""

RINGS = {"C": 1.39, "H": 2.48, "F": 2.74}
"""How far from the middle of the ring the atoms are [Angstrom]."""


def hexagonal_alphas() -> Array:
    """(11, 11, 11), six-fold about c."""
    alphas = np.zeros(ALPHA_SHAPE)
    i, j = np.indices(ALPHA_SHAPE[:2]) - MAX_INDEX
    for length, alpha in {0: 1.0, **ALPHAS}.items():
        alphas[:, :, MAX_INDEX][i**2 + j**2 - i * j == length] = alpha
    return alphas


def cubic_alphas() -> Array:
    """(11, 11, 11): -0.09 for the six nearest neighbours, 0.05 for the twelve next."""
    alphas = np.zeros(ALPHA_SHAPE)
    length = ((np.indices(ALPHA_SHAPE) - MAX_INDEX) ** 2).sum(axis=0)
    for squared, alpha in {0: 1.0, 1: -0.09, 2: 0.05}.items():
        alphas[length == squared] = alpha
    return alphas


def molecules(tilt_deg: float = 0.0) -> tuple[Molecule, Molecule]:
    """Benzene and o-difluorobenzene, flat in x and y or turned out of it."""

    def ring(*outer: str) -> Molecule:
        angles = np.arange(6) * np.pi / 3
        directions = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
        radii = np.array([RINGS[element] for element in outer])[:, None]
        positions = np.concatenate([RINGS["C"] * directions, radii * directions])
        turn = Rotation.from_euler("xz", [tilt_deg, tilt_deg / 2], degrees=True).as_matrix()
        return Molecule(("C",) * 6 + outer, positions).rotated(turn)

    return ring(*"HHHHHH"), ring(*"FFHHHH")


def hexagonal_parts(plane: Plane) -> tuple[Array, Array]:
    """Form factor and short-range order, in any unit, on a plane in the cell's own setting."""
    form_factor = form_factor_intensity(*molecules(), plane, 0.5, 1.5)
    return form_factor, short_range_order_intensity(hexagonal_alphas(), HEXAGONAL, plane)


def cubic_parts(plane: Plane) -> tuple[Array, Array]:
    """Likewise, of the cubic crystal."""
    form_factor = form_factor_intensity(*molecules(40.0), plane, 0.5, 1.5)
    return form_factor, short_range_order_intensity(cubic_alphas(), CUBIC, plane)


def counted(intensity: Array, brightest: float = 5000, seed: int = 1) -> Array:
    """Counts, so many in the brightest pixel, and a beam stop and a gap that were not measured (NaN)."""
    counts = np.random.default_rng(seed).poisson(intensity * brightest / intensity.max()).astype(np.float64)
    n, m = counts.shape
    rows, columns = np.indices(counts.shape)
    counts[np.hypot(rows - n // 2, columns - m // 2) < 0.04 * n] = np.nan
    counts[:, int(0.3 * m) : int(0.33 * m)] = np.nan
    return counts


def cartesian_hk1(q_max_inv_angstrom: float = 7.0, pixels: int = 256) -> Plane:
    """hk1 of the hexagonal crystal with Cartesian pixels, as it is drawn to scale."""
    return plane_through(HEXAGONAL, (0, 1), 1.0, q_max_inv_angstrom, pixels)


def spread_error(found: npt.ArrayLike, truth: Array) -> float:
    """Mean squared error of a component in spread space, as the benchmarks have it, where both have values."""
    found = np.asarray(found, np.float64)
    expected = normalise(truth)[0]
    known = np.isfinite(found) & np.isfinite(expected)
    return float(np.mean((spread(found[known]) - spread(expected[known])) ** 2))


def write_cubic_volume(path: Path) -> None:
    """A Yell volume of the cubic crystal, h and k out to 4, l out to 5.6, ten voxels a cell; no holes."""
    n, layers = 81, 113
    step = 0.1 * CUBIC.reciprocal
    planes = [
        np.prod(cubic_parts(Plane(number * step[2], step[0], step[1], (n, n))), axis=0)
        for number in np.arange(layers) - layers // 2
    ]
    volume = np.stack(planes, axis=-1)
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["data"] = (volume * 5000 / volume.max()).astype(np.float32)
        file["lower_limits"], file["step_sizes"] = [-4.0, -4.0, -5.6], [0.1, 0.1, 0.1]
        file["unit_cell"], file["is_direct"] = CUBIC.parameters, False


def write_xyz(path: Path, molecule: Molecule) -> None:
    """A structure for `dsfunet compare`."""
    rows = [
        f"{element} {x:.5f} {y:.5f} {z:.5f}"
        for element, (x, y, z) in zip(molecule.elements, molecule.positions_angstrom, strict=True)
    ]
    path.write_text("\n".join([str(len(rows)), path.stem, *rows]) + "\n", encoding="utf-8")
