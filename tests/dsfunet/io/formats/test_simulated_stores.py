"""Our own simulations: a plane of a store is read like a measured one, converted, and read again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from dsfunet.cli.main import main
from dsfunet.data.store import open_store
from dsfunet.errors import InputError
from dsfunet.io import ReadOptions, read_plane
from dsfunet.io.fourth_axis import Coordinates
from dsfunet.io.open_volumes import list_coordinates
from dsfunet.planes.names import PlaneName


def options(number: int) -> ReadOptions:
    return ReadOptions(at=Coordinates("plane", (float(number),)))


def test_planes_lie_where_they_were_simulated(tiny_store: Path) -> None:
    path = tiny_store / "train.zarr"
    store = open_store(path)
    for number in range(len(store)):
        plane, sample = read_plane(path, options=options(number)), store.sample(number)
        assert plane.grid is not None
        first, second = store.metadata("plane_axes")[number]
        turned = first > second and isinstance(plane.grid.name, PlaneName)  # a plane kh is read as hk
        intensity = plane.intensity.T if turned else plane.intensity
        np.testing.assert_array_equal(np.isfinite(intensity), sample.mask)
        np.testing.assert_allclose(intensity[sample.mask], sample.scattering[sample.mask], atol=1e-6)
        cell = store.metadata("cell")[number]
        np.testing.assert_allclose(plane.grid.cell.parameters, cell)
        # Lengths of Q do not depend on the frame; axes that are almost perpendicular count as perpendicular.
        origin, step_u, step_v = store.metadata("plane")[number]
        u, v = np.meshgrid(np.arange(256) - 128, np.arange(256) - 128, indexing="ij")
        q = origin + u[..., None] * step_u + v[..., None] * step_v
        found = plane.grid.plane.q_squared()
        np.testing.assert_allclose(found.T if turned else found, (q**2).sum(axis=-1), rtol=0, atol=0.25)


def test_planes_are_converted_and_read_again(tiny_store: Path, tmp_path: Path) -> None:
    path = tiny_store / "validation.zarr"
    for number, suffix in enumerate((".nxs", ".npz", ".h5")):
        before = read_plane(path, options=options(number))
        assert before.grid is not None
        target = tmp_path / f"plane{suffix}"
        if suffix == ".h5" and not hasattr(before.grid.name, "fixed_axis"):
            continue  # Yell's layout has no planes spanned by other vectors
        assert main(["convert", str(path), str(target), "--at", f"plane={number}"]) == 0
        after = read_plane(target)
        np.testing.assert_allclose(after.intensity, before.intensity, rtol=1e-6)
        assert after.grid is not None
        np.testing.assert_allclose(after.grid.hkl(), before.grid.hkl(), atol=1e-9)
        np.testing.assert_allclose(after.grid.cell.parameters, before.grid.cell.parameters)


def test_the_number_of_the_plane_is_asked_for(tiny_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_store / "train.zarr"
    with pytest.raises(
        InputError, match=r"train.zarr: a store of 12 simulated planes; choose one, such as --at plane=0"
    ):
        read_plane(path)
    with pytest.raises(InputError, match=r"--at plane=99: the file holds"):
        read_plane(path, options=options(99))
    assert list_coordinates(path, "plane", ReadOptions()) == tuple(range(12))
    assert main(["inspect", str(path)]) == 0
    assert "plane: 0 to 11; choose one with --at plane=11" in capsys.readouterr().out


def test_other_folders_are_refused(tiny_store: Path, tmp_path: Path) -> None:
    zarr.create_group(store=tmp_path / "other.zarr", zarr_format=3)
    with pytest.raises(InputError, match=r"other.zarr: not a finished store of simulated planes"):
        read_plane(tmp_path / "other.zarr", options=options(0))
    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(tiny_store / "validation.zarr", damaged)
    for name in ("form_factor", "scattering"):
        shutil.rmtree(damaged / name / "c", ignore_errors=True)
    with pytest.raises(
        InputError, match=r"damaged.zarr: plane 0 of the store is missing; its shard was deleted"
    ):
        read_plane(damaged, options=options(0))
