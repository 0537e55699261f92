"""Planes unlike those of training: what is said of them, and which are refused."""

from dataclasses import replace

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.factorize.trained_range import (
    FEWEST_PIXELS,
    SMALLEST_REACH,
    check_extent,
    check_range,
    trained_range_notes,
)
from dsfunet.io import MeasuredPlane, PlaneGrid
from dsfunet.io.oblique_planes import read_from_volume
from dsfunet.io.volume import Box, Volume, VolumeAxes
from dsfunet.physics import Cell
from dsfunet.planes.names import parse_plane
from dsfunet.planes.resampling import to_network_grid


def measured(reach: float, cell: Cell | None = None, pixels: int = 201, name: str = "hk0") -> MeasuredPlane:
    """A plane that reaches so far [1/Angstrom] along both axes of a cell that is cubic unless given."""
    cell = cell or Cell(5.0, 5.0, 5.0)
    grid = PlaneGrid(cell, parse_plane(name), np.linspace(-1, 1, pixels), np.linspace(-1, 1, pixels))
    rows, columns = (np.linspace(-1, 1, pixels) * reach / np.linalg.norm(vector) for vector in grid.vectors)
    return MeasuredPlane(np.ones((pixels, pixels)), PlaneGrid(cell, grid.name, rows, columns))


def notes(plane: MeasuredPlane, whole: bool = False) -> list[str]:
    return trained_range_notes(plane, to_network_grid(plane, whole)[1])


@pytest.mark.parametrize("reach", [4.0, 6.0, 7.0, 8.0])
def test_planes_like_those_of_training_go_without_saying(reach: float) -> None:
    assert notes(measured(reach)) == []
    check_range(measured(reach))


def test_of_a_wide_plane_it_is_said_how_much_is_looked_at() -> None:
    [note] = notes(measured(12.0))
    assert (
        note.startswith("the plane is 24.1 1/Angstrom wide")
        and "beyond it components come from the data alone" in note
    )
    [note] = notes(measured(12.0), whole=True)
    assert note.startswith("the networks process all 24.") and "the form factor is less certain" in note


def test_small_planes() -> None:
    [note] = notes(measured(SMALLEST_REACH + 0.2))
    assert (
        note.startswith("the plane is only 3.4 1/Angstrom wide") and "reliable from 6 1/Angstrom on" in note
    )
    with pytest.raises(
        InputError, match=r"measured part of the plane is 2.01 x 2.01 1/Angstrom wide; expected"
    ):
        check_range(measured(1.0))
    # What counts is where it was measured.
    plane = measured(7.0)
    corner = np.full((201, 201), np.nan)
    corner[:40, :40] = 1.0
    with pytest.raises(InputError, match="1/Angstrom wide; expected"):
        check_range(MeasuredPlane(corner, plane.grid))


def test_large_cells() -> None:
    # 11 Angstrom: a* = 0.57 1/Angstrom is 10.3 of 256 pixels over 14; 30 Angstrom has 3.8, 60 on 201 pixels 1.5.
    assert notes(measured(7.0, Cell(11.0, 11.0, 5.0))) == []
    [note] = notes(measured(7.0, Cell(30.0, 5.0, 5.0), pixels=401))
    assert note.startswith("a reciprocal cell is only 3.8 pixels wide on the networks' grid")
    [note] = notes(measured(7.0, Cell(60.0, 5.0, 5.0)))
    assert note.startswith("a reciprocal cell is only 1.5 pixels wide (at least 5 are needed)")
    assert "is not resolved" in note
    [note] = notes(measured(7.0, pixels=51))
    assert note.startswith("a reciprocal cell is only 4.5 pixels wide (at least") and "is uncertain" in note
    [note] = notes(measured(7.0, Cell(21.0, 21.0, 5.0), name="hhl"))
    # [1 1 0] of 21 Angstrom is 0.42 1/Angstrom long.
    assert note.startswith("a reciprocal cell is only 7.6 pixels wide on")


def test_too_few_pixels() -> None:
    with pytest.raises(
        InputError, match=rf"the plane has 400 measured pixels; expected {FEWEST_PIXELS} or more"
    ):
        check_range(measured(7.0, pixels=20))
    plane = np.full((256, 256), np.nan)
    plane[:10] = 1.0
    check_range(MeasuredPlane(plane))  # 2,560 of them, and where they lie nobody knows
    assert trained_range_notes(MeasuredPlane(plane), None) == []


def test_on_a_plane_that_no_lattice_vectors_span_nothing_is_said_of_cells() -> None:
    assert notes(measured(7.0, Cell(30.0, 41.0, 53.0), name="[1 0.37 0.1] [0 0.21 1]")) == []


def test_a_plane_out_of_range_is_refused_before_it_is_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dsfunet.factorize.pipeline.to_network_grid", lambda *_: pytest.fail("it was resampled")
    )
    grid = PlaneGrid(Cell(700, 900, 500), parse_plane("hk0"), np.linspace(-6, 6, 61), np.linspace(-6, 6, 61))
    with pytest.raises(InputError, match="1/Angstrom wide; expected 3 or more"):
        factorize_plane(MeasuredPlane(np.ones((61, 61)), grid))


def test_a_plane_that_is_too_small_is_refused_before_it_is_read() -> None:
    """Interpolating millions of pixels takes minutes, and their places are known before."""

    def read(box: Box) -> np.ndarray:
        pytest.fail(f"the voxels {box} were read")

    axes = VolumeAxes((-0.2, -0.2, -0.2), (1e-4, 1e-4, 1e-4), (4001, 4001, 4001))
    volume = Volume("a test", axes, read, Cell(7, 9, 5))
    for name in ("hhl", "hk0"):
        with pytest.raises(InputError, match="1/Angstrom wide; expected 3 or more"):
            read_from_volume(volume, parse_plane(name), check_extent)
    spanned = replace(volume, axes=replace(axes, counts=(4001, 4001, 1)), spanned=parse_plane("hhl"))
    with pytest.raises(InputError, match="1/Angstrom wide; expected 3 or more"):
        read_from_volume(spanned, None, check_extent)
    coarse = replace(volume, axes=VolumeAxes((-2.0, -2.0, 0.0), (0.2, 0.2, 1.0), (21, 21, 3)))
    with pytest.raises(InputError, match=f"the plane has 441 pixels; expected {FEWEST_PIXELS} or more"):
        read_from_volume(coarse, parse_plane("hk1"), check_extent)
