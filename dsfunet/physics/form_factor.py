"""Molecular form factors and the intensity I_FF of a pair of species, equations (1) and (2)."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array
from dsfunet.errors import InputError
from dsfunet.physics.lattice import Plane
from dsfunet.physics.scattering import (
    TABLE_POINTS,
    TABLE_Q_STEP,
    XRAYS,
    Scattering,
    check_species,
    dispersion_of,
    scattering_factor_table,
)


@dataclass(frozen=True, eq=False)
class Molecule:
    """A rigid group of n atoms; without atoms it is a vacancy, whose form factor is zero.

    Attributes:
        elements: symbol of each atom, or of an ion such as "Fe3+".
        positions_angstrom: Cartesian [Angstrom], shape (n, 3).
        displacements_angstrom2: mean square displacements U of each atom, Cartesian [Angstrom^2], shape (n, 3, 3); None
            for 0.
        weights: how much of each atom is there, shape (n,); None for 1.

    Raises:
        InputError: the numbers of elements and positions differ, a number is not finite, or an element has no
            International Tables (1992) scattering factor.
    """

    elements: tuple[str, ...]
    positions_angstrom: Array
    displacements_angstrom2: Array | None = field(default=None, kw_only=True)
    weights: Array | None = field(default=None, kw_only=True)

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
            check_species(element)
        for name, shape in (("displacements_angstrom2", (3, 3)), ("weights", ())):
            values = getattr(self, name)
            if values is not None and (
                np.shape(values) != (len(self.elements), *shape) or not np.isfinite(values).all()
            ):
                raise InputError(
                    f"molecule: found {name} of shape {np.shape(values)}; expected finite numbers of shape"
                    f" {(len(self.elements), *shape)}"
                )
        positions.flags.writeable = False
        object.__setattr__(self, "positions_angstrom", positions)

    def rotated(self, rotation: Array) -> "Molecule":
        """Return the molecule rotated about the origin by a rotation matrix, shape (3, 3)."""
        matrix, displacements = np.asarray(rotation), self.displacements_angstrom2
        if displacements is not None:
            displacements = matrix @ displacements @ matrix.T
        return Molecule(
            self.elements,
            self.positions_angstrom @ matrix.T,
            displacements_angstrom2=displacements,
            weights=self.weights,
        )


def _interpolated_scattering_factor(
    element: str, index: npt.NDArray[np.intp], fraction: Array, scattering: Scattering
) -> Array:
    # Rounded up to a power of two, so that planes of similar reach share one table.
    points = max(TABLE_POINTS, 1 << int(index.max() + 2).bit_length())
    table = scattering_factor_table(element, points, scattering)
    low = table[index]
    return low + fraction * (table[index + 1] - low)


def molecular_form_factor(
    molecule: Molecule, plane: Plane, q_squared: Array | None = None, scattering: Scattering = XRAYS
) -> npt.NDArray[np.complex128]:
    """Return F(Q) = sum_i w_i f_i(|Q|) exp(i Q . x_i - Q . U_i Q / 2), equation (2), on a plane.

    f_i are the factors of `dsfunet.physics.scattering`, from interpolated tables. For atoms of one kind with the same
    isotropic displacement the phase sum is one product of two thin matrices, because the plane is affine.

    Args:
        molecule: of any number of atoms.
        plane: of shape (n, m), in the Cartesian axes of the molecule.
        q_squared: |Q|^2 of the plane [1/Angstrom^2], shape (n, m), to save time if many molecules share one plane.
        scattering: the radiation.

    Returns:
        F, complex, shape (n, m), in electrons, 1e-15 m (neutrons) or Angstrom (electrons).

    Raises:
        InputError: an element has no factor for this radiation.
    """
    total = np.zeros(plane.shape, dtype=np.complex128)
    if not molecule.elements:
        return total
    squared = plane.q_squared() if q_squared is None else q_squared
    q = np.sqrt(squared) / TABLE_Q_STEP
    index = q.astype(np.intp)
    fraction = q - index
    elements = np.array(molecule.elements)
    weights = np.ones(len(elements)) if molecule.weights is None else molecule.weights
    isotropic, anisotropic = _split_displacements(molecule)
    for element in sorted(set(molecule.elements)):
        alike = elements == element
        phases = np.zeros(plane.shape, dtype=np.complex128)
        for u in np.unique(isotropic[alike & ~anisotropic]):
            chosen = alike & ~anisotropic & (isotropic == u)
            origin, rows, columns = plane.phase_factors(molecule.positions_angstrom[chosen])
            sum_of_phases = (rows * (origin * weights[chosen])) @ columns.T
            phases += sum_of_phases * np.exp(-u / 2 * squared) if u else sum_of_phases
        for atom in np.flatnonzero(alike & anisotropic):
            origin, rows, columns = plane.phase_factors(molecule.positions_angstrom[[atom]])
            assert molecule.displacements_angstrom2 is not None
            exponent = _quadratic_form(molecule.displacements_angstrom2[atom], plane)
            phases += weights[atom] * ((rows * origin) @ columns.T) * np.exp(-exponent / 2)
        factor = _interpolated_scattering_factor(element, index, fraction, scattering)
        dispersion = dispersion_of(element, scattering)
        total += (factor + dispersion if dispersion else factor) * phases
    return total


def _split_displacements(molecule: Molecule) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return a third of the trace of U of each atom, shape (n,), and whether U is anisotropic."""
    displacements = molecule.displacements_angstrom2
    if displacements is None:
        count = len(molecule.elements)
        return np.zeros(count), np.zeros(count, np.bool_)
    isotropic = np.trace(displacements, axis1=1, axis2=2) / 3
    away = np.abs(displacements - isotropic[:, None, None] * np.eye(3)).max(axis=(1, 2))
    return isotropic, away > 1e-9


def _quadratic_form(matrix: Array, plane: Plane) -> Array:
    """Return Q . M Q on a plane, shape (n, m)."""
    i, j = plane.index_u, plane.index_v
    o, u, v = plane.origin, plane.step_u, plane.step_v
    rows = o @ matrix @ o + 2 * (o @ matrix @ u) * i + (u @ matrix @ u) * i**2
    columns = 2 * (o @ matrix @ v) * j + (v @ matrix @ v) * j**2
    squared: Array = rows[:, None] + columns[None, :] + 2 * (u @ matrix @ v) * np.outer(i, j)
    return squared


def form_factor_intensity(
    first: Molecule,
    second: Molecule,
    plane: Plane,
    concentration_first: float = 0.5,
    debye_waller_b_angstrom2: float = 0.0,
    q_squared: Array | None = None,
    scattering: Scattering = XRAYS,
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
        scattering: the radiation.

    Returns:
        I_FF, shape (n, m), in electrons^2 or the square of the unit of F.

    Raises:
        InputError: m_A is not strictly between 0 and 1, B is negative or not finite, or an element has no factor for
            this radiation.
    """
    if not 0 < concentration_first < 1:
        raise InputError(
            f"concentration is {concentration_first}; expected a number strictly between 0 and 1"
        )
    if not 0 <= debye_waller_b_angstrom2 < np.inf:
        raise InputError(f"Debye-Waller B is {debye_waller_b_angstrom2}; expected 0 or more [Angstrom^2]")
    if q_squared is None:
        q_squared = plane.q_squared()
    difference = molecular_form_factor(first, plane, q_squared, scattering)
    difference -= molecular_form_factor(second, plane, q_squared, scattering)
    intensity = np.square(difference.real) + np.square(difference.imag)
    intensity *= concentration_first * (1 - concentration_first)
    if debye_waller_b_angstrom2:
        intensity *= np.exp(-debye_waller_b_angstrom2 / (8 * np.pi**2) * q_squared)
    return intensity
