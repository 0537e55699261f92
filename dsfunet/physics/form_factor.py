"""Molecular form factors and the intensity I_FF of a pair of species, equations (1) and (2)."""

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics.lattice import Plane

# Number of knots of the |Q| table. The error of linear interpolation on a grid of h = 20/8192 1/Angstrom is
# h^2/8 max|f''|, below 1e-6 of f(0) for every element.
_TABLE_POINTS = 8192
TABLE_Q_STEP = 20.0 / _TABLE_POINTS
"""Step of |Q| in the tables of scattering factors [1/Angstrom]."""


@dataclass(frozen=True, eq=False)
class Molecule:
    """A rigid group of n atoms; without atoms it is a vacancy, whose form factor is zero.

    Attributes:
        elements: symbol of each atom.
        positions_angstrom: Cartesian [Angstrom], shape (n, 3).

    Raises:
        InputError: the numbers of elements and positions differ, a coordinate is not finite, or an element has no
            International Tables (1992) scattering factor.
    """

    elements: tuple[str, ...]
    positions_angstrom: Array

    def __post_init__(self) -> None:
        positions = np.array(self.positions_angstrom, dtype=np.float64)
        if positions.shape != (len(self.elements), 3) and (self.elements or positions.size):
            raise InputError(
                f"molecule: found {len(self.elements)} elements and positions of shape {positions.shape}; expected"
                f" {(len(self.elements), 3)}"
            )
        positions = positions.reshape(-1, 3)
        if not np.isfinite(positions).all():
            raise InputError(
                "molecule: found NaN or infinity in the positions; expected finite numbers [Angstrom]"
            )
        for element in set(self.elements):
            _scattering_factor_coefficients(element)
        positions.flags.writeable = False
        object.__setattr__(self, "positions_angstrom", positions)

    def rotated(self, rotation: Array) -> "Molecule":
        """Return the molecule rotated about the origin by a rotation matrix, shape (3, 3)."""
        return Molecule(self.elements, self.positions_angstrom @ np.asarray(rotation).T)


@lru_cache
def _scattering_factor_coefficients(element: str) -> gemmi.IT92Coef:
    symbol = gemmi.Element(element)
    # gemmi reads unknown symbols as X, which has no table, and words by their first letters: "Carbon" as Ca.
    if symbol.atomic_number == 0 or symbol.it92 is None or symbol.name != element:
        raise InputError(
            f"element {element!r}: the International Tables (1992) have no scattering factor for it; expected a symbol"
            " such as C"
        )
    return symbol.it92


@lru_cache
def scattering_factor_table(element: str, points: int) -> Array:
    """Return the atomic scattering factor at |Q| = 0, h, 2h, ... [electrons], shape (points,); h is `TABLE_Q_STEP`.

    Raises:
        InputError: the element has no International Tables (1992) scattering factor.
    """
    coefficients = _scattering_factor_coefficients(element)
    q = np.arange(points) * TABLE_Q_STEP
    # The argument of gemmi is (sin theta / lambda)^2 = (|Q| / 4 pi)^2.
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
    """Return F(Q) = sum_i f_i(|Q|) exp(i Q . x_i), equation (2), on a plane.

    f_i are the scattering factors of neutral atoms of the International Tables (1992), from interpolated tables. For
    each element the phase sum is one product of two thin matrices, because the plane is affine.

    Args:
        molecule: of any number of atoms.
        plane: of shape (n, m), in the Cartesian axes of the molecule.
        q_squared: |Q|^2 of the plane [1/Angstrom^2], shape (n, m), to save time if many molecules share one plane.

    Returns:
        F, complex [electrons], shape (n, m).
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
    """Return I_FF = m_A m_B |F_A - F_B|^2, equation (1) for one cell (N = 1), on a plane.

    Args:
        first: species A.
        second: species B.
        plane: of shape (n, m), in the Cartesian axes of the molecules.
        concentration_first: m_A, strictly between 0 and 1; m_B = 1 - m_A.
        debye_waller_b_angstrom2: isotropic B [Angstrom^2], 0 or more; the result is multiplied by
            exp(-B |Q|^2 / 8 pi^2).
        q_squared: |Q|^2 of the plane [1/Angstrom^2], shape (n, m), if already known.

    Returns:
        I_FF [electrons^2], shape (n, m).

    Raises:
        InputError: m_A is not strictly between 0 and 1, or B is negative or not finite.
    """
    if not 0 < concentration_first < 1:
        raise InputError(
            f"concentration is {concentration_first}; expected a number strictly between 0 and 1"
        )
    if not 0 <= debye_waller_b_angstrom2 < np.inf:
        raise InputError(f"Debye-Waller B is {debye_waller_b_angstrom2}; expected 0 or more [Angstrom^2]")
    if q_squared is None:
        q_squared = plane.q_squared()
    difference = molecular_form_factor(first, plane, q_squared)
    difference -= molecular_form_factor(second, plane, q_squared)
    intensity = np.square(difference.real) + np.square(difference.imag)
    intensity *= concentration_first * (1 - concentration_first)
    if debye_waller_b_angstrom2:
        intensity *= np.exp(-debye_waller_b_angstrom2 / (8 * np.pi**2) * q_squared)
    return intensity
