"""Layers of centred lattices: where I_SRO repeats, and its harmonics against sums over explicit lattice vectors."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, lattice_vectors
from dsfunet.physics.layer_orbits import LayerHarmonics
from dsfunet.physics.layer_repeat import find_layer_repeat, layer_operations
from dsfunet.physics.symmetry import laue_rotations, symmetric_metric

CELLS = {
    "-1": Cell(5, 6, 7, 80, 95, 103),
    "2/m": Cell(5, 6, 7, 90, 103, 90),
    "mmm": Cell(5, 6, 7),
    "4/m": Cell(5, 5, 7),
    "-3": Cell(5, 5, 7, 90, 90, 120),
    "-3m1": Cell(5, 5, 7, 90, 90, 120),
    "m-3m": Cell(5, 5, 5),
}


@pytest.mark.parametrize(
    ("centring", "fixed_axis", "basis"),
    [
        ("P", 2, [[1, 0], [0, 1]]),
        ("F", 2, [[2, 0], [0, 2]]),
        ("I", 2, [[1, 1], [1, -1]]),
        ("C", 2, [[1, 1], [1, -1]]),
        ("C", 1, [[2, 0], [0, 1]]),
        ("C", 0, [[2, 0], [0, 1]]),
        ("A", 2, [[1, 0], [0, 2]]),
        ("B", 2, [[2, 0], [0, 1]]),
    ],
)
def test_repeat_of_layers(centring: Centring, fixed_axis: int, basis: list[list[int]]) -> None:
    repeat = find_layer_repeat(centring, fixed_axis, Cell(5, 5.0, 5).reciprocal)
    assert repeat.basis.tolist() == basis and repeat.is_cell == (centring == "P")
    points = np.random.default_rng(1).normal(size=(7, 3))
    points[:, fixed_axis] = 0.5
    back = repeat.indices(repeat.coordinates(points))
    np.testing.assert_allclose(back, np.delete(points, fixed_axis, axis=1), atol=1e-12)


def test_repeat_of_a_rhombohedral_layer() -> None:
    repeat = find_layer_repeat("R", 2, CELLS["-3"].reciprocal)
    # A hexagonal cell three times as large, turned by 30 degrees.
    assert abs(np.linalg.det(repeat.basis)) == pytest.approx(3)
    lengths = np.linalg.norm(repeat.vectors @ CELLS["-3"].reciprocal, axis=1)
    np.testing.assert_allclose(lengths, 3**0.5 * np.linalg.norm(CELLS["-3"].reciprocal[0]))


CASES = [
    ("-1", "F", 2, 0.0),
    ("-1", "I", 2, 0.5),
    ("-1", "C", 1, 0.3),
    ("2/m", "C", 1, 0.3),
    ("2/m", "I", 2, 0.3),
    ("2/m", "A", 2, 1.0),
    ("2/m", "P", 2, 0.25),
    ("mmm", "F", 2, 0.7),
    ("mmm", "B", 0, 1.0),
    ("4/m", "I", 2, 0.5),
    ("4/m", "I", 0, 0.5),
    ("-3", "R", 2, 0.0),
    ("-3", "R", 2, 1.0),
    ("-3", "R", 2, 0.5),
    ("-3m1", "R", 2, 0.3),
    ("-3m1", "R", 2, 2.0),
    ("-3", "H", 2, 0.3),
    ("-3m1", "H", 2, 1.0),
    ("m-3m", "F", 2, 0.0),
    ("m-3m", "F", 2, 0.5),
    ("m-3m", "F", 1, 1.0),
    ("m-3m", "I", 2, 0.25),
    ("m-3m", "P", 2, 0.0),
]


@pytest.mark.parametrize(("laue", "centring", "fixed_axis", "offset"), CASES)
def test_harmonics_are_those_of_the_sum_over_lattice_vectors(
    laue: str, centring: Centring, fixed_axis: int, offset: float
) -> None:
    cell, rotations = CELLS[laue], laue_rotations(laue)
    vectors = [np.array([float(x) for x in vector]) for vector, _ in lattice_vectors(cell, centring, 11.9)]
    # A symmetric alpha of every vector: the same polynomial of all its images.
    random = np.random.default_rng(7).normal(size=3)

    def alpha_of(vector: np.ndarray) -> float:
        images = rotations @ vector
        return float(np.mean(np.cos(images @ random + (images**2) @ random[::-1])) * 0.05)

    alphas = [alpha_of(vector) for vector in vectors]
    axes = [axis for axis in range(3) if axis != fixed_axis]
    points = np.zeros((400, 3))
    points[:, axes] = np.random.default_rng(2).uniform(-2, 2, size=(400, 2))
    points[:, fixed_axis] = offset
    intensity = 1 + sum(
        alpha * np.cos(2 * np.pi * points @ v) for alpha, v in zip(alphas, vectors, strict=True)
    )
    sums: dict[tuple[float, ...], complex] = {(0.0, 0.0): 1.0}
    thirds: dict[tuple[float, ...], list[float]] = {}
    for alpha, vector in zip(alphas, vectors, strict=True):
        key = tuple(np.round(vector[axes], 6) + 0.0)
        sums[key] = sums.get(key, 0) + alpha * np.exp(2j * np.pi * vector[fixed_axis] * offset)
        thirds.setdefault(key, []).append(float(vector[fixed_axis]))

    harmonics = LayerHarmonics(rotations, symmetric_metric(cell, laue), fixed_axis, offset, centring)
    orbits = [orbit for orbit in harmonics.nearest_shells(100) if orbit.length_angstrom < 11.9]
    phases = [np.exp(2j * np.pi * points @ orbit.components.T) for orbit in orbits]
    columns = [
        (each @ orbit.coefficients).real
        for each, orbit in zip(phases, orbits, strict=True)
        if orbit.coefficients is not None
    ]
    design = np.column_stack([np.ones(len(points)), *columns])
    found, *_ = np.linalg.lstsq(design, intensity, rcond=None)
    np.testing.assert_allclose(design @ found, intensity, atol=1e-10)
    for orbit, value in zip(orbits, found[1:] / found[0], strict=True):
        key = tuple(np.round([float(orbit.representative[axis]) for axis in axes], 6) + 0.0)
        if orbit.length_angstrom > 6:
            continue  # the sum ends at a sphere, which may not hold the nearest of these
        nearest = min(thirds[key], key=lambda x: (round(abs(x), 6), -x))
        expected = sums[key] / sums[0.0, 0.0] * np.exp(-2j * np.pi * nearest * offset)
        if (
            sum(other.representative == orbit.representative for other in orbits) == 2
            or float(offset).is_integer()
        ):
            assert value == pytest.approx(expected.imag if orbit.is_sine else expected.real, abs=1e-9)
        else:
            # One parameter: its size, with the sign of its part along the phase of the nearest vectors.
            assert abs(value) == pytest.approx(abs(expected), abs=1e-9)
            assert value * expected.real >= -1e-9


def test_forbidden_harmonics_and_layers_of_the_same_order() -> None:
    rotations, metric = laue_rotations("m-3m"), symmetric_metric(CELLS["m-3m"], "m-3m")
    whole, half, next_one = (LayerHarmonics(rotations, metric, 2, offset, "F") for offset in (0.0, 0.5, 1.0))
    assert [orbit.name for orbit in whole.nearest_shells(3)] == [
        *("1/2 0 (all l)", "1/2 1/2 (all l)", "1 0 (all l)")
    ]
    assert [orbit.name for orbit in next_one.nearest_shells(3)] == [
        *("1/2 0 (all l)", "1/2 1/2 (all l)", "1 0 (all l)")
    ]
    # On hk1/2, 1/2 0 1/2 and 1/2 0 -1/2 cancel.
    assert [orbit.name for orbit in half.nearest_shells(2)] == ["1/2 1/2 (all l)", "1 0 (all l)"]
    with pytest.raises(InputError, match=r"vector 0\.5 0: by symmetry its correlations cancel on this layer"):
        half.orbits_of([(0.5, 0)])  # type: ignore[list-item]
    operations, shifts = layer_operations(rotations, 2, 0.5, "F")
    assert len(operations) == 16 and {abs(int(h)) % 2 for h in shifts[shifts[:, 2] != 0][:, 0]} == {1}


def test_vectors_asked_for_on_a_layer() -> None:
    rotations, metric = laue_rotations("m-3m"), symmetric_metric(CELLS["m-3m"], "m-3m")
    harmonics = LayerHarmonics(rotations, metric, 1, 0.0, "F")
    half = 0.5
    assert [orbit.name for orbit in harmonics.orbits_of([(half, 0), (1, 0, 1)])] == [  # type: ignore[list-item]
        *("1/2 0 (all k)", "1 1 (all k)")
    ]
    for vector, message in (
        ((0, 0), "it adds to the constant term"),
        ((0, 1, 0), "it adds to the constant term"),
        ((1 / 3, 0), "no lattice vector of centring F has these components"),
        ((half, 0, 0), "no lattice vector of centring F has these components"),
    ):
        with pytest.raises(InputError, match=message):
            harmonics.orbits_of([vector])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"vector 0 0\.5: it is equivalent to 1/2 0 \(all k\)"):
        harmonics.orbits_of([(half, 0), (0, half)])  # type: ignore[list-item]
    with pytest.raises(InputError, match="--shells is 0"):
        harmonics.nearest_shells(0)
