"""The picture of a result."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from dsfunet.errors import InputError
from dsfunet.io import PlaneGrid, Result, parse_plane_name
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane
from dsfunet.plotting.result import draw_components, save_png

HEXAGONAL = PlaneGrid(
    Cell(14.12, 14.12, 6.934, 90, 90, 120),
    parse_plane_name("hk1"),
    np.linspace(-4, 4, 41),
    np.linspace(-3, 3, 31),
)


def make_result(grid: PlaneGrid | None = HEXAGONAL) -> Result:
    factor, order, noise = np.random.default_rng(6).uniform(0.1, 1, (3, 41, 31))
    measured = 900 * factor * order + 20 * (noise - 0.5)
    measured[:8] = np.nan
    product = 900 * factor * order
    return Result(measured, factor, order, product, measured - product, np.isfinite(measured), grid)


def texts(figure: Figure, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def test_panels_labels_and_scales() -> None:
    figure = draw_components(make_result())
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [
        "Measured scattering",
        "Form factor",
        "Short-range order",
        "Form factor \N{MULTIPLICATION SIGN} short-range order",
        "Measured \N{MINUS SIGN} product",
    ]
    norms = [axes.images[0].norm for axes in panels]
    assert (norms[0].vmin, norms[0].vmax) == (norms[3].vmin, norms[3].vmax)
    assert norms[4].vmin == -norms[4].vmax
    assert norms[0](norms[0].vmax / 4) == pytest.approx(0.5)  # a square root
    shown = texts(figure, 0)
    assert {"h (r.l.u.)", "k (r.l.u.)", "\N{MINUS SIGN}4", "0", "2"} <= set(shown)
    assert "hk1" in figure.get_suptitle() and "14.12" in figure.get_suptitle()


def test_an_oblique_grid_is_drawn_at_its_true_angle() -> None:
    figure = draw_components(make_result())
    figure.canvas.draw()
    axes = figure.axes[0]
    corner = axes.images[0].get_transform() - axes.transData
    length = np.linalg.norm(HEXAGONAL.cell.reciprocal[0])
    np.testing.assert_allclose(corner.transform((1, 0)), (length, 0), atol=1e-9)
    np.testing.assert_allclose(corner.transform((0, 1)), (length / 2, length * np.sqrt(3) / 2), atol=1e-9)


def test_a_plane_that_vectors_span_is_drawn_at_its_true_angle_with_its_own_labels() -> None:
    spanned = PlaneGrid(HEXAGONAL.cell, parse_plane("[1 1 0] [1 0 1]"), HEXAGONAL.rows, HEXAGONAL.columns)
    figure = draw_components(make_result(spanned))
    figure.canvas.draw()
    axes = figure.axes[0]
    to_paper = axes.images[0].get_transform() - axes.transData
    first, second = np.array([[1, 1, 0], [1, 0, 1]]) @ HEXAGONAL.cell.reciprocal
    along, across = to_paper.transform((1, 0)), to_paper.transform((0, 1))
    assert along @ along == pytest.approx(first @ first) and across @ across == pytest.approx(second @ second)
    assert along @ across == pytest.approx(first @ second)
    assert {"[h h 0] (r.l.u.)", "[k 0 k] (r.l.u.)"} <= set(texts(figure, 0)) or {
        "[h h 0] (r.l.u.)",
        "[l 0 l] (r.l.u.)",
    } <= set(texts(figure, 0))
    assert "[1 1 0] [1 0 1]" in figure.get_suptitle()


def test_pixels_without_a_grid_have_row_zero_on_top() -> None:
    figure = draw_components(make_result(None))
    axes = figure.axes[0]
    to_paper = axes.images[0].get_transform() - axes.transData
    np.testing.assert_allclose(to_paper.transform((3, 5)), (5, -3), atol=1e-9)
    assert {"row", "column"} <= set(texts(figure, 0))


def test_a_missing_pixel_is_grey_and_a_measured_one_is_not() -> None:
    figure = draw_components(make_result(None))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    axes = figure.axes[0]

    def colour(row: float, column: float) -> np.ndarray:
        x, y = axes.transData.transform((column, -row))
        return pixels[len(pixels) - 1 - round(y), round(x), :3] / 255

    np.testing.assert_allclose(colour(3, 15), 0.72, atol=0.01)
    assert np.ptp(colour(20, 15)) > 0.05


@pytest.mark.parametrize("grid", [HEXAGONAL, None])
def test_png(tmp_path: Path, grid: PlaneGrid | None) -> None:
    save_png(draw_components(make_result(grid)), tmp_path / "p.png", dots_per_inch=60)
    image = imread(tmp_path / "p.png")
    assert image.shape[1] == pytest.approx(5 * 3.1 * 60, abs=2)
    assert image[..., :3].std() > 0.1
    assert [each.name for each in tmp_path.iterdir()] == ["p.png"]


def test_nothing_measured_can_still_be_drawn(tmp_path: Path) -> None:
    empty = np.full((41, 31), np.nan)
    result = Result(empty, empty, empty, empty, empty, np.zeros((41, 31), bool), HEXAGONAL)
    save_png(draw_components(result), tmp_path / "p.png", dots_per_inch=40)


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        save_png(Figure(), tmp_path / "nowhere" / "p.png")
    with pytest.raises(InputError, match="this is a directory"):
        save_png(Figure(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_global_state() -> None:
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
