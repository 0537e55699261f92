"""What `dsfunet inspect` prints and draws for volumes, pictures and results."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from dsfunet.errors import InputError
from dsfunet.inspection.describe import Inspection, inspect, inspect_file
from dsfunet.inspection.suspicious import find_suspicious_values
from dsfunet.io import MeasuredPlane, PlaneGrid, Result, UserAxes, parse_plane_name, write_result
from dsfunet.io.user_axes import put_on_axes
from dsfunet.physics import Cell
from dsfunet.plotting.plane import draw_plane
from tests.dsfunet.crysalis_files import write_layer

EXAMPLE = Path(__file__).parents[3] / "examples" / "cresol_benzene.h5"
HEXAGONAL = Cell(8.4, 8.4, 3.6, 90, 90, 120)


def said(found: Inspection, label: str) -> str:
    return "; ".join(text for name, text in found.lines if name == label)


def volume(
    path: Path, cell: tuple[float, ...] | None = (5, 6, 7, 90, 90, 90), big_endian: bool = False
) -> Path:
    """hk0 to hk2, half-integer layers between, of 11 x 9 x 5 voxels."""
    data = np.arange(11 * 9 * 5.0).reshape(11, 9, 5) + 1
    data[3, 4, 0], data[3, 5, 0], data[10, 2, 0] = np.nan, -4, 9000
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["data"] = data.astype(">f8") if big_endian else data
        file["lower_limits"] = [-2.5, -2, 0]
        file["step_sizes"] = [0.5, 0.5, 0.5]
        file["is_direct"] = False
        if cell:
            file["unit_cell"] = cell
    return path


def test_the_example_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_file(EXAMPLE, None, tmp_path / "a.png")
    text = capsys.readouterr().out
    assert "Yell 1.0" in text and "257 x 257 x 3 voxels along h, k, l, stored as [h, k, l]" in text
    assert "from -8 to 8 in steps of 0.0625 r.l.u. (257); |a*| = 0.8637" in text
    assert "8.4 8.4 3.6 Angstrom, 90 90 120 degrees; 220 Angstrom^3" in text
    assert "Q = 2 pi (h a* + k b* + l c*) includes the factor 2 pi" in text
    assert "3 layers, l from 0 to 1 in steps of 0.5 r.l.u.: hk0, hk1" in text
    assert "plane hk0: rows h from -8 to 8" in text and "20.4 % of the pixels (13491 NaN)" in text
    assert "measured from 0.324 to 6.9" in text
    assert f"wrote      {tmp_path / 'a.png'}" in text
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 500


def test_a_volume_and_its_suspicious_values(tmp_path: Path) -> None:
    found = inspect(volume(tmp_path / "v.h5"), "hk0")
    assert (
        said(found, "axis l")
        == "from 0 to 2 in steps of 0.5 r.l.u. (5); |c*| = 0.8976, so |Q| up to 1.8 1/Angstrom along it"
    )
    assert said(found, "planes").startswith(
        "5 layers, l from 0 to 2 in steps of 0.5 r.l.u.: hk0, hk1, hk2; 9 layers, k"
    )
    assert (
        said(found, "missing") == "2.0 % of the pixels (1 NaN, 1 negative)"
    )  # of 99: without them the median is 251
    assert said(found, "brightest") == "9000 at h k l = 2.5 -1 0; the median is 251"  # 246 without the two
    assert "negative pixels, down to -4, count as missing" in said(found, "check")
    assert "are Bragg peaks left" not in said(found, "check")  # 9000 is 20 times what the others reach
    assert "only 2.0 pixels per reciprocal cell along h; only 2.0 pixels" in said(found, "check")
    # hk0 spans a = 5, b = 6: the corner -2.5 -2 0 is the farthest pixel, 0 0 0 the nearest.
    assert said(found, "Q").startswith("|Q| from 0 to 3.78 1/Angstrom")


def test_half_a_plane_and_spikes_are_suspicious() -> None:
    plane = np.ones((60, 60))
    plane[5, 5] = 1000
    plane[10:20] = 0
    axes = UserAxes(Cell(5, 5, 5), parse_plane_name("hk0"), (0, 5), (-5, 5))
    odd = "; ".join(find_suspicious_values(put_on_axes(MeasuredPlane(plane), axes)))
    assert "17 % of the measured pixels are exactly 0" in odd
    brightest = "the brightest pixel is 1000 times as bright as 99 % of the pixels"
    assert f"{brightest}; are Bragg peaks left in the plane?" in odd
    assert "h from 0 to 5 is not centred on 0; the uncovered side" in odd and "k from" not in odd
    assert find_suspicious_values(MeasuredPlane(np.full((3, 3), np.nan))) == [
        "the plane has no measured pixel"
    ]
    assert find_suspicious_values(MeasuredPlane(np.full((3, 3), 7.0))) == ["all measured pixels are 7"]


def test_only_the_requested_plane_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsfunet.io.volume import VolumeAxes

    sizes: list[int] = []
    read = VolumeAxes.read

    def counting(self: VolumeAxes, dataset: h5py.Dataset, box: tuple[slice, slice, slice]) -> np.ndarray:
        values = read(self, dataset, box)
        sizes.append(values.size)
        return values

    monkeypatch.setattr(VolumeAxes, "read", counting)
    inspect(EXAMPLE, "hk1").draw()
    assert sizes == [257 * 257]


@pytest.mark.parametrize("plane", [None, "hk1"])
def test_a_volume_without_a_cell_is_shown_all_the_same(tmp_path: Path, plane: str | None) -> None:
    found = inspect(volume(tmp_path / "v.h5", None), plane)
    assert said(found, "cell") == "none: the file has no unit cell"
    assert said(found, "plane").startswith(f"plane {plane or 'hk0'}: rows h from -2.5 to 2.5")
    axes = found.draw().axes[0]
    assert {"h (r.l.u.)", "k (r.l.u.)"} <= {text.get_text() for text in axes.texts}
    assert axes.images[0].get_array().shape == (9, 11)


def test_planes_that_are_not_there(tmp_path: Path) -> None:
    path = volume(tmp_path / "v.h5")
    with pytest.raises(
        InputError, match="plane hk7: the volume has no such layer; choose one with l = 0 to 2"
    ):
        inspect(path, "hk7")
    with pytest.raises(
        InputError, match="plane hk7: the volume has no such layer; choose one with l = 0 to 2"
    ):
        inspect(volume(tmp_path / "w.h5", None), "hk7")
    np.save(tmp_path / "p.npy", np.ones((5, 5)))
    with pytest.raises(InputError, match="the file is a plane without axes; remove --plane 'hk0'"):
        inspect(tmp_path / "p.npy", "hk0")
    (tmp_path / "t.txt").write_text("1 2 3\n")
    with pytest.raises(
        InputError, match=r"the file begins with b'1 2 3.*'; expected a .npy plane, an HDF5 volume, a .npz"
    ):
        inspect(tmp_path / "t.txt")


@pytest.mark.parametrize(
    ("kind", "layout"), [("npy", ".npy"), ("npz", ".npz"), ("tif", "TIFF"), ("png", "PNG")]
)
def test_pictures(tmp_path: Path, kind: str, layout: str) -> None:
    values, path = np.arange(1, 1201, dtype=np.uint16).reshape(30, 40), tmp_path / f"p.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "npz":
        np.savez(path, values)
    else:
        Image.fromarray(values).save(path)
    found = inspect(path)
    assert f"picture ({layout})" in said(found, "file")
    assert said(found, "plane").startswith(
        "30 rows and 40 columns, no axes and no cell; a plane of other than 256 x 256"
    )
    assert said(found, "brightest").startswith("1200 at row 29, column 39")
    labels = {text.get_text() for text in found.draw().axes[0].texts}
    assert {"row", "column"} <= labels


def test_a_layer_of_an_oblique_crystal(tmp_path: Path) -> None:
    counts = np.random.default_rng(2).poisson(30, (200, 220)) + 1
    counts[150, 40] = 5000
    found = inspect(write_layer(tmp_path / "layer.img", counts, HEXAGONAL))
    assert said(found, "file").split(": ")[1].startswith("layer of reciprocal space, unwarped by CrysAlisPro")
    assert "rows [h 0 0] from" in said(found, "plane")
    # Pixel x = 40, y = 150 from the centre 109.5, 99.5, in steps of 2 / (0.8 220) 1/Angstrom; |a*| = 1 / (8.4 sin 60).
    step, length = 2 / (0.8 * 220), 1 / (8.4 * np.sqrt(3) / 2)
    k = 50.5 * step / (length * np.sqrt(3) / 2)
    h = -69.5 * step / length - k / 2
    assert said(found, "brightest").startswith(f"5000 at h k l = {h:.3f} {k:.2f} 1;")
    assert found.draw().axes[0].get_title() == "layer.img: plane hk1"


def test_an_oblique_picture_is_drawn_upright_and_numbered_along_its_edge() -> None:
    axes = UserAxes(HEXAGONAL, parse_plane_name("hk0"), q_max_inv_angstrom=7.0)
    measured = put_on_axes(MeasuredPlane(np.ones((64, 64))), axes)
    grid = measured.grid
    assert grid is not None
    figure = draw_plane(measured, "a picture")
    figure.canvas.draw()
    image = figure.axes[0].images[0]
    to_paper = (image.get_transform() - figure.axes[0].transData).get_matrix()
    # Perpendicular, and as long as one unit of h, and of k perpendicular to it.
    np.testing.assert_allclose(to_paper[0, 1], 0, atol=1e-12)
    lengths = np.linalg.norm(HEXAGONAL.reciprocal[0]) * np.array([1, np.sqrt(3) / 2])
    np.testing.assert_allclose(np.diag(to_paper)[:2], lengths, rtol=1e-9)
    left, right, bottom, top = image.get_extent()
    # The lower left corner lies half a pixel before pixel (0, 0) both ways.
    hkl = grid.hkl()
    corner = hkl[0, 0] - (hkl[1, 0] - hkl[0, 0]) / 2 - (hkl[0, 1] - hkl[0, 0]) / 2
    np.testing.assert_allclose(left * grid.name.vectors[0] + bottom * grid.name.vectors[1], corner, atol=1e-9)
    np.testing.assert_allclose([right - left, top - bottom], 64 * np.array(grid.steps), atol=1e-9)


def result(grid: PlaneGrid | None = None) -> Result:
    shown = np.random.default_rng(0).uniform(1, 2, (5, 30, 20)).astype(np.float32)
    shown[0, :3] = np.nan
    process = {"weights": "release", "weights_sha256": "abcdef0123456789", "lattice_mode": "used (wR2 0.03)",
               "r_factor": 0.062, "source": "v.h5", "plane": "hk1", "scale": 3.5}  # fmt: skip
    return Result(*shown, np.isfinite(shown[0]), grid, process)


def test_results_of_our_own(tmp_path: Path) -> None:
    grid = PlaneGrid(HEXAGONAL, parse_plane_name("hk1"), np.linspace(-3, 3, 30), np.linspace(-2, 2, 20))
    write_result(tmp_path / "r.nxs", result(grid), "2024-05-06T07:08:09+00:00")
    found = inspect(tmp_path / "r.nxs")
    assert "result of dsfunet" in said(found, "file")
    assert said(found, "made from") == "v.h5, hk1, 2024-05-06T07:08:09+00:00"
    assert said(found, "weights") == "release abcdef012345"
    assert said(found, "lattice") == "used (wR2 0.03)"
    assert said(found, "R").startswith("the product leaves 6.2 %")
    assert said(found, "holds") == "input, form_factor, short_range_order, product, residual, mask"
    assert said(found, "record") == "scale = 3.5"
    assert said(found, "missing") == "10.0 % of the pixels (60 NaN)"
    assert len([axes for axes in found.draw().axes if axes.get_title()]) == 5
    assert inspect(tmp_path / "r.nxs", "form_factor").draw().axes[0].get_title() == "r.nxs: form factor"
    inspect(tmp_path / "r.nxs", "residual").draw()
    with pytest.raises(InputError, match="the result has no plane 'hk1'; expected one of input, form_factor"):
        inspect(tmp_path / "r.nxs", "hk1")


def test_a_picture_never_overwrites_the_file_itself(tmp_path: Path) -> None:
    path = volume(tmp_path / "v.h5")
    before = path.read_bytes()
    with pytest.raises(InputError, match="this is the inspected file; give another name"):
        inspect_file(path, None, path)
    with pytest.raises(InputError, match="does not exist"):
        inspect_file(path, None, tmp_path / "nowhere" / "a.png")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "values", [(1e308, 1.7e308), (5e-324, 1e-320), (np.inf, -np.inf), (-1.0, -2.0), (0.0, 0.0)]
)
def test_numbers_beyond_any_picture(tmp_path: Path, values: tuple[float, float]) -> None:
    plane = np.full((20, 30), values[0])
    plane[::2] = values[1]
    np.save(tmp_path / "p.npy", plane)
    found = inspect(tmp_path / "p.npy")
    try:
        found.draw()
    except InputError as error:
        assert "the brightest pixel is" in str(error)


def test_damaged_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    write_result(tmp_path / "r.nxs", result())
    random, path = np.random.default_rng(3), tmp_path / "damaged.h5"
    contents = [(tmp_path / "r.nxs").read_bytes(), volume(tmp_path / "v.h5").read_bytes()]
    refused = 0
    for turn in range(60):
        damaged = bytearray(contents[turn % 2])
        for place_ in random.integers(8, min(len(damaged), 6000), 12):
            damaged[place_] = random.integers(256)
        if turn % 4 > 1:
            damaged = damaged[: random.integers(8, len(damaged))]
        path.write_bytes(damaged)
        try:
            inspect(path)
        except InputError as error:
            refused += 1
            assert str(error)
    assert refused > 30


def test_a_plane_that_vectors_span(tmp_path: Path) -> None:
    inspect_file(EXAMPLE, "[1 1 0] [1 -1 0] + [0 0 1]", tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()
    found = inspect(volume(tmp_path / "v.h5"), "hhl")
    # h = k = -2 to 2, where the volume ends, l = 0 to 2.
    assert said(found, "plane").startswith(
        "plane hhl: rows [h h 0] from -2 to 2 (9 pixels), columns [0 0 l] from 0 to 2"
    )
    with pytest.raises(InputError, match='the file has no unit cell; give one with --cell "a b c'):
        inspect(volume(tmp_path / "w.h5", cell=None), "hhl")
