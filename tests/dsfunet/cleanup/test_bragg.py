"""Bragg peaks: which pixels are punched, with what holes are filled, and whether peaks are found at all."""

import numpy as np
import pytest

from dsfunet.cleanup import look_for_bragg
from dsfunet.cleanup.bragg import fill_holes, remove_bragg
from dsfunet.cleanup.bragg_positions import find_bragg_positions, is_allowed
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid
from dsfunet.physics import Cell, Plane, plane_through
from tests.dsfunet.cleanup_planes import HEXAGONAL, TETRAGONAL, TRICLINIC, grid, scattering


def within(where: PlaneGrid, radius: float) -> np.ndarray:
    """Pixels near any integer hkl, the slow and obvious way: every pixel against every position."""
    q = where.plane.q_points()
    inside = np.zeros(where.shape, bool)
    for h in range(-7, 8):
        for k in range(-7, 8):
            for layer in range(-2, 3):
                point = np.array([h, k, layer]) @ where.cell.reciprocal
                inside |= np.linalg.norm(q - point, axis=-1) <= radius
    return inside


def add_peaks(where: PlaneGrid, intensity: np.ndarray, width: float, seed: int, height: float) -> np.ndarray:
    """Gaussian peaks [1/Angstrom] on two thirds of the positions, of heights as different as structure factors."""
    rng = np.random.default_rng(seed)
    q = where.plane.q_points()
    result = intensity.copy()
    for h in range(-5, 6):
        for k in range(-5, 6):
            if rng.random() < 2 / 3:
                squared = ((q - np.array([h, k, 0]) @ where.cell.reciprocal) ** 2).sum(axis=-1)
                result += height * rng.exponential() * np.exp(-squared / (2 * width**2))
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", [TETRAGONAL, HEXAGONAL, TRICLINIC], ids=["tetragonal", "hexagonal", "triclinic"]
)
@pytest.mark.parametrize("name", ["hk0", "hk0.1", "hk1"])
def test_punched_are_exactly_the_pixels_within_the_radius(cell: Cell, name: str) -> None:
    where = grid(cell, name)
    intensity, _, record = remove_bragg(scattering(where), None, where.plane, cell, 0.15)
    expected = within(where, 0.15)
    assert expected.any() and np.array_equal(np.isnan(intensity), expected)
    assert record.numbers["pixels_punched"] == expected.sum()
    assert record.numbers["positions_punched"] == 121


def test_a_layer_between_bragg_layers_loses_nothing() -> None:
    where = grid(TETRAGONAL, "h k 0.5")
    # c* / 2 is 0.35 1/Angstrom away.
    intensity, _, record = remove_bragg(scattering(where), None, where.plane, TETRAGONAL, 0.3)
    assert np.isfinite(intensity).all() and record.numbers["pixels_punched"] == 0


def test_an_ellipsoid_is_given_in_reciprocal_lattice_units() -> None:
    where = grid(HEXAGONAL)
    intensity, _, _ = remove_bragg(
        scattering(where), None, where.plane, HEXAGONAL, (0.3, 0.1, 0.2), "rlu", "P", "missing"
    )
    h, k = (each - np.rint(each) for each in (where.rows[:, None], where.columns[None, :]))
    assert np.array_equal(np.isnan(intensity), (h / 0.3) ** 2 + (k / 0.1) ** 2 <= 1)


@pytest.mark.parametrize(
    ("centring", "kept"), [("P", 1), ("A", 2), ("C", 2), ("I", 2), ("F", 4), ("R", 3), ("H", 3)]
)
def test_centrings_allow_one_reflection_in_so_many(centring: str, kept: int) -> None:
    hkl = np.stack(np.meshgrid(*[np.arange(12)] * 3), axis=-1).reshape(-1, 3)
    assert is_allowed(hkl, centring).sum() == 12**3 / kept  # type: ignore[arg-type]
    examples = {
        "P": (1, 0, 0),
        "A": (1, 0, 0),
        "C": (1, 1, 1),
        "I": (1, 1, 0),
        "F": (1, 1, 1),
        "R": (1, 0, 1),
        "H": (1, 1, 5),
    }
    assert is_allowed(np.array(examples[centring]), centring)  # type: ignore[arg-type]


def test_forbidden_reflections_are_left_alone() -> None:
    where = grid(TETRAGONAL)
    intensity, _, record = remove_bragg(scattering(where), None, where.plane, TETRAGONAL, 0.1, centring="C")
    nearest = np.rint(where.rows[:, None]) + np.rint(where.columns[None, :])
    punched = np.isnan(intensity)
    assert punched.any() and not punched[nearest % 2 == 1].any()
    assert record.numbers["positions_punched"] == 61


def test_a_radius_that_reaches_halfway_is_refused() -> None:
    where = grid(TETRAGONAL)
    with pytest.raises(
        InputError, match=r"Bragg radius 0.5 1/Angstrom: it reaches 0.7\d* r.l.u.; expected less"
    ):
        remove_bragg(scattering(where), None, where.plane, TETRAGONAL, 0.5)


def test_filled_holes_have_the_mean_and_the_noise_of_their_surroundings() -> None:
    where = grid(TRICLINIC, n=301, m=301)
    smooth = 500 * np.exp(-where.plane.q_squared() / 30) + 40
    counts = np.random.default_rng(3).poisson(smooth).astype(float)
    positions = find_bragg_positions(where.plane, TRICLINIC)
    punched = positions.scaled_distance(0.12, "inv-angstrom") <= 1
    spoilt = np.where(punched, np.nan, counts)
    filled = fill_holes(spoilt, punched, positions, seed=1)
    inside = punched & np.isfinite(filled.intensity)
    assert inside.sum() > 2000 and filled.holes == 121
    deviation = (filled.intensity - smooth)[inside] / np.sqrt(smooth[inside])
    # About the hole's own mean the variance is that of the counts; the surface is off by a third of a deviation, as
    # six numbers from some ninety noisy pixels that lie all on one side have to be.
    labels = positions.number[inside]
    sizes = np.bincount(labels)[labels]
    means = (np.bincount(labels, deviation) / np.maximum(np.bincount(labels), 1))[labels]
    whole = sizes > 20
    assert ((deviation - means)[whole] ** 2 * (sizes / (sizes - 1))[whole]).mean() == pytest.approx(
        1, abs=0.1
    )
    assert means[whole].std() < 0.45
    assert abs(deviation.mean()) < 0.08
    assert np.array_equal(filled.intensity[~punched], counts[~punched])
    relative = filled.scatter[inside] / np.sqrt(smooth[inside])
    assert np.median(relative) == pytest.approx(1, abs=0.05)
    again = fill_holes(spoilt, punched, positions, seed=1)
    other = fill_holes(spoilt, punched, positions, seed=2)
    assert np.array_equal(filled.intensity, again.intensity, equal_nan=True)
    assert not np.array_equal(filled.intensity, other.intensity, equal_nan=True)


def test_without_noise_a_smooth_plane_comes_back_under_its_holes() -> None:
    where = grid(HEXAGONAL, n=241, m=241)
    smooth = scattering(where)
    result, sigma, record = remove_bragg(
        smooth, np.ones(where.shape), where.plane, HEXAGONAL, 0.1, fill="surroundings"
    )
    known = np.isfinite(result)
    assert known.mean() > 0.99 and np.abs(result - smooth)[known].max() < 0.04 * smooth.max()
    assert sigma is not None and "seed 0" in record.sentence
    assert (sigma[np.isfinite(sigma)] <= 1).all()


def test_holes_at_an_edge_and_in_gaps_stay_missing() -> None:
    where = grid(TETRAGONAL)
    intensity = scattering(where)
    intensity[:, :100] = np.nan
    result, _, record = remove_bragg(intensity, None, where.plane, TETRAGONAL, 0.1, fill="surroundings")
    assert np.isnan(result[:, :98]).all() and record.numbers["holes_left_missing"]
    assert np.isnan(result[-1, -1])  # 5 5 0 lies in the corner


@pytest.mark.parametrize("width", [0.04, 0.08])
def test_the_automatic_radius_ends_where_peaks_end(width: float) -> None:
    where = grid(TETRAGONAL, n=301, m=301)
    diffuse = 200 * scattering(where)
    rng = np.random.default_rng(0)
    clean = rng.poisson(diffuse).astype(float)
    spoilt = rng.poisson(add_peaks(where, diffuse, width, 1, 3000)).astype(float)
    found = look_for_bragg(spoilt, where.plane, TETRAGONAL)
    assert found.suspicious and found.ends and "seem to be left in the plane" in found.sentence()
    assert found.radius_inv_angstrom is not None
    # Of 3,000 on 400 one in a hundred is left at 3.0 to 3.5 widths; one pixel is 0.03.
    assert 2.5 * width < found.radius_inv_angstrom < 4.5 * width + 0.03
    result, _, _ = remove_bragg(spoilt, None, where.plane, TETRAGONAL, "auto")
    known = np.isfinite(result)
    left = np.abs(result - diffuse)[known].sum() / diffuse[known].sum()
    before = np.abs(spoilt - diffuse).sum() / diffuse.sum()
    noise = np.abs(clean - diffuse).sum() / diffuse.sum()
    assert before > 3 * noise and left < 1.2 * noise
    quiet = look_for_bragg(clean, where.plane, TETRAGONAL)
    assert quiet.outstanding == 0 and not quiet.suspicious
    untouched, _, record = remove_bragg(clean, None, where.plane, TETRAGONAL, "auto")
    assert np.array_equal(untouched, clean) and "nothing punched" in record.sentence


def test_sharp_maxima_of_short_range_order_are_no_bragg_peaks() -> None:
    where = grid(TETRAGONAL, n=301, m=301)
    h, k = where.rows[:, None], where.columns[None, :]
    harmonics = np.arange(1, 6)
    along = [1 + 2 * np.cos(2 * np.pi * x[..., None] * harmonics).sum(axis=-1) for x in (h, k)]
    order = 0.1 + (along[0] * along[1] / 121) ** 2
    intensity = np.random.default_rng(0).poisson(3000 * order * np.exp(-where.plane.q_squared() / 30))
    assert not look_for_bragg(intensity.astype(float), where.plane, TETRAGONAL).suspicious


def test_planes_without_bragg_positions_say_so() -> None:
    plane: Plane = plane_through(TETRAGONAL, (0, 1), 0.5, 7.0)
    found = look_for_bragg(np.random.default_rng(0).random(plane.shape), plane, TETRAGONAL)
    assert (
        found.positions == 0
        and "no Bragg position lies on the measured part of this plane" in found.sentence()
    )


def test_positions_are_the_different_integer_indices_in_order() -> None:
    where = grid(TRICLINIC, "h1l", 41, 31, 2.6)
    found = find_bragg_positions(where.plane, TRICLINIC)
    nearest = np.rint(where.hkl()).astype(int)
    assert np.array_equal(found.hkl, np.unique(nearest.reshape(-1, 3), axis=0))
    assert np.array_equal(found.hkl[found.number], nearest)
