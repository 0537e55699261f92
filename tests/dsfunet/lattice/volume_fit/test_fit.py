"""The joint fit of whole volumes, on crystals of another forward model: correlations, factors and their errors."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.averaging import Grid, add_overlap, average_equivalents, read_voxels
from dsfunet.lattice.volume_fit.fit import fit_volume
from dsfunet.lattice.volume_fit.result import VolumeFit
from dsfunet.lattice.volume_fit.voxels import Voxels
from dsfunet.physics import Cell
from dsfunet.physics.symmetry import laue_rotations
from tests.virtual_volumes import VirtualVolume, measure_volume

_REACH, _STEPS = (2.0, 2.0, 2.0), (1 / 14, 1 / 14, 1 / 14)


def _fitted(volume: VirtualVolume, laue: str | None = None) -> tuple[Grid, VolumeFit]:
    grid = Grid.of(volume.axes)
    counts = np.where(volume.mask, volume.counts, np.nan)
    voxels = read_voxels(grid, lambda block: counts[block])
    if laue is not None:
        voxels = average_equivalents(voxels, grid, laue_rotations(laue))
    a, b, c, beta = volume.correlations.crystal.cell
    return grid, fit_volume(add_overlap(voxels, grid), Cell(a, b, c, 90, beta, 90))


def _pulls(volume: VirtualVolume, fit: VolumeFit, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pulls and errors of the shortest vectors against counted pairs."""
    numerators = np.rint(2 * fit.vectors.vectors[:count]).astype(int)
    truth = np.array([volume.correlations.count_pairs(tuple(each)) for each in numerators])
    errors = fit.alphas[:count] - truth
    return errors / fit.sigmas[:count], errors


@pytest.mark.parametrize(("brightest", "missing"), [(2000.0, False), (200.0, True)])
def test_correlations_and_form_factor_are_those_of_the_crystal(brightest: float, missing: bool) -> None:
    volume = measure_volume("P alloy", 3, _REACH, _STEPS, brightest, missing)
    grid, fit = _fitted(volume)
    pulls, errors = _pulls(volume, fit, 20)
    assert 0.4 < np.sqrt(np.mean(pulls**2)) < 1.8
    assert np.all((np.abs(pulls) < 4) | (np.abs(errors) < 0.001))
    assert fit.sigmas[:20].max() < (0.003 if brightest > 1000 else 0.02)
    found = fit.evaluate(slice(grid.overlap, None))
    truth = volume.form_factor[grid.first :]
    assert np.corrcoef(found.form_factor.reshape(-1), truth.reshape(-1))[0, 1] > 0.995
    assert 0.7 < fit.chi_squared < 1.3


@pytest.mark.slow
def test_a_molecule_longer_than_its_shortest_cell_edge() -> None:
    """What repeats after 0 1 0 could as well be in the form factor, since the molecule is longer than b."""
    volume = measure_volume("molecule", 3, (3.0, 2.5, 3.0), (1 / 12, 1 / 12, 1 / 12), 2000.0)
    _, fit = _fitted(volume)
    pulls, errors = _pulls(volume, fit, 12)
    assert [0, 1, 0] in fit.vectors.numerators[:3].tolist()
    assert np.abs(errors).max() < 0.003 and np.sqrt(np.mean(pulls**2)) < 2
    assert fit.sigmas[0] > 3 * fit.sigmas[11]


def test_holes_at_all_bragg_positions_and_no_form_factor_at_the_origin() -> None:
    """Between like molecules turned by 90 degrees the contrast is 0 at the origin, where few voxels were measured."""
    volume = measure_volume("ring", 0, (2.5, 2.5, 2.5), (1 / 10, 1 / 10, 1 / 10), 200.0, True)
    _, fit = _fitted(volume)
    errors = _pulls(volume, fit, 12)[1]
    assert np.abs(errors).max() < 0.01


def test_an_average_over_a_laue_class_does_not_count_voxels_twice() -> None:
    volume = measure_volume("P alloy", 4, (1.75, 1.75, 1.75), (1 / 10, 1 / 10, 1 / 10), 100.0)
    (_, alone), (_, together) = _fitted(volume), _fitted(volume, "m-3m")
    place = alone.vectors.numerators[:3].tolist().index([1, 0, 0])
    # The fit takes the three equivalents of 1 0 0 as independent, and `refine` combines them.
    # The finite crystal is not quite cubic, which the average shows as a larger chi-squared and larger uncertainties.
    assert 0.7 < together.sigmas[place] / alone.sigmas[place] < 1.5


def test_both_sides_of_the_origin_are_tied() -> None:
    volume = measure_volume("P alloy", 3, _REACH, _STEPS, 2000.0)
    grid, fit = _fitted(volume)
    below = fit.evaluate(slice(0, grid.overlap)).form_factor
    above = fit.evaluate(slice(grid.overlap + 1, 2 * grid.overlap + 1)).form_factor
    assert np.abs(below - above[::-1, ::-1, ::-1]).max() < 0.01 * above.max()


def test_mates_are_averaged_onto_half_of_the_grid() -> None:
    axes = tuple(np.linspace(-1, 1, n) for n in (5, 41, 41))
    random = np.random.default_rng(0)
    values = random.random((5, 41, 41))
    values[4, 3, 1] = np.nan
    grid = Grid.of((axes[0], axes[1], axes[2]))
    voxels = read_voxels(grid, lambda block: values[block])
    assert grid.folded
    assert voxels.shape == (3, 41, 41)
    assert np.isclose(voxels.intensity[1, 4, 2], (values[3, 4, 2] + values[1, 36, 38]) / 2)
    assert np.isclose(voxels.intensity[0, 4, 2], (values[2, 4, 2] + values[2, 36, 38]) / 2)
    assert voxels.count[2, 3, 1] == 1
    assert np.isclose(voxels.intensity[2, 3, 1], values[0, 37, 39])


def test_sigmas_weigh_mates() -> None:
    axes = tuple(np.linspace(-1, 1, n) for n in (5, 41, 41))
    values = np.ones((5, 41, 41))
    values[0] = 3.0
    sigma = np.where(np.arange(5)[:, None, None] == 0, 2.0, np.ones((5, 41, 41)))
    grid = Grid.of((axes[0], axes[1], axes[2]))
    voxels = read_voxels(grid, lambda block: values[block], lambda block: sigma[block])
    assert np.allclose(voxels.intensity[2], (3 / 4 + 1) / (1 / 4 + 1))
    assert voxels.precision is not None
    assert np.allclose(voxels.precision[2], 1.25)


def test_a_laue_class_fills_what_is_missing() -> None:
    axis = np.linspace(-1, 1, 21)
    h, k, l = np.meshgrid(axis, axis, axis, indexing="ij")  # noqa: E741
    values = h**2 + k**2 + l**2 + h**2 * k**2 * l**2
    holes = np.where(h > np.abs(k), np.nan, values)
    holes = np.where(h < -np.abs(k), np.nan, holes)
    grid = Grid.of((axis, axis, axis))
    voxels = average_equivalents(read_voxels(grid, lambda block: holes[block]), grid, laue_rotations("m-3m"))
    assert np.all(voxels.count > 0)
    assert np.allclose(voxels.intensity, values[10:], atol=1e-6)


@pytest.mark.parametrize("count", [20, 21])
def test_equivalents_of_a_grid_with_and_without_the_origin(count: int) -> None:
    axis = 0.1 * (np.arange(count) - (count - 1) / 2)
    values = np.random.default_rng(1).random((count, count, count))
    grid = Grid.of((axis, axis, axis))
    rotations = laue_rotations("m-3m")
    voxels = average_equivalents(read_voxels(grid, lambda block: values[block]), grid, rotations)
    expected = np.zeros_like(values)
    centre = (count - 1) / 2
    for place in np.ndindex(4, 5, 6):
        where = np.rint((np.array(place) - centre) @ rotations + centre).astype(int)
        expected[place] = values[tuple(where.T)].mean()
        mate = tuple(count - 1 - each for each in place)
        assert np.isclose(voxels.intensity[mate[0] - grid.first, mate[1], mate[2]], expected[place])


def test_axes_with_and_without_the_origin_are_not_exchanged() -> None:
    even, odd = 0.1 * (np.arange(20) - 9.5), 0.1 * (np.arange(21) - 10)
    grid = Grid.of((even, odd, odd))
    voxels = read_voxels(grid, lambda block: np.ones((20, 21, 21))[block])
    with pytest.raises(
        InputError, match="expected equal steps, and 0 on a voxel, along axes that it exchanges"
    ):
        average_equivalents(voxels, grid, laue_rotations("m-3m"))


def test_operations_that_miss_the_grid_are_refused() -> None:
    axes = (np.linspace(-1, 1, 21), np.linspace(-1, 1, 31), np.linspace(-1, 1, 21))
    grid = Grid.of(axes)
    voxels = read_voxels(grid, lambda block: np.ones((21, 31, 21))[block])
    with pytest.raises(InputError, match="--laue: an operation of this class takes voxels between others"):
        average_equivalents(voxels, grid, laue_rotations("m-3m"))


def test_a_volume_of_less_than_a_zone_is_refused() -> None:
    axis = np.linspace(-0.3, 0.3, 25)
    voxels = Voxels((axis, axis, axis), np.ones((25, 25, 25), np.float32), np.ones((25, 25, 25), np.uint8))
    with pytest.raises(InputError, match="zones in which short-range order repeats"):
        fit_volume(voxels, Cell(4, 4, 4))


def test_an_empty_volume_is_refused() -> None:
    axis = np.linspace(-2, 2, 25)
    with pytest.raises(InputError, match="found 0 measured voxels; expected 2000 or more"):
        Voxels((axis, axis, axis), np.ones((25, 25, 25), np.float32), np.zeros((25, 25, 25), np.uint8))
