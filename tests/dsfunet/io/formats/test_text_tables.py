"""Planes and volumes as text: tables, lists of h k l and intensity as Scatty writes them, CSV, nipl of DISCUS."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import read_plane
from dsfunet.physics import Cell
from tests.dsfunet.marked_volume import CELL, H, K, L, volume

VALUES = volume() + 500


def write_list(
    path: Path, head: str = "", separator: str = " ", sigma: bool = False, shuffle: bool = False
) -> Path:
    """A line for each voxel, l fastest."""
    rows = [
        [h, k, l, VALUES[a, b, c], *([2.5] if sigma else [])]
        for (a, h), (b, k), (c, l) in product(enumerate(H), enumerate(K), enumerate(L))  # noqa: E741
    ]
    if shuffle:
        rows = [rows[n] for n in np.random.default_rng(0).permutation(len(rows))][:-1]
    path.write_text(head + "".join(separator.join(f"{value:.6g}" for value in row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("head", "separator", "sigma"),
    [
        ("", " ", False),
        ("# h k l I\n", "\t", False),
        ("h,k,l,intensity,sigma\n", ",", True),
        ("! Scatty\n! h k l I(hkl)\n", "   ", False),
        ('"[H,0,0] (r.l.u.)"\t"[0,K,0]"\t"[0,0,L]"\tcounts\n', "\t", False),
        ("H;K;L;I\n", ";", False),
    ],
)
def test_lists_of_voxels(tmp_path: Path, head: str, separator: str, sigma: bool) -> None:
    path = write_list(tmp_path / "a.txt", head, separator, sigma)
    for name, part in (("hk1", VALUES[:, :, 4]), ("h0l", VALUES[:, 5]), ("-1kl", VALUES[2])):
        plane = read_plane(path, name, cell=Cell(*CELL))
        np.testing.assert_allclose(plane.intensity, part)
        assert (plane.sigma is not None) == sigma


def test_points_that_are_not_listed_are_missing(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.txt", "h k l I\n", shuffle=True)
    missing = sum(
        int(np.isnan(read_plane(path, f"h k {value:g}", cell=Cell(*CELL)).intensity).sum()) for value in L
    )
    assert missing == 1


def test_a_list_of_one_layer_names_it(tmp_path: Path) -> None:
    lines = [f"{h:.3f},{k:.3f},1.5,{VALUES[a, b, 0]:.4f}" for a, h in enumerate(H) for b, k in enumerate(K)]
    (tmp_path / "a.csv").write_text("h,k,l,I\n" + "\n".join(lines))
    plane = read_plane(tmp_path / "a.csv", cell=Cell(*CELL))
    assert plane.grid is not None and str(plane.grid.name) == "h k 1.5"
    np.testing.assert_allclose(plane.intensity, VALUES[:, :, 0])


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
def test_tables_are_planes_without_axes(tmp_path: Path, separator: str) -> None:
    values = np.random.default_rng(1).uniform(0, 9, (256, 256)).round(4)
    lines = [separator.join(f"{value}" for value in row) for row in values]
    if separator == ";":
        lines = [line.replace(".", ",") for line in lines]
    lines[3] = lines[3].replace(lines[3].split(separator)[5], "nan", 1)
    (tmp_path / "a.dat").write_text("# made by a script\n" + "\n".join(lines) + "\n")
    plane = read_plane(tmp_path / "a.dat")
    assert plane.grid is None and np.isnan(plane.intensity[3, 5])
    values[3, 5] = np.nan
    np.testing.assert_array_equal(plane.intensity, values)


def nipl(path: Path, values: np.ndarray, head: str = "") -> Path:
    """As KUPLOT writes it, five numbers a line; x is the first index of the array."""
    numbers = [f"{value:12.5E}" for value in values.T.ravel()]
    lines = [" ".join(numbers[n : n + 5]) for n in range(0, len(numbers), 5)]
    limits = f" {H[0]:.4f} {H[-1]:.4f} {K[0]:.4f} {K[-1]:.4f}"
    path.write_text(f"{head} {values.shape[0]} {values.shape[1]}\n{limits}\n" + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("head", ["", "# DISCUS\n# h0l\n"])
def test_nipl_of_discus(tmp_path: Path, head: str) -> None:
    values = VALUES[:, :, 1]
    path = nipl(tmp_path / "a.nipl", values, head)
    with pytest.raises(
        InputError, match=r"from -2 to 2 and from -2.5 to 2.5, but not which plane this is; name it"
    ):
        read_plane(path)
    for name in ("hk1", "h0l"):
        plane = read_plane(path, name, cell=Cell(*CELL))
        assert plane.grid is not None and str(plane.grid.name) == name
        np.testing.assert_allclose(plane.intensity, values, rtol=1e-5)
        np.testing.assert_allclose(plane.grid.rows, H)
        np.testing.assert_allclose(plane.grid.columns, K)


def test_a_list_of_x_y_and_intensity(tmp_path: Path) -> None:
    lines = [f"{h:.3f} {k:.3f} {VALUES[a, b, 0]:.4f}" for a, h in enumerate(H) for b, k in enumerate(K)]
    (tmp_path / "a.xyz").write_text("\n".join(lines))
    plane = read_plane(tmp_path / "a.xyz", "hk0", cell=Cell(*CELL))
    np.testing.assert_allclose(plane.intensity, VALUES[:, :, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5\n6 7 8\n", "a text whose line 2 has 2 numbers; expected 3 in every line"),
        (" 9 11\n 0 1 0 1\n 1 2 3\n", "a nipl file of 9 x 11 pixels with 3 values; expected 99"),
        (" 2 2\n 0 0 0 1\n 1 2 3 4\n", "a nipl file with the limits .*; expected x and y with some width"),
        (
            "h k l I\n0 0 0 1\n1 5 9 2\n2 7 3 4\n",
            "axis k from 0 to 7 is not evenly spaced; expected equal steps",
        ),
        ("1 2\n3 4\nx y\n", "a text in which not everything is a number"),
    ],
)
def test_texts_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=f"a.txt: {message}|no axes"):
        read_plane(tmp_path / "a.txt", "hk0", cell=Cell(*CELL))
