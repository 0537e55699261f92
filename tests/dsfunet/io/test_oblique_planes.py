"""Planes that two vectors span, out of volumes: where their pixels lie, what is read, what is missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.cleanup import CleanUp, clean
from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result, Volume, parse_plane_name, read_plane, write_result
from dsfunet.io.oblique_planes import read_oblique_plane
from dsfunet.io.user_axes import make_cartesian_grid
from dsfunet.io.volume import Box, VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.names import SpannedPlaneName, parse_plane

Array = npt.NDArray[np.float64]
CELL = Cell(5.0, 6.0, 8.0, 90, 100, 90)
AXES = VolumeAxes((-2.0, -2.0, -3.0), (0.1, 0.1, 0.125), (41, 41, 49))


def linear(h: Array, k: Array, l: Array) -> Array:  # noqa: E741
    """Trilinear interpolation is exact for this."""
    return np.asarray(20 + 3 * h - 2 * k + l)


def volume_of(
    function: Callable[[Array, Array, Array], Array] = linear, axes: VolumeAxes = AXES
) -> tuple[Volume, list[int]]:
    """Make a volume, and a list to which each read appends the number of its voxels."""
    values = function(*np.meshgrid(*(axes.coordinates(axis) for axis in range(3)), indexing="ij"))
    sizes: list[int] = []

    def read(box: Box) -> Array:
        sizes.append(values[box].size)
        return values[box]

    return Volume("made here", axes, read, CELL), sizes


def name_of(text: str) -> SpannedPlaneName:
    name = parse_plane(text)
    assert isinstance(name, SpannedPlaneName)
    return name


@pytest.mark.parametrize(
    "text",
    [
        "hhl",
        "h -h l",
        "h 2h l",
        "hkk",
        "[1 1 0] [1 -1 0] + [0 0 0.3]",
        "[1 1 1] [1 -1 0] + [0.21 0 0]",
        "[0 1 0] [1 0 0]",
    ],
)
def test_every_pixel_has_the_value_of_its_place(text: str) -> None:
    volume, _ = volume_of()
    measured = read_oblique_plane(volume, name_of(text))
    grid = measured.grid
    assert grid is not None and str(grid.name) == text and grid.cell == CELL
    hkl = grid.plane.q_points() @ CELL.direct.T / (2 * np.pi)
    expected = linear(*np.moveaxis(hkl, -1, 0))
    inside = np.isfinite(measured.intensity)
    np.testing.assert_allclose(measured.intensity[inside], expected[inside], atol=1e-9)
    # All that lies within the volume is there, and nothing else.
    reach = np.array([2.0, 2.0, 3.0])
    np.testing.assert_array_equal(inside, (np.abs(hkl) <= reach + 1e-7).all(axis=-1))
    assert inside[[0, -1]].any(axis=1).all() and inside[:, [0, -1]].any(axis=0).all()


def test_pixels_of_hhl_are_voxels() -> None:
    random = np.random.default_rng(1).uniform(size=(41, 41, 49))
    volume, _ = volume_of(lambda *_: random)
    measured = read_oblique_plane(volume, name_of("hhl"))
    assert measured.grid is not None and measured.grid.shape == (41, 49) and measured.notes == ()
    np.testing.assert_array_equal(measured.intensity, random[np.arange(41), np.arange(41)])
    assert measured.grid.steps == pytest.approx((0.1, 0.125))
    diagonal = read_oblique_plane(volume, name_of("[1 1 0] [0 0 1] + [0.05 0 0]"))
    assert diagonal.notes == ("plane [1 1 0] [0 0 1] + [0.05 0 0]: the pixels lie between voxels, so intensities are"
                              " interpolated",)  # fmt: skip


def test_axes_may_run_downwards() -> None:
    turned = VolumeAxes((2.0, -2.0, 3.0), (-0.1, 0.1, -0.125), (41, 41, 49))
    up, down = (read_oblique_plane(volume_of(axes=axes)[0], name_of("h 2h l")) for axes in (AXES, turned))
    np.testing.assert_allclose(up.intensity, down.intensity)


@pytest.mark.parametrize("most", [200, 2_000, 20_000])
def test_memory_is_bounded(most: int) -> None:
    whole = read_oblique_plane(volume_of()[0], name_of("h 2h l"))
    volume, sizes = volume_of()
    measured = read_oblique_plane(volume, name_of("h 2h l"), most)
    np.testing.assert_array_equal(measured.intensity, whole.intensity)
    assert max(sizes) <= most
    # Smaller boxes read less: only the voxels around the plane instead of all voxels within its bounds.
    assert sum(sizes) < {200: 0.6, 2_000: 0.4, 20_000: 0.5}[most] * 41 * 41 * 49


def test_missing_voxels_are_ignored() -> None:
    def with_holes(h: Array, k: Array, l: Array) -> Array:  # noqa: E741
        values = np.full(h.shape, 7.0)
        values[20, 20, 10] = np.nan
        values[20, 20, 20:24] = -1000.0
        values[10:12, 10:12, 30:34] = np.nan
        return values

    volume, _ = volume_of(with_holes)
    on_voxels = read_oblique_plane(volume, name_of("hhl")).intensity
    assert np.isnan(on_voxels[20, [10, 20, 21, 22, 23]]).all() and np.isnan(on_voxels[10:12, 30:34]).all()
    assert np.isnan(on_voxels).sum() == 13 and (on_voxels[np.isfinite(on_voxels)] == 7).all()
    # Half-way between voxels a missing one has a weight of 1/2 or less, so the others are used.
    between = read_oblique_plane(volume, name_of("[1 1 0] [0 0 1] + [0.05 0 0]")).intensity
    assert (between[np.isfinite(between)] == 7).all()
    inner = between[2:-2, 2:-2]
    assert np.isnan(inner).sum() == 4  # between columns 10 and 11 of the block; a lone voxel hides nothing


def test_uncertainties_shrink_as_independent_voxels_are_averaged() -> None:
    volume, _ = volume_of()
    with_sigma = Volume(
        "made here", AXES, volume.read, CELL, read_sigma=lambda box: np.full_like(volume.read(box), 2.0)
    )
    on_voxels = read_oblique_plane(with_sigma, name_of("hhl")).sigma
    between = read_oblique_plane(with_sigma, name_of("[1 1 0] [0 0 1] + [0.05 0 0]")).sigma
    assert on_voxels is not None and between is not None
    assert np.nanmax(np.abs(on_voxels - 2)) < 1e-12
    assert np.nanmax(np.abs(between - np.sqrt(2))) < 1e-9


def test_a_single_layer_has_planes_within_itself() -> None:
    axes = VolumeAxes((-2.0, -2.0, 1.0), (0.1, 0.1, 0.0), (41, 41, 1))
    volume, _ = volume_of(axes=axes)
    measured = read_oblique_plane(volume, name_of("[1 1 0] [1 -1 0] + [0 0 1]"))
    assert measured.grid is not None and np.isfinite(measured.intensity).mean() == pytest.approx(
        0.5, abs=0.02
    )
    with pytest.raises(
        InputError,
        match="the plane does not pass through the volume; the volume holds h = -2 to 2, k = -2 to 2, l = 1",
    ):
        read_oblique_plane(volume, name_of("hhl"))


def test_what_cannot_be_read() -> None:
    volume, _ = volume_of()
    with pytest.raises(
        InputError,
        match=r"plane \[1 1 0\] \[1 -1 0\] \+ \[0 0 9\]: the plane does not pass through the volume",
    ):
        read_oblique_plane(volume, name_of("[1 1 0] [1 -1 0] + [0 0 9]"))
    without = Volume("made here", AXES, volume.read, None, "the file has no unit_cell")
    with pytest.raises(InputError, match='the file has no unit_cell; give one with --cell "a b c'):
        read_oblique_plane(without, name_of("hhl"))


@pytest.mark.parametrize("cartesian_h1l", [False, True])
def test_results_on_such_planes_are_measurements_again(tmp_path: Path, cartesian_h1l: bool) -> None:
    name, rows, columns = parse_plane("hhl"), np.linspace(-2, 2, 9), np.linspace(-1, 1, 5)
    grid = PlaneGrid(CELL, name, rows, columns)
    if cartesian_h1l:
        grid = make_cartesian_grid(CELL, parse_plane_name("h1l"), 0.1, (9, 5))
    values = np.arange(45, dtype=np.float32).reshape(9, 5)
    values[2, 3] = np.nan
    write_result(tmp_path / "r.nxs", Result(values, values, values, values, values, values >= 0, grid))
    for asked in (None, "h1l" if cartesian_h1l else "hhl", str(grid.name)):
        measured = read_plane(tmp_path / "r.nxs", asked)
        assert np.array_equal(measured.intensity, values, equal_nan=True)
        assert measured.grid is not None and measured.grid.name == grid.name
        assert np.array_equal(measured.grid.plane.q_points(), grid.plane.q_points())
    with pytest.raises(InputError, match=r"the file holds plane .*, not hk0; request that plane or none"):
        read_plane(tmp_path / "r.nxs", "hk0")


def test_flags_in_an_interpolated_plane_give_a_warning() -> None:
    volume, _ = volume_of()
    for text, mixed in (("[1 1 0] [1 -1 0]", False), ("[1 1 0] [0 0.3 1]", True)):
        name = parse_plane(text)
        assert isinstance(name, SpannedPlaneName)
        measured = read_oblique_plane(volume, name)
        assert measured.interpolated is mixed
        _, record = clean(measured, CleanUp(mask_above=1e6))
        assert any("hold mixtures" in note for note in record.notes) is mixed
