"""Files in the layouts of neighbouring programs, read, converted to each of our layouts, and read again.

The layouts follow the sources of the programs and of published converters between them. Every crystal is triclinic
where the layout allows it, so that the frames of Cartesian axes matter, and the truth is a function of h, k, l.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError
from dsfunet.io import MeasuredPlane, read_plane
from dsfunet.physics import Cell

RIGHT = Cell(5.0, 6.5, 8.0)
OBLIQUE = Cell(5.0, 6.5, 8.0, 84.0, 101.0, 112.0)
H, K, L = np.linspace(-2, 2, 17), np.linspace(-2.5, 2.5, 21), np.linspace(-1, 1, 9)


def scattering(h: np.ndarray, k: np.ndarray, l: np.ndarray) -> np.ndarray:  # noqa: E741
    """A smooth function that no axis or direction can be exchanged in."""
    return np.asarray(500 + 90 * np.cos(2 * h) + 40 * np.sin(k) + 20 * h * l + 5 * k)


def volume() -> np.ndarray:
    return scattering(H[:, None, None], K[:, None], L)


def text_of(cell: Cell) -> str:
    return " ".join(map(str, cell.parameters))


def check_plane(plane: MeasuredPlane, name: str, atol: float = 2e-3) -> None:
    assert plane.grid is not None and str(plane.grid.name) == name
    h, k, l = np.moveaxis(plane.grid.hkl(), -1, 0)  # noqa: E741
    known = np.isfinite(plane.intensity)
    assert known.mean() > 0.4
    np.testing.assert_allclose(plane.intensity[known], scattering(h, k, l)[known], atol=atol)


def check_round_trip(path: Path, cell: Cell, options: tuple[str, ...] = (), atol: float = 2e-3) -> None:
    """Check planes of a volume, and of what `dsfunet convert` makes of it in each layout."""
    for name in ("hk1", "h0l", "1kl"):
        check_plane(read_plane(path, name, cell=cell if options else None), name, atol)
    for suffix in (".h5", ".nxs", ".npz"):
        target = path.with_name(f"converted{suffix}")
        assert main(["convert", str(path), str(target), *options]) == 0
        for name in ("hk1", "h0l", "1kl"):
            before = read_plane(path, name, cell=cell if options else None)
            after = read_plane(target, name)
            np.testing.assert_array_equal(after.intensity, before.intensity)
            assert after.grid is not None and before.grid is not None
            np.testing.assert_allclose(after.grid.rows, before.grid.rows, atol=1e-12)
            np.testing.assert_allclose(after.grid.columns, before.grid.columns, atol=1e-12)
            np.testing.assert_allclose(after.grid.cell.parameters, cell.parameters, rtol=1e-9)


def scatty(path: Path, title: str, origin: np.ndarray, spacing: np.ndarray, values: np.ndarray) -> Path:
    """STRUCTURED_POINTS in ASCII with six decimals, x fastest."""
    counts = " ".join(map(str, values.shape))
    numbers = ("".join(f"{number:12.6f}" for number in each) for each in (origin, spacing))
    head = f"# vtk DataFile Version 2.0\n{title}\nASCII\nDATASET STRUCTURED_POINTS\nDIMENSIONS {counts}\n"
    head += "ORIGIN {}\nSPACING {}\n".format(*numbers)
    head += f"POINT_DATA {values.size}\nSCALARS intensity float\nLOOKUP_TABLE default\n"
    path.write_text(head + "\n".join(f"{value:.8e}" for value in values.transpose(2, 1, 0).ravel()) + "\n")
    return path


def scatty_in_q(path: Path) -> Path:
    """ORIGIN is the corner in Q with 2 pi, and SPACING the lengths of the steps."""
    lengths = np.linalg.norm(RIGHT.reciprocal, axis=1)
    origin = np.array([H[0], K[0], L[0]]) * lengths
    spacing = np.array([H[1] - H[0], K[1] - K[0], L[1] - L[0]]) * lengths
    return scatty(path, "SrTiO3 diffuse scattering", origin, spacing, volume())


def test_scatty_writes_q_and_not_indices(tmp_path: Path) -> None:
    path = scatty_in_q(tmp_path / "a_sc.vtk")
    with pytest.raises(
        InputError, match="with --cell a cell that lies with a along x and b in the x-y plane"
    ):
        read_plane(path, "hk0")
    check_round_trip(path, RIGHT, ("--cell", text_of(RIGHT)))
    plane = read_plane(path, "hk1", cell=RIGHT)
    assert plane.grid is not None and any("of Scatty or Spinteract" in note for note in plane.notes)
    np.testing.assert_allclose(plane.grid.rows, H, atol=1e-9)
    lengths = np.linalg.norm(RIGHT.reciprocal, axis=1)
    flat = scatty(
        tmp_path / "b_sc.vtk",
        "x diffuse scattering",
        np.array([H[0], K[0], -L[0]]) * lengths,
        np.array([H[1] - H[0], K[1] - K[0], 0.0]) * lengths,
        volume()[:, :, 8:],
    )
    check_plane(read_plane(flat, cell=RIGHT), "hk1")


def test_a_turned_grid_of_scatty_is_refused(tmp_path: Path) -> None:
    """CENTRE 0 0 0, X_AXIS 6 6 0, Y_AXIS 0 0 8.4853: the file holds no directions."""
    a = 2 * np.pi / 4
    origin = a * np.array([-6, -6, -8.4853])
    spacing = a * np.array([6 * np.sqrt(2) / 10, 8.4853 / 8, 0])
    path = scatty(tmp_path / "a.vtk", "hhl diffuse scattering", origin, spacing, np.ones((21, 17, 1)))
    with pytest.raises(InputError, match=r"whose grid does not run along x, y and z.*_list.txt"):
        read_plane(path, cell=Cell(4, 4, 4))


@pytest.mark.parametrize(
    "title", ["RMC diffuse intensity (HKL grid)", "a diffuse scattering - supercell Bragg peaks"]
)
def test_titles_of_grids_over_h_k_l(tmp_path: Path, title: str) -> None:
    steps = np.array([H[1] - H[0], K[1] - K[0], L[1] - L[0]])
    path = scatty(tmp_path / "a.vtk", title, np.array([H[0], K[0], L[0]]), steps, volume())
    check_round_trip(path, OBLIQUE, ("--cell", text_of(OBLIQUE)), atol=1e-4)
    assert not any("--ub" in note for note in read_plane(path, "hk0", cell=OBLIQUE).notes)


def test_a_grid_of_unknown_meaning_can_be_told(tmp_path: Path) -> None:
    steps = np.array([H[1] - H[0], K[1] - K[0], L[1] - L[0]])
    path = scatty(tmp_path / "a.vtk", "of a script", np.zeros(3), steps, volume())
    assert any(
        "--ub, and if they are others, --array-axes" in n for n in read_plane(path, "hk0", cell=RIGHT).notes
    )
    axes = ("--array-axes", "h -2 2, k -2.5 2.5, l -1 1", "--cell", text_of(RIGHT))
    assert main(["convert", str(path), str(tmp_path / "b.h5"), *axes]) == 0
    check_plane(read_plane(tmp_path / "b.h5", "hk1"), "hk1", atol=1e-4)
    matrix = " ".join(f"{number:.9g}" for number in (RIGHT.reciprocal.T / (2 * np.pi)).ravel())
    in_q = scatty(
        tmp_path / "c.vtk",
        "of a script",
        np.array([H[0], K[0], L[0]]) @ RIGHT.reciprocal,
        steps @ RIGHT.reciprocal,
        volume(),
    )
    assert main(["convert", str(in_q), str(tmp_path / "d.h5"), "--ub", matrix]) == 0
    check_plane(read_plane(tmp_path / "d.h5", "hk1"), "hk1")


def test_the_list_that_scatty_writes_beside_it(tmp_path: Path) -> None:
    lines = [
        f"{h:12.6f}{k:12.6f}{l:12.6f}{value:16.6f}"
        for (a, b, c), value in np.ndenumerate(volume())
        for h, k, l in [(H[a], K[b], L[c])]  # noqa: E741
    ]
    path = tmp_path / "a_list.txt"
    path.write_text("\n".join(lines) + "\n")
    check_round_trip(path, OBLIQUE, ("--cell", text_of(OBLIQUE)), atol=1e-4)


def rmcprofile(path: Path, cell: Cell, head: str) -> Path:
    """Q has a along x; the second section is an equivalent; one voxel is marked by 0."""
    second = head.endswith("2")
    lines = [head.format(volume().size)]
    for (a, b, c), value in np.ndenumerate(volume().transpose(2, 1, 0)):
        q = np.array([H[c], K[b], L[a]]) @ cell.reciprocal
        numbers = [f"{number:.7f}" for number in (*q, *(-q if second else ()))]
        lines.append(f"{c + 1} {b + 1} {a + 1} {' '.join(numbers)} {value:.7E}")
    lines[5] = f"{lines[5].rsplit(' ', 1)[0]} 0.0"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("cell", [RIGHT, OBLIQUE])
@pytest.mark.parametrize("head", ["{} 2", "{} 1 0.98 3.5"])
def test_text_of_rmcprofile(tmp_path: Path, cell: Cell, head: str) -> None:
    path = rmcprofile(tmp_path / "a.dat", cell, head)
    check_round_trip(path, cell, ("--cell", text_of(cell)))
    plane = read_plane(path, "h k -1", cell=cell)
    assert np.count_nonzero(np.isnan(plane.intensity)) == 1
    assert any("1 have the intensity 0, which marks them" in note for note in plane.notes)


def discus_yell(path: Path) -> None:
    """As DISCUS writes Yell's layout: big-endian, is_direct = 256, general steps."""
    with h5py.File(path, "w") as file:
        file["format"], file["PROGRAM"] = "Yell 1.0", "DISCUS"
        file["data"] = volume().astype(">f8")
        file["is_direct"] = np.array(256, ">i4")
        file["lower_limits"] = np.array([H[0], K[0], L[0]], ">f8")
        steps = np.diag([H[1] - H[0], K[1] - K[0], L[1] - L[0]])
        file["step_sizes"] = np.diag(steps).astype(">f8")
        for name, step in zip(("step_sizes_abs", "step_sizes_ord", "step_sizes_top"), steps, strict=True):
            file[name] = step.astype(">f8")
        file["unit_cell"] = np.array(OBLIQUE.parameters, ">f8")


def unified(path: Path) -> None:
    """As RMCProfile and DISCUS write the unified format: two copies, transposed against each other."""
    with h5py.File(path, "w") as file:
        file.attrs["audit_conform_dict_name"] = "Disorder unified data"
        entry = file.create_group("entry/data")
        entry["data_values"] = volume()
        entry["data_type_axes"], entry["data_type_number"] = "hkl", "real"
        entry["data_corner"] = [H[0], K[0], L[0]]
        entry["data_increment_vector"] = np.diag([H[1] - H[0], K[1] - K[0], L[1] - L[0]])
        entry["unit_cell_lengths"], entry["unit_cell_angles"] = OBLIQUE.parameters[:3], OBLIQUE.parameters[3:]
        file["scattering/data/data"] = volume().transpose(2, 1, 0)


def discord_input(path: Path) -> None:
    """The NeXus file that rmc-discord reads: axes Q1, Q2, Q3 or [H,0,0] of Mantid, bin edges."""
    with h5py.File(path, "w") as file:
        data = file.create_group("MDHistoWorkspace/data")
        data["signal"], data["errors_squared"] = volume().transpose(2, 1, 0), volume().transpose(2, 1, 0)
        for name, axis in zip(("[H,0,0]", "[0,K,0]", "[0,0,L]"), (H, K, L), strict=True):
            step = axis[1] - axis[0]
            data[name] = np.append(axis, axis[-1] + step) - step / 2
        lattice = file.create_group("MDHistoWorkspace/experiment0/sample/oriented_lattice")
        lattice["orientation_matrix"] = OBLIQUE.reciprocal.T / (2 * np.pi)


@pytest.mark.parametrize("write", [discus_yell, unified, discord_input])
def test_hdf5_of_neighbours(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "a.nxs")
    check_round_trip(tmp_path / "a.nxs", OBLIQUE, atol=1e-9)


def test_vtk_of_rmc_discord(tmp_path: Path) -> None:
    """A structured grid of points B (h, k, l), a* along x, without 2 pi."""
    reciprocal = OBLIQUE.reciprocal / (2 * np.pi)
    matrix = np.linalg.cholesky(reciprocal @ reciprocal.T).T
    h, k, l = (each.transpose(2, 1, 0).ravel() for each in np.meshgrid(H, K, L, indexing="ij"))  # noqa: E741
    points = np.stack([h, k, l], axis=1) @ matrix.T
    shape = f"{len(H)} {len(K)} {len(L)}"
    head = f"# vtk DataFile Version 5.1\nvtk output\nBINARY\nDATASET STRUCTURED_GRID\nDIMENSIONS {shape}\n"
    head += f"POINTS {h.size} double\n"
    data = f"\nPOINT_DATA {h.size}\nSCALARS intensity double\nLOOKUP_TABLE default\n"
    values = volume().transpose(2, 1, 0).ravel()
    (tmp_path / "a.vtk").write_bytes(
        head.encode() + points.astype(">f8").tobytes() + data.encode() + values.astype(">f8").tobytes()
    )
    check_round_trip(tmp_path / "a.vtk", OBLIQUE, ("--cell", text_of(OBLIQUE)), atol=1e-9)


def test_nipl_of_discus_keeps_its_values(tmp_path: Path) -> None:
    values = volume()[:, :, 8]
    numbers = "\n".join(f"{value:.9E}" for value in values.T.ravel())
    (tmp_path / "a.nipl").write_text(f"{len(H)} {len(K)}\n{H[0]} {H[-1]} {K[0]} {K[-1]}\n{numbers}\n")
    options = ["--plane", "hk1", "--cell", text_of(OBLIQUE)]
    for suffix in (".h5", ".nxs", ".npz"):
        target = tmp_path / f"b{suffix}"
        assert main(["convert", str(tmp_path / "a.nipl"), str(target), *options]) == 0
        check_plane(read_plane(target), "hk1", atol=1e-4)
