"""Correlations of a single layer: sums over all lattice vectors with the same components in the layer.

On the layer of index l, equation (3) is a series of in-plane harmonics p, the projections of lattice vectors along the
third axis: I_SRO(h, k) = sum_p C_p exp(2 pi i (h p_1 + k p_2)) with C_p = sum_n alpha_pn exp(2 pi i n l), where n runs
over the third components of lattice vectors. One layer settles the ratios C_p / C_0, and nothing else.

Operations of the Laue class that map the layer onto itself, up to a vector of the reciprocal lattice, tie harmonics
together: I_SRO(q A + t) = I_SRO(q) gives C_(A p) = C_p exp(2 pi i p . t), and because I_SRO is real, C_-p is the
conjugate of C_p. They leave C_p no value but 0, one real parameter, or two. The value of a parameter is the real part
(and, where there are two, the imaginary part) of C_p / C_0 exp(-2 pi i m l), where m is the smallest third component
for p. On layers of integer index it is then the sum of alpha over the third components, divided by that for p = 0; on
other layers it has the sign of the nearest vectors' alpha.
"""

from collections.abc import Sequence

import numpy as np

from dsfunet._typing import Array, ComplexArray, Integers
from dsfunet.errors import InputError
from dsfunet.physics.centring import (
    Centring,
    Component,
    are_lattice_numerators,
    denominator_of,
    format_vector,
    numerators_of,
    smallest_component,
)
from dsfunet.physics.layer_repeat import layer_operations
from dsfunet.physics.symmetry import MAX_SHELLS, SAME_LENGTH, Orbit, representative_order

_ZERO = 1e-9


class LayerHarmonics:
    """The harmonics of I_SRO in one layer of a crystal, and their ties by symmetry.

    Args:
        rotations: operations of the Laue class, which maps the lattice onto itself, shape (order, 3, 3).
        metric: of the cell [Angstrom^2], shape (3, 3).
        fixed_axis: number of the axis whose index is constant on the layer.
        offset: that index [r.l.u.].
        centring: lattice type.

    Raises:
        InputError: the lattice type is unknown.

    Examples:
        >>> from dsfunet import Cell
        >>> from dsfunet.physics.layer_orbits import LayerHarmonics
        >>> from dsfunet.physics.symmetry import laue_rotations, symmetric_metric
        >>> metric = symmetric_metric(Cell(3.75, 3.75, 3.75), "m-3m")
        >>> harmonics = LayerHarmonics(laue_rotations("m-3m"), metric, 2, 0.0, "F")
        >>> [orbit.name for orbit in harmonics.nearest_shells(3)]
        ['1/2 0 (all l)', '1/2 1/2 (all l)', '1 0 (all l)']
    """

    def __init__(
        self, rotations: Integers, metric: Array, fixed_axis: int, offset: float, centring: Centring
    ) -> None:
        self._centring: Centring = centring
        self._denominator = denominator_of(centring)
        self._fixed_axis = fixed_axis
        self._axes = [axis for axis in range(3) if axis != fixed_axis]
        self._offset = offset
        operations, shifts = layer_operations(rotations, fixed_axis, offset, centring)
        self._matrices = operations[:, self._axes][:, :, self._axes]
        self._translations = offset * operations[:, fixed_axis][:, self._axes] + shifts[:, self._axes]
        # The part of the metric perpendicular to the axis along which vectors are projected.
        along = metric[self._axes, fixed_axis]
        self._metric = (
            metric[np.ix_(self._axes, self._axes)] - np.outer(along, along) / metric[fixed_axis, fixed_axis]
        ) / self._denominator**2

    def nearest_shells(self, number: int) -> list[Orbit]:
        """Return the parameters of the nearest shells of projections that symmetry does not forbid, by length.

        Args:
            number: of shells, 1 to 100.

        Raises:
            InputError: the number is not between 1 and 100.
        """
        if not 1 <= number <= MAX_SHELLS:
            raise InputError(f"--shells is {number}; expected 1 to {MAX_SHELLS}")
        reach = float(np.sqrt(np.diag(self._metric).min()))
        while True:
            orbits = self.orbits_within(reach)
            lengths = np.array([orbit.length_angstrom for orbit in orbits])
            shell = np.cumsum(np.diff(lengths, prepend=0.0) > SAME_LENGTH * reach)
            if shell.size and shell[-1] >= number:
                return [orbit for orbit, each in zip(orbits, shell.tolist(), strict=True) if each <= number]
            reach *= 1.3

    def orbits_of(self, vectors: Sequence[Sequence[Component]]) -> list[Orbit]:
        """Return the parameters of chosen vectors: their two components in the layer, or lattice vectors.

        Args:
            vectors: two components along the axes of the layer, or the three of a lattice vector, one for each orbit.

        Raises:
            InputError: a vector is zero in the layer, is not one of the lattice, is forbidden by the symmetry of the
                layer, or two vectors are equivalent.
        """
        orbits: list[Orbit] = []
        for vector in vectors:
            name = format_vector(vector)
            projection = self._projection_of(vector)
            found = self._parameters(projection)
            if not found:
                raise InputError(
                    f"vector {name}: by symmetry its correlations cancel on this layer; choose other vectors or another"
                    " layer"
                )
            for orbit in orbits:
                if (orbit.vectors == projection).all(axis=1).any():
                    raise InputError(f"vector {name}: it is equivalent to {orbit.name}; name each orbit once")
            orbits += found
        return orbits

    def _projection_of(self, vector: Sequence[Component]) -> Integers:
        """Return the projection of a vector as numerators with 0 along the third axis, shape (3,)."""
        name = format_vector(vector)
        numerators = None
        if len(vector) == 3:
            numerators = numerators_of(vector, self._centring)
        else:
            for third in range(self._denominator):
                scaled = [each * self._denominator for each in vector]
                whole = np.insert(
                    np.array([int(each) for each in scaled], dtype=np.int64), self._fixed_axis, third
                )
                if all(each == int(each) for each in scaled) and are_lattice_numerators(
                    whole, self._centring
                ):
                    numerators = whole
        if numerators is None:
            raise InputError(
                f"vector {name}: no lattice vector of centring {self._centring} has these components; choose others, or"
                " another centring"
            )
        numerators[self._fixed_axis] = 0
        if not numerators.any():
            raise InputError(
                f"vector {name}: on one layer it adds to the constant term; choose vectors with a component in the"
                " layer"
            )
        return numerators

    def orbits_within(self, reach_angstrom: float) -> list[Orbit]:
        """Return all parameters that symmetry does not forbid up to a length [Angstrom], by length."""
        limit = reach_angstrom * (1 + SAME_LENGTH)
        most = np.floor(limit * np.sqrt(np.diag(np.linalg.inv(self._metric)))).astype(int)
        ranges = [np.arange(-each, each + 1) for each in most]
        pairs = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 2)
        lengths = np.sqrt(np.einsum("vi,ij,vj->v", pairs, self._metric, pairs))
        pairs = pairs[(lengths > 0) & (lengths <= limit)]
        whole = np.insert(pairs, self._fixed_axis, 0, axis=1)
        thirds = np.zeros((self._denominator, 3), dtype=np.int64)
        thirds[:, self._fixed_axis] = np.arange(self._denominator)
        whole = whole[are_lattice_numerators(whole[:, None] + thirds, self._centring).any(axis=1)]
        seen: set[tuple[int, ...]] = set()
        orbits: list[Orbit] = []
        for vector in whole:
            if tuple(vector.tolist()) not in seen:
                images = self._images(vector)[0].tolist()
                seen.update(tuple(sign * x for x in image) for image in images for sign in (1, -1))
                orbits += self._parameters(vector)
        return sorted(
            orbits, key=lambda o: (round(o.length_angstrom, 6), [-x for x in o.representative], o.is_sine)
        )

    def _images(self, vector: Integers) -> tuple[Integers, Array]:
        """Return the images A p of a projection, shape (n, 3), and the phases p . t of their coefficients (n,)."""
        pair = vector[self._axes]
        images = np.insert(self._matrices @ pair, self._fixed_axis, 0, axis=1)
        return images, self._translations @ pair / self._denominator

    def _parameters(self, vector: Integers) -> list[Orbit]:
        """Return the real parameters that symmetry leaves to the orbit of a projection: none, one or two."""
        images, _ = self._images(vector)
        both = np.unique(np.concatenate([images, -images]), axis=0)
        named = np.array(min(both.tolist(), key=representative_order))
        images, phases = self._images(named)
        factors = np.exp(2j * np.pi * phases)
        pair = named[self._axes]
        length = float(np.sqrt(pair @ self._metric @ pair))

        def coefficients(value: complex) -> ComplexArray:
            """Return C of `both`, averaged over all operations, if that of `named` were `value`."""
            same = (both[:, None] == images).all(axis=-1)
            opposite = (both[:, None] == -images).all(axis=-1)
            total = same @ (value * factors) + opposite @ np.conj(value * factors)
            averaged: ComplexArray = total / (same.sum(axis=1) + opposite.sum(axis=1))
            return averaged

        place = int(np.flatnonzero((both == named).all(axis=1))[0])
        real, imaginary = coefficients(1)[place], coefficients(1j)[place]
        projector = np.array([[real.real, imaginary.real], [real.imag, imaginary.imag]])
        eigenvalues, eigenvectors = np.linalg.eigh((projector + projector.T) / 2)
        allowed = eigenvectors[:, eigenvalues > 0.5]
        third = smallest_component(named.tolist(), self._fixed_axis, self._centring) / self._denominator
        sense = np.exp(2j * np.pi * third * self._offset)
        if allowed.shape[1] == 2:
            units = [sense, 1j * sense]
        else:
            units = [complex(*each) for each in allowed.T]
            units = [unit if (np.conj(unit) * sense).real > -_ZERO else -unit for unit in units]
        return [
            Orbit(both, length, self._denominator, self._fixed_axis, coefficients(unit), is_sine=number == 1)
            for number, unit in enumerate(units)
        ]
