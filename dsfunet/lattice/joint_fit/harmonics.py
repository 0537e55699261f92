"""The in-plane harmonics of I_SRO on a plane: projections of the vectors of a primitive or centred lattice."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, centring_translations, check_centring
from dsfunet.planes.names import AnyPlaneName

Places = np.ndarray[tuple[int], np.dtype[np.intp]]

_DECIMALS = 6
_LARGEST_DENOMINATOR = 24
_MOST_VECTORS = 2_000_000


@dataclass(frozen=True, eq=False)
class Harmonics:
    """Half of the in-plane harmonics of a plane, one of each pair p and -p, without 0, in order of their length.

    I_SRO = 1 + 2 sum over p of Re[c_p exp(2 pi i (p_1 u + p_2 v))], where u and v are the coordinates of a pixel along
    the two axes of the plane [r.l.u.], and c_p is the sum of alpha exp(2 pi i r . q_0) over all lattice vectors r with
    the projection p (q_0: the point of the plane where u = v = 0).

    Attributes:
        indices: p, shape (k, 2).
        vectors: the shortest lattice vector with each projection, in the conventional cell, shape (k, 3).
        lengths: lengths of the projections on the plane, shape (k,) [Angstrom].
        is_real: whether c_p is real for any crystal, shape (k,); on other layers only symmetry can make it real.
        spacing: side of a square with the area of the primitive cell of the projections [Angstrom].
    """

    indices: Array
    vectors: Array
    lengths: Array
    is_real: Mask
    spacing: float

    @property
    def count(self) -> int:
        """Number of harmonics, k."""
        return len(self.indices)

    @cached_property
    def with_sine(self) -> Places:
        """Places of the harmonics with an imaginary part, shape (number of these,)."""
        return np.flatnonzero(~self.is_real)

    def within(self, radius: float) -> "Harmonics":
        """Return the harmonics that are not longer than a radius [Angstrom]."""
        return self.select(self.lengths <= radius * (1 + 1e-9))

    def select(self, keep: Mask) -> "Harmonics":
        """Return the harmonics that a mask of shape (k,) keeps."""
        return Harmonics(
            self.indices[keep], self.vectors[keep], self.lengths[keep], self.is_real[keep], self.spacing
        )

    def shared_with(self, others: "Harmonics") -> tuple[Places, Places]:
        """Return the places of the harmonics that others have too, among these and among the others."""
        numbers = {tuple(index): place for place, index in enumerate(np.round(self.indices, 5) + 0.0)}
        known = [numbers.get(tuple(index), -1) for index in np.round(others.indices, 5) + 0.0]
        here = np.array(known, np.intp)
        there = np.flatnonzero(here >= 0)
        return here[there], there

    def find(self, vector: tuple[float, float, float], plane: AnyPlaneName) -> tuple[int, int]:
        """Return the place of the harmonic that a lattice vector belongs to, and 1, or -1 if it is that of -p.

        Raises:
            InputError: there is no such harmonic.
        """
        wanted = plane.vectors @ np.asarray(vector, dtype=np.float64)
        for sign in (1, -1):
            away = np.abs(self.indices - sign * wanted).max(axis=1, initial=0)
            if len(away) and away.min() < 1e-4:
                return int(away.argmin()), sign
        raise InputError(
            f"vector {vector}: it is not among the {self.count} harmonics of the fit; expected a vector of the lattice"
            " within the range of the fit and outside the direction perpendicular to the plane"
        )


def list_harmonics(cell: Cell, plane: AnyPlaneName, centring: Centring, radius: float) -> Harmonics:
    """Return the in-plane harmonics of a plane up to a length.

    Args:
        cell: the conventional cell.
        plane: name of the plane, along two axes of the cell or spanned by two rational vectors.
        centring: P, A, B, C, I, F, R (obverse, hexagonal axes) or H, the centring of the cell.
        radius: largest length of a projection on the plane [Angstrom].

    Raises:
        InputError: the centring has another letter, the plane is not rational, or the radius asks for millions of
            lattice vectors.

    Examples:
        >>> from dsfunet.lattice.joint_fit import list_harmonics
        >>> from dsfunet.physics import Cell
        >>> from dsfunet.planes.names import parse_plane
        >>> found = list_harmonics(Cell(4, 4, 4), parse_plane("hk0"), "F", radius=3)
        >>> found.indices.tolist()
        [[0.0, 0.5], [0.5, 0.0], [0.5, -0.5], [0.5, 0.5]]
    """
    check_centring(centring)
    return _list_harmonics(cell, plane, centring, float(radius))


@lru_cache(maxsize=128)
def _list_harmonics(cell: Cell, plane: AnyPlaneName, centring: Centring, radius: float) -> Harmonics:
    """Do the work of `list_harmonics`; the fits of a plane, and those of the layers of a volume, ask for the same."""
    across = _direction_across(plane)
    period = float(np.linalg.norm(across @ cell.direct))
    vectors = list_lattice_vectors(cell, centring, np.hypot(radius, 1.01 * period))
    exact = vectors @ plane.vectors.T
    indices = np.round(exact, _DECIMALS) + 0.0
    phases = 2 * (vectors @ plane.origin)
    real = np.abs(phases - np.round(phases)) < 1e-4
    metric = plane.vectors @ cell.reciprocal @ (plane.vectors @ cell.reciprocal).T / (4 * np.pi**2)
    lengths = np.sqrt(np.einsum("ij,jk,ik->i", indices, np.linalg.inv(metric), indices))
    in_half = (indices[:, 0] > 0) | ((indices[:, 0] == 0) & (indices[:, 1] > 0))
    keep = in_half & (lengths <= radius * (1 + 1e-9))
    vectors, exact, indices, lengths, real = (
        values[keep] for values in (vectors, exact, indices, lengths, real)
    )
    # Shortest vectors first; of equal ones the one with the larger third index, so that the choice is settled.
    size = np.round(np.linalg.norm(vectors @ cell.direct, axis=1), 4)
    order = np.lexsort((-vectors[:, 2], -vectors[:, 1], -vectors[:, 0], size))
    _, first, group = np.unique(indices[order], axis=0, return_index=True, return_inverse=True)
    all_real = np.ones(len(first), np.bool_)
    np.logical_and.at(all_real, group.reshape(-1), real[order])
    chosen = order[first]
    ranked = np.argsort(np.round(lengths[chosen], 4), kind="stable")
    # Volume of the primitive cell = area of that of the projections times the period across the plane.
    volume = float(np.linalg.det(cell.direct)) / len(centring_translations(centring))
    across_period = period * _fraction_across(across, centring)
    return Harmonics(
        exact[chosen][ranked],
        vectors[chosen][ranked],
        lengths[chosen][ranked],
        all_real[ranked],
        float(np.sqrt(volume / across_period)),
    )


def period_across(plane: AnyPlaneName, centring: Centring) -> Array:
    """Return the shortest lattice vector perpendicular to a plane, in the conventional cell, shape (3,).

    Raises:
        InputError: the plane is not rational.
    """
    across = _direction_across(plane)
    return across * _fraction_across(across, centring)


def _direction_across(plane: AnyPlaneName) -> Array:
    """Return the shortest whole-number direct vector perpendicular to a plane, shape (3,)."""
    across = np.cross(*plane.vectors)
    scaled = across / np.abs(across).max()
    fractions = [Fraction(float(value)).limit_denominator(_LARGEST_DENOMINATOR) for value in scaled]
    denominator = int(np.lcm.reduce([fraction.denominator for fraction in fractions]))
    whole = np.array([int(fraction * denominator) for fraction in fractions])
    whole //= np.gcd.reduce(whole)
    if np.abs(whole / np.abs(whole).max() - scaled).max() > 1e-6:
        raise InputError(
            f"plane {plane}: its two vectors have no simple ratios; expected small whole numbers or fractions of these"
        )
    return whole.astype(np.float64)


def _fraction_across(across: Array, centring: Centring) -> float:
    """Return the shortest lattice vector along a whole-number vector without common factor, as a share of it."""
    for denominator in (3, 2):
        share = across / denominator
        for shift in _shifts(centring)[1:]:
            away = share - shift
            if np.abs(away - np.round(away)).max() < 1e-6:
                return 1 / denominator
    return 1.0


def list_lattice_vectors(cell: Cell, centring: Centring, radius: float) -> Array:
    """Return all lattice vectors up to a length [Angstrom], in the conventional cell, shape (count, 3).

    Raises:
        InputError: the radius asks for millions of vectors.
    """
    most = np.ceil(radius * np.linalg.norm(cell.reciprocal, axis=1) / (2 * np.pi)).astype(int) + 1
    if np.prod(2 * most + 1.0) > _MOST_VECTORS:
        raise InputError(
            f"harmonics up to {radius:g} Angstrom: these are too many in this cell; expected a smaller radius"
        )
    whole = np.stack(np.meshgrid(*(np.arange(-n, n + 1.0) for n in most), indexing="ij"), axis=-1)
    vectors = np.concatenate([whole.reshape(-1, 3) + shift for shift in _shifts(centring)])
    return np.asarray(vectors[np.linalg.norm(vectors @ cell.direct, axis=1) <= radius])


def _shifts(centring: Centring) -> Array:
    """Return the lattice points of one conventional cell, 0 first, shape (count, 3)."""
    return np.array([[float(each) for each in shift] for shift in centring_translations(centring)])
