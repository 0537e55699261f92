"""Layers of CrysAlisPro: where their pixels lie, how they are packed, and what is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, read_plane
from dsfunet.physics import Cell
from tests.dsfunet.crysalis_files import packed, unpacked, write_layer

CUBIC = Cell(6.1, 6.1, 6.1)
HEXAGONAL = Cell(8.4, 8.4, 3.6, 90, 90, 120)
TRICLINIC = Cell(7.0, 8.5, 9.2, 82, 97, 105)


def some_counts(height: int = 41, width: int = 60, seed: int = 3) -> np.ndarray:
    """Counts over seven orders of magnitude, so that all three ways of TY1 are needed."""
    random = np.random.default_rng(seed)
    counts = random.poisson(10 ** random.uniform(0, 6, (height, width))) + 1
    counts[5, 7] = -1
    return counts


@pytest.mark.parametrize("packing", [packed, unpacked])
def test_counts_come_as_they_are_with_x_along_the_rows(tmp_path: Path, packing) -> None:
    counts = some_counts()
    measured = read_plane(write_layer(tmp_path / "layer.img", counts, CUBIC, packing=packing))
    np.testing.assert_array_equal(measured.intensity, counts.T)
    assert measured.intensity[7, 5] == -1 and measured.notes == ()


@pytest.mark.slow
def test_packed_counts_agree_with_fabio(tmp_path: Path) -> None:
    image = pytest.importorskip("fabio.OXDimage")
    counts = some_counts(seed=4)
    path = write_layer(tmp_path / "layer.img", counts, CUBIC)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 768 + 548, 3)  # a detector that fabio knows
    path.write_bytes(content)
    np.testing.assert_array_equal(image.OxdImage().read(str(path)).data.T, read_plane(path).intensity)


def test_pixels_of_a_cubic_crystal_are_where_the_program_says(tmp_path: Path) -> None:
    # The corners of a layer of 1679 x 1475 pixels as CrysAlisPro's display gave them (rspace3d's documentation, cell
    # near 6.1 Angstrom): h = -7.617 and 7.615, k = -6.69 and 6.68 for a cubic cell.
    counts = np.ones((1475, 1679), np.int32)
    measured = read_plane(write_layer(tmp_path / "layer.img", counts, CUBIC, packing=unpacked))
    grid = measured.grid
    assert isinstance(grid, PlaneGrid) and grid.name.title == "hk1"
    step = 2 * 6.1 / (0.8 * 1679)
    np.testing.assert_allclose([grid.rows[0], grid.rows[-1]], [-839.5 * step, 838.5 * step], atol=1e-9)
    np.testing.assert_allclose([grid.rows[0], grid.rows[-1]], [-7.62, 7.615], atol=0.01)
    np.testing.assert_allclose([grid.columns[0], grid.columns[-1]], [-737.5 * step, 736.5 * step], atol=1e-9)
    np.testing.assert_allclose(grid.cell.parameters, CUBIC.parameters, atol=1e-7)


@pytest.mark.parametrize("size", [(60, 60), (61, 61), (40, 61)])
def test_even_pictures_are_centred_and_odd_ones_half_a_pixel_off(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    grid = read_plane(write_layer(tmp_path / "layer.img", np.ones(size, int), CUBIC)).grid
    assert grid is not None
    for values, count in ((grid.rows, size[1]), (grid.columns, size[0])):
        step = values[1] - values[0]
        np.testing.assert_allclose(values.mean(), -0.5 * step if count % 2 else 0, atol=1e-9)


@pytest.mark.parametrize("cell", [HEXAGONAL, TRICLINIC])
def test_oblique_layers_keep_cartesian_pixels(tmp_path: Path, cell: Cell) -> None:
    measured = read_plane(write_layer(tmp_path / "layer.img", some_counts(), cell, centre=(0, 0, 2)))
    grid = measured.grid
    assert grid is not None and grid.name.title == "hk2"
    np.testing.assert_allclose(grid.cell.parameters, cell.parameters, atol=1e-7)
    step = 2 * np.pi * 2 / (0.8 * 60)
    np.testing.assert_allclose(grid.plane.step_u, [*step * unit(cell.reciprocal[0])], atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(grid.plane.step_v), step)
    # Indices of the last pixel by the matrix that takes (h, k) to the picture's x and y.
    x, y = (59 - 29.5) * step, (40 - 20.5) * step
    first, second = cell.reciprocal[:2]
    along = unit(first)
    across = unit(second - second @ along * along)
    matrix = np.array([[first @ along, second @ along], [first @ across, second @ across]])
    np.testing.assert_allclose(grid.hkl()[-1, -1], [*np.linalg.solve(matrix, [x, y]), 2], atol=1e-7)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("name", "centre", "x_axis", "y_axis"),
    [
        ("h-1.5l", (0, -1.5, 0), (1, 0, 0), (0, 0, 1)),
        ("0.5kl", (0.5, 0, 0), (0, 1, 0), (0, 0, 1)),
        ("hk0", (0, 0, 0), (1, 0, 0), (0, 1, 0)),
    ],
)
def test_the_header_names_the_layer(tmp_path: Path, name: str, centre, x_axis, y_axis) -> None:
    path = write_layer(tmp_path / "layer.img", some_counts(), HEXAGONAL, centre, x_axis, y_axis)
    grid = read_plane(path).grid
    assert grid is not None and grid.name.title.replace(" ", "") == name
    assert read_plane(path, name).grid is not None
    with pytest.raises(
        InputError, match=rf"layer.img: the file holds plane {grid.name.title}, not hk7; request"
    ):
        read_plane(path, "hk7")


def test_a_layer_whose_x_axis_is_the_second(tmp_path: Path) -> None:
    counts = some_counts()
    path = write_layer(tmp_path / "layer.img", counts, CUBIC, x_axis=(0, 1, 0), y_axis=(1, 0, 0))
    measured = read_plane(path)
    np.testing.assert_array_equal(measured.intensity, counts)
    assert measured.grid is not None
    np.testing.assert_allclose(measured.grid.steps, [2 * 6.1 / (0.8 * 60)] * 2)
    oblique = write_layer(tmp_path / "b.img", counts, HEXAGONAL, x_axis=(0, 1, 0), y_axis=(1, 0, 0))
    with pytest.raises(
        InputError, match="the oblique layer has k to the right; expected h to the right and k up"
    ):
        read_plane(oblique)


def test_a_header_without_directions_needs_a_name(tmp_path: Path) -> None:
    path = write_layer(tmp_path / "layer.img", some_counts(), CUBIC, x_axis=(0, 0, 0), y_axis=(0, 0, 0))
    with pytest.raises(InputError, match=r"the header does not say which layer this is; name the plane"):
        read_plane(path)
    grid = read_plane(path, "h2l").grid
    assert grid is not None and grid.name.title == "h2l"


def test_regions_of_zeros_are_missing_and_few_counts_are_not(tmp_path: Path) -> None:
    counts = np.random.default_rng(5).poisson(0.5, (200, 200))
    few = int((counts[60:, 60:] == 0).sum())
    assert few > 11_000
    counts[:40, :50] = 0
    measured = read_plane(write_layer(tmp_path / "layer.img", counts, CUBIC))
    missing = np.isnan(measured.intensity)
    assert missing[:50, :40].all() and not missing[60:, 60:].any()
    assert missing.mean() == pytest.approx(2000 / 200**2, rel=0.02)
    assert measured.notes[0].startswith("5.0 % of the pixels are 0 in wide regions")


def test_narrow_gaps_among_bright_pixels_are_missing(tmp_path: Path) -> None:
    counts = np.random.default_rng(6).poisson(40.0, (200, 200))
    assert counts.min() > 10
    counts[50, :] = counts[90:93, 40:160] = counts[120:126, 10:190] = 0  # one, three and six pixels wide
    gaps = counts.T == 0
    missing = np.isnan(read_plane(write_layer(tmp_path / "layer.img", counts, CUBIC)).intensity)
    np.testing.assert_array_equal(missing, gaps)


def test_frames_of_the_detector_are_refused(tmp_path: Path) -> None:
    path = write_layer(tmp_path / "frame.img", some_counts(), CUBIC, d_min=0.0)
    with pytest.raises(
        InputError, match=r"has d_min 0 and .*; expected a layer .* not a frame of the detector"
    ):
        read_plane(path)


def test_general_layers_are_refused(tmp_path: Path) -> None:
    path = write_layer(tmp_path / "layer.img", some_counts(), CUBIC, x_axis=(1, 1, 0), y_axis=(0, 0, 1))
    with pytest.raises(
        InputError, match=r"the layer runs along \(1 1 0\) and \(0 0 1\); expected two of h, k, l"
    ):
        read_plane(path)
    path = write_layer(tmp_path / "layer.img", some_counts(), CUBIC, centre=(0.5, 0, 0))
    with pytest.raises(InputError, match=r"the centre of the layer is \(0.5 0 0\); expected a point on l\*"):
        read_plane(path)


def test_other_packings_are_refused(tmp_path: Path) -> None:
    path = write_layer(
        tmp_path / "layer.img", some_counts(), CUBIC, packing=lambda counts: ("TY6", packed(counts)[1], 0, 0)
    )
    with pytest.raises(InputError, match="packed as TY6; expected TY1 or no packing"):
        read_plane(path)


@pytest.mark.parametrize("length", [11, 100, 256, 2000, 5120, 6000, -1])
def test_truncated_layers_are_refused(tmp_path: Path, length: int) -> None:
    path = write_layer(tmp_path / "layer.img", some_counts(), CUBIC)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="truncated"):
        read_plane(path)


def test_mangled_headers_are_refused_or_harmless(tmp_path: Path) -> None:
    content = write_layer(tmp_path / "layer.img", some_counts(), TRICLINIC).read_bytes()
    random, path = np.random.default_rng(8), tmp_path / "mangled.img"
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for place in [
            *random.integers(11, 256, 2),
            *random.integers(860, 1032, 2),
            *random.integers(2104, 2330, 2),
        ]:
            if random.random() < 0.4:
                damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            measured = read_plane(path)
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(path))
            continue
        assert measured.intensity.size <= 41 * 60 and measured.grid is not None
    assert 100 < refused < 400
