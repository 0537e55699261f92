"""Pictures put onto axes that a user gives: Q of some pixels, for oblique cells too."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, PlaneGrid, UserAxes, parse_plane_name
from dsfunet.io.user_axes import put_on_axes
from dsfunet.physics import Cell, plane_through
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.planes.names import PlaneName, SpannedPlaneName
from dsfunet.planes.resampling import resample, to_network_grid, to_user_grid

CUBIC = Cell(5, 5, 5)
HEXAGONAL = Cell(8.4, 8.4, 3.6, 90, 90, 120)
TRICLINIC = Cell(7.0, 8.5, 9.2, 82, 97, 105)
MONOCLINIC = Cell(7.0, 8.5, 9.2, 90, 103, 90)


def by_q(cell: Cell, plane: str, q_max: float = 7.0, orientation: str = "array") -> UserAxes:
    return UserAxes(cell, parse_plane_name(plane), q_max_inv_angstrom=q_max, orientation=orientation)


def test_ranges_are_those_of_pixel_centres() -> None:
    axes = UserAxes(TRICLINIC, parse_plane_name("h1l"), (-3, 3), (4, -4))
    grid = put_on_axes(MeasuredPlane(np.zeros((13, 17))), axes).grid
    assert isinstance(grid, PlaneGrid)
    # Pixel (0, 0) is h = -3, l = 4; pixel (12, 16) is h = 3, l = -4.
    a, b, c = TRICLINIC.reciprocal
    q = grid.plane.q_points()
    np.testing.assert_allclose(q[0, 0], -3 * a + b + 4 * c, atol=1e-12)
    np.testing.assert_allclose(q[12, 16], 3 * a + b - 4 * c, atol=1e-12)
    np.testing.assert_allclose(q[6, 10], 0 * a + b - 1 * c, atol=1e-12)


def test_a_square_picture_of_a_cubic_crystal_is_an_ordinary_grid() -> None:
    grid = put_on_axes(MeasuredPlane(np.zeros((256, 256))), by_q(CUBIC, "hk2", 2 * np.pi)).grid
    assert isinstance(grid, PlaneGrid)
    # |a*| = 2 pi / 5, so that q_max is h = 5, and a pixel 10 / 256.
    np.testing.assert_allclose(grid.rows[[0, 128]], [-5, 0], atol=1e-12)
    np.testing.assert_allclose(grid.steps, [10 / 256] * 2)
    own = plane_through(CUBIC, (0, 1), 2.0, 2 * np.pi)
    np.testing.assert_allclose(grid.plane.q_points()[3, 200], own.q_points()[3, 200], atol=1e-12)


@pytest.mark.parametrize("cell", [HEXAGONAL, TRICLINIC])
@pytest.mark.parametrize("name", ["hk1", "h-2l", "0.5kl"])
@pytest.mark.parametrize("pixels", [256, 101])
def test_a_square_picture_is_the_cartesian_plane_of_the_physics(cell: Cell, name: str, pixels: int) -> None:
    grid = put_on_axes(MeasuredPlane(np.zeros((pixels, pixels))), by_q(cell, name)).grid
    assert grid is not None
    plane = parse_plane_name(name)
    expected = plane_through(cell, plane.axes, plane.offset, 7.0, pixels).q_points()
    np.testing.assert_allclose(grid.plane.q_points(), expected, atol=1e-9)


def test_indices_of_named_pixels_of_a_hexagonal_crystal() -> None:
    grid = by_q(HEXAGONAL, "hk1").make_grid((256, 256))
    assert isinstance(grid.name, SpannedPlaneName) and grid.name.layer == parse_plane_name("hk1")
    length = float(np.linalg.norm(HEXAGONAL.reciprocal[0]))  # 0.8637 1/Angstrom
    step = 14 / 256
    # gamma* = 60 degrees: one step to the side is (-1/2, 1) of the axes' lengths, times 2/sqrt(3).
    hkl = grid.hkl()
    np.testing.assert_allclose(hkl[128, 128], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(hkl[148, 128], [20 * step / length, 0, 1], atol=1e-12)
    across = 20 * step / length * 2 / np.sqrt(3)
    np.testing.assert_allclose(hkl[128, 148], [-across / 2, across, 1], atol=1e-12)
    np.testing.assert_allclose(hkl @ HEXAGONAL.reciprocal, grid.plane.q_points(), atol=1e-12)
    np.testing.assert_allclose(grid.square(7.0).q_points(), grid.plane.q_points(), atol=1e-12)
    np.testing.assert_allclose(grid.name.vectors, [[1, 0, 0], [-0.5, 1, 0]], atol=1e-12)
    along = np.stack([grid.rows[148] * grid.vectors[0] + grid.columns[100] * grid.vectors[1]])
    np.testing.assert_allclose(
        grid.plane.q_points()[148, 100], along[0] + HEXAGONAL.reciprocal[2], atol=1e-12
    )


@pytest.mark.parametrize(
    ("cell", "name"), [(HEXAGONAL, "hk1"), (TRICLINIC, "hk1"), (TRICLINIC, "h-2l"), (TRICLINIC, "0.5kl")]
)
def test_rows_and_columns_make_up_the_indices(cell: Cell, name: str) -> None:
    grid = by_q(cell, name).make_grid((40, 40))
    assert isinstance(grid.name, SpannedPlaneName)
    layer = parse_plane_name(name)
    assert grid.name.layer == layer and grid.name.title == str(layer)
    first, second = layer.axes
    hkl = grid.hkl()
    shear = grid.name.vectors[1, first]
    np.testing.assert_allclose(hkl[7, 11, first], grid.rows[7] + shear * grid.columns[11], atol=1e-12)
    np.testing.assert_allclose(hkl[..., layer.fixed_axis], layer.offset)
    np.testing.assert_allclose(hkl[7, 11, second], grid.columns[11], atol=1e-12)
    np.testing.assert_allclose(hkl @ cell.reciprocal, grid.plane.q_points(), atol=1e-12)
    np.testing.assert_allclose(grid.steps, [grid.rows[1] - grid.rows[0], grid.columns[1] - grid.columns[0]])
    ours = np.stack(LatticePlane(cell, grid.plane, layer.axes).fractional_indices(), axis=-1)
    np.testing.assert_allclose(hkl[..., list(layer.axes)], ours, atol=1e-9)


def test_an_oblique_third_axis_leaves_the_plane_ordinary() -> None:
    # In h k 1 of a monoclinic crystal a* and b* are perpendicular, and the point 0 0 1 lies off the plane's normal.
    grid = by_q(MONOCLINIC, "hk1").make_grid((256, 256))
    assert isinstance(grid.name, PlaneName)
    np.testing.assert_allclose(grid.plane.q_points()[128, 128], MONOCLINIC.reciprocal[2], atol=1e-12)
    assert isinstance(by_q(MONOCLINIC, "h1l").make_grid((256, 256)).name, SpannedPlaneName)


def test_angles_off_by_less_than_a_quarter_pixel_are_right_angles() -> None:
    # Over 128 pixels 0.05 degrees are 0.11 pixels, 0.3 degrees 0.67.
    assert isinstance(by_q(Cell(5, 5, 5, 90, 90, 90.05), "hk0").make_grid((256, 256)).name, PlaneName)
    assert isinstance(by_q(Cell(5, 5, 5, 90, 90, 90.3), "hk0").make_grid((256, 256)).name, SpannedPlaneName)


def test_pictures_have_their_first_axis_to_the_right_and_the_second_up() -> None:
    picture = np.arange(12.0).reshape(3, 4)  # row 0 is the top
    axes = UserAxes(CUBIC, parse_plane_name("hk0"), (0, 3), (10, 12), orientation="picture")
    measured = put_on_axes(MeasuredPlane(picture, sigma=picture + 100), axes)
    assert measured.grid is not None and measured.grid.shape == (4, 3)
    # The lower left pixel is h = 0, k = 10; the upper right one h = 3, k = 12.
    assert measured.intensity[0, 0] == picture[2, 0] and measured.intensity[3, 2] == picture[0, 3]
    assert measured.sigma is not None and measured.sigma[3, 2] == 103
    np.testing.assert_array_equal(measured.grid.columns, [10, 11, 12])


def test_an_oblique_picture_goes_to_the_networks_and_back() -> None:
    """A Cartesian picture of 256 pixels that reaches as far as the networks' grid keeps its pixels."""
    random = np.random.default_rng(1)
    plane = random.uniform(1, 2, (256, 256))
    measured = put_on_axes(MeasuredPlane(plane), by_q(HEXAGONAL, "hk1"))
    shown, target = to_network_grid(measured)
    np.testing.assert_array_equal(shown, plane)
    assert target is not None and measured.grid is not None and target is measured.grid.plane
    np.testing.assert_array_equal(to_user_grid(shown, target, measured.grid), plane)


def test_an_oblique_picture_shows_what_an_oblique_volume_shows() -> None:
    """Smooth intensity on both kinds of pixels, of one crystal, lies in the same places."""

    def intensity(hkl: np.ndarray) -> np.ndarray:
        return 2 + np.cos(2 * np.pi * hkl[..., 0] / 3) + 0.5 * np.sin(2 * np.pi * hkl[..., 1] / 4)

    grid = by_q(TRICLINIC, "hk1").make_grid((300, 300))
    assert isinstance(grid.name, SpannedPlaneName)
    oblique = PlaneGrid(TRICLINIC, parse_plane_name("hk1"), np.linspace(-3, 3, 121), np.linspace(-3, 3, 121))
    hkl = np.stack([*np.meshgrid(oblique.rows, oblique.columns, indexing="ij"), np.ones((121, 121))], -1)
    brought = resample(intensity(grid.hkl()), grid.plane, oblique.plane)
    # Bilinear: step^2 / 8 times the curvature, with steps of 0.05 and curvatures up to 4.4.
    np.testing.assert_allclose(brought, intensity(hkl), atol=3e-3)


def test_descriptions_name_the_axes_and_the_two_pi() -> None:
    words = by_q(HEXAGONAL, "0kl").make_grid((64, 64)).describe()
    assert words.startswith("plane 0kl: rows k from")  # b* and c* are perpendicular
    words = by_q(HEXAGONAL, "hk0").make_grid((64, 64)).describe()
    assert words.startswith("plane hk0: rows [h 0 0] from -8.10453 to 7.85127 (64 pixels)")
    assert "columns [-0.5k k 0] from -9.35831 to 9.06586" in words
    assert words.endswith("Q = 2 pi (h a* + k b* + l c*)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected either both ranges .* or q_max"),
        ({"first_range": (0, 1)}, "expected either both ranges"),
        (
            {"first_range": (0, 1), "second_range": (0, 1), "q_max_inv_angstrom": 7.0},
            "expected either both ranges",
        ),
        (
            {"first_range": (1, 1), "second_range": (0, 1)},
            r"the range of axis h is \(1, 1\); expected two different finite",
        ),
        (
            {"first_range": (0, np.nan), "second_range": (0, 1)},
            "the range of axis h is .*; expected two different finite",
        ),
        ({"q_max_inv_angstrom": 0.0}, "q_max is 0.0; expected a positive"),
        ({"q_max_inv_angstrom": np.inf}, "q_max is inf; expected a positive"),
        ({"q_max_inv_angstrom": 7.0, "orientation": "upright"}, "orientation is 'upright'; expected"),
    ],
)
def test_invalid_axes_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        UserAxes(CUBIC, parse_plane_name("hk0"), **options)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(
        InputError, match=r"the picture has \(30, 40\) pixels; expected a square picture with q_max"
    ):
        put_on_axes(MeasuredPlane(np.zeros((30, 40))), by_q(CUBIC, "hk0"))
    with pytest.raises(InputError, match=r"the picture has \(1, 40\) pixels; expected two or more"):
        put_on_axes(
            MeasuredPlane(np.zeros((1, 40))), UserAxes(CUBIC, parse_plane_name("hk0"), (0, 1), (0, 1))
        )
    placed = put_on_axes(MeasuredPlane(np.zeros((8, 8))), by_q(CUBIC, "hk0"))
    with pytest.raises(InputError, match="this file already defines its axes; remove the axis options"):
        put_on_axes(placed, by_q(CUBIC, "hk0"))
