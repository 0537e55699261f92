"""Molecular form factors and the intensity I_FF of a pair of species (equations 1 and 2)."""

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics.lattice import Plane

# Knots of the |Q| table. Linear interpolation on a grid of h = 20/8192 1/Angstrom is wrong by h^2/8 max|f''|,
# under 1e-6 of f(0) for every element.
_TABLE_POINTS = 8192
TABLE_Q_STEP = 20.0 / _TABLE_POINTS


@dataclass(frozen=True, eq=False)
class Molecule:
    """A rigid group of atoms: element symbols, and Cartesian positions [Angstrom] of shape (n, 3).

    No atoms at all is a vacancy, whose form factor is zero.

    Raises:
        InputError: the counts differ, a coordinate is not finite, or an element is not in the tables.
    """

    elements: tuple[str, ...]
    positions_angstrom: Array

    def __post_init__(self) -> None:
        positions = np.array(self.positions_angstrom, dtype=np.float64)
        if positions.shape != (len(self.elements), 3) and (self.elements or positions.size):
            raise InputError(
                f"molecule: {len(self.elements)} elements but positions of shape {positions.shape},"
                f" expected {(len(self.elements), 3)}"
            )
        positions = positions.reshape(-1, 3)
        if not np.isfinite(positions).all():
            raise InputError("molecule: a coordinate is not a finite number")
        for element in set(self.elements):
            _scattering_factor_coefficients(element)
        positions.flags.writeable = False
        object.__setattr__(self, "positions_angstrom", positions)

    def rotated(self, rotation: Array) -> "Molecule":
        """The molecule turned about the origin by a (3, 3) rotation matrix."""
        return Molecule(self.elements, self.positions_angstrom @ np.asarray(rotation).T)


@lru_cache
def _scattering_factor_coefficients(element: str) -> gemmi.IT92Coef:
    symbol = gemmi.Element(element)
    # gemmi reads unknown symbols as X, which has no table, and long ones by their first letters: "Carbon" is Ca.
    if symbol.atomic_number == 0 or symbol.it92 is None or symbol.name != element:
        raise InputError(f"element {element!r} has no International Tables (1992) scattering factor")
    return symbol.it92


@lru_cache
def scattering_factor_table(element: str, points: int) -> Array:
    """f at |Q| = 0, h, 2h, ... [electrons]; gemmi's argument is (sin theta / lambda)^2 = (|Q| / 4 pi)^2."""
    coefficients = _scattering_factor_coefficients(element)
    q = np.arange(points) * TABLE_Q_STEP
    table = np.array([coefficients.calculate_sf(float(s2)) for s2 in (q / (4 * np.pi)) ** 2])
    table.flags.writeable = False
    return table


def _interpolated_scattering_factor(element: str, index: npt.NDArray[np.intp], fraction: Array) -> Array:
    # Rounded up to a power of two, so that planes of similar reach share one table.
    points = max(_TABLE_POINTS, 1 << int(index.max() + 2).bit_length())
    table = scattering_factor_table(element, points)
    low = table[index]
    return low + fraction * (table[index + 1] - low)


def molecular_form_factor(
    molecule: Molecule, plane: Plane, q_squared: Array | None = None
) -> npt.NDArray[np.complex128]:
    """F(Q) = sum_i f_i(|Q|) exp(i Q . x_i) of equation (2) on a plane [electrons], shape of the plane.

    f_i are the neutral-atom factors of the International Tables (1992). For each element the phase sum is one
    product of two thin matrices, because the plane is affine; the |Q| dependence is a table look-up.
    `q_squared` may be handed in when many molecules share one plane.
    """
    total = np.zeros(plane.shape, dtype=np.complex128)
    if not molecule.elements:
        return total
    q = np.sqrt(plane.q_squared() if q_squared is None else q_squared) / TABLE_Q_STEP
    index = q.astype(np.intp)
    fraction = q - index
    elements = np.array(molecule.elements)
    for element in sorted(set(molecule.elements)):
        origin, rows, columns = plane.phase_factors(molecule.positions_angstrom[elements == element])
        phases = (rows * origin) @ columns.T
        total += _interpolated_scattering_factor(element, index, fraction) * phases
    return total


def form_factor_intensity(
    first: Molecule,
    second: Molecule,
    plane: Plane,
    concentration_first: float = 0.5,
    debye_waller_b_angstrom2: float = 0.0,
    q_squared: Array | None = None,
) -> Array:
    """I_FF = m_A m_B |F_A - F_B|^2 of equation (1) for one cell (N = 1) [electrons^2], shape of the plane.

    `concentration_first` is m_A, and m_B = 1 - m_A. An isotropic Debye-Waller factor exp(-B |Q|^2 / 8 pi^2)
    multiplies the result when B > 0 [Angstrom^2].

    Raises:
        InputError: m_A is not strictly between 0 and 1, or B is negative or not finite.
    """
    if not 0 < concentration_first < 1:
        raise InputError(f"concentration {concentration_first}: expected a number strictly between 0 and 1")
    if not 0 <= debye_waller_b_angstrom2 < np.inf:
        raise InputError(
            f"Debye-Waller B {debye_waller_b_angstrom2} Angstrom^2: expected zero or a positive number"
        )
    if q_squared is None:
        q_squared = plane.q_squared()
    difference = molecular_form_factor(first, plane, q_squared)
    difference -= molecular_form_factor(second, plane, q_squared)
    intensity = np.square(difference.real) + np.square(difference.imag)
    intensity *= concentration_first * (1 - concentration_first)
    if debye_waller_b_angstrom2:
        intensity *= np.exp(-debye_waller_b_angstrom2 / (8 * np.pi**2) * q_squared)
    return intensity
