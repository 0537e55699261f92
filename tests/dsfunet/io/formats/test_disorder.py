"""Disorder scattering 1.0 and the unified format: two copies that are transposed against each other."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.io import open_volume, read_plane
from tests.dsfunet.marked_volume import AXES, CELL, check, volume

CUBE = tuple(-1.0 + 0.5 * np.arange(5) for _ in range(3))


def plain(path: Path, order: tuple[int, ...] = (0, 1, 2), indices: bool = True) -> Path:
    """Disorder scattering 1.0; the array's dimensions run along the given ones of h, k, l."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "Disorder scattering 1.0", "default": "scattering"})
        data = file.create_group("scattering/data")
        data.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["h", "k", "l"]})
        data["data"] = volume().transpose(order)
        for number, label in enumerate("hkl"):
            data[label] = AXES[number]
            if indices:
                data.attrs[f"{label}_indices"] = order.index(number)
        data["unit_cell"] = np.array(CELL)
    return path


def unified(path: Path, copies: str = "both", big_endian: bool = False) -> Path:
    """The unified format as RMCProfile and DISCUS write it."""
    real = ">f8" if big_endian else "<f8"
    with h5py.File(path, "w") as file:
        file.attrs["audit_conform_dict_name"] = "Disorder scattering"
        if copies in ("both", "entry"):
            entry = file.create_group("entry/data")
            entry["audit_conform_dict_name"] = np.bytes_(b"Disorder unified data")
            entry["data_type_axes"] = np.bytes_(b"hkl")
            entry["data_type_number"] = np.bytes_(b"real")
            entry["data_radiation"] = np.bytes_(b"neutron")
            entry["data_dimension"] = np.array([9, 11, 5], np.int32)
            entry["data_axes"] = np.array([1, 2, 3], np.int32)
            entry["data_corner"] = np.array([axis[0] for axis in AXES], real)
            entry["data_increment_vector"] = (0.5 * np.eye(3)).astype(real)
            entry["data_values"] = volume().astype(real)
            entry["unit_cell_lengths"] = np.array(CELL[:3], real)
            entry["unit_cell_angles"] = np.array(CELL[3:], real)
        if copies in ("both", "scattering"):
            data = file.create_group("scattering/data")
            data.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["h", "k", "l"]})
            data["data"] = volume().transpose(2, 1, 0).astype(real)
            for label, axis in zip("hkl", AXES, strict=True):
                data[label] = axis.astype(real)
            data["unit_cell_lengths"] = np.array(CELL[:3])
            data["unit_cell_angles"] = np.array(CELL[3:])
    return path


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_indices_say_which_dimension_is_h(tmp_path: Path, order: tuple[int, ...]) -> None:
    check(plain(tmp_path / "d.nx5", order))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_else_the_lengths_of_the_axes_do(tmp_path: Path, order: tuple[int, ...]) -> None:
    check(plain(tmp_path / "d.nx5", order, indices=False))


def test_indices_that_contradict_the_lengths(tmp_path: Path) -> None:
    path = plain(tmp_path / "d.nx5")
    with h5py.File(path, "a") as file:
        file["scattering/data"].attrs.update({"h_indices": 2, "l_indices": 0})
    measured = check(path)
    assert any("contradict the shape" in note for note in measured.notes)


@pytest.mark.parametrize("copies", ["both", "entry", "scattering"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_both_copies_of_the_unified_format(tmp_path: Path, copies: str, big_endian: bool) -> None:
    check(unified(tmp_path / "u.h5", copies, big_endian))


def cube(path: Path, **attributes: str) -> Path:
    """Lengths that cannot tell h from l; value[first, second, third] = 100 first + 10 second + third."""
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        data = file.create_group("scattering/data")
        data["data"] = volume(*CUBE)
        for label, axis in zip("hkl", CUBE, strict=True):
            data[label] = axis
        data["unit_cell"] = np.array(CELL)
    return path


def test_a_cube_without_indices(tmp_path: Path) -> None:
    """The plain format is [h, k, l], the copy of the unified one [l, k, h]; a note says which was assumed."""
    path = cube(tmp_path / "d.nx5", format="Disorder scattering 1.0")
    measured = read_plane(path, "hk0")
    np.testing.assert_allclose(measured.intensity, volume(*CUBE)[:, :, 2])
    assert any("[h, k, l] is assumed" in note for note in measured.notes)
    path = cube(tmp_path / "u.h5", audit_conform_dict_name="Disorder scattering")
    measured = read_plane(path, "hk0")
    np.testing.assert_allclose(measured.intensity, volume(*CUBE)[2].T)
    assert any("[l, k, h] is assumed" in note for note in measured.notes)


def test_limits_and_steps_instead_of_axes(tmp_path: Path) -> None:
    path = unified(tmp_path / "u.h5", "scattering")
    with h5py.File(path, "a") as file:
        data = file["scattering/data"]
        for label in "hkl":
            del data[label]
        data["lower_limits"] = np.array([axis[0] for axis in AXES])
        data["step_vectors"] = 0.5 * np.eye(3)
    check(path)


def test_a_section_whose_dimensions_are_not_in_order(tmp_path: Path) -> None:
    """Columns of data_increment_vector are the steps of the dimensions: here l, h, k."""
    path = unified(tmp_path / "u.h5", "entry")
    with h5py.File(path, "a") as file:
        entry = file["entry/data"]
        vectors = np.zeros((3, 3))
        vectors[[2, 0, 1], [0, 1, 2]] = 0.5
        entry["data_increment_vector"][...] = vectors
        del entry["data_values"]
        entry["data_values"] = volume().transpose(2, 0, 1)
        entry["data_dimension"][...] = [5, 9, 11]
    check(path)


def test_details_for_inspect(tmp_path: Path) -> None:
    with open_volume(unified(tmp_path / "u.h5")) as found:
        assert found.layout == "Disorder unified (Disorder scattering)"
        assert found.details["radiation"] == "neutron"


def setting(path: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            setting("entry/data/data_type_axes", "uvw"),
            "the axes of the data are uvw; expected scattering in reciprocal",
        ),
        (setting("entry/data/data_type_number", "complex"), "the data are complex numbers; expected real"),
        (
            setting("entry/data/data_dimension", [9, 9, 9]),
            r"data_values has shape \(9, 11, 5\); expected .*, as data_dimension states",
        ),
        (setting("entry/data/data_corner", [0.0]), "data_corner is .*; expected 3 finite numbers"),
        (
            setting("entry/data/data_increment_vector", np.ones((3, 3))),
            "column 0 of data_increment_vector is .*; expected a step along one of h, k and l",
        ),
        (setting("entry/data/data_values", np.zeros((9, 11))), r"has shape \(9, 11\); expected a volume"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path = unified(tmp_path / "u.h5", "entry")
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(InputError, match=message):
        read_plane(path, "hk0")


def test_a_structure_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.attrs["audit_conform_dict_name"] = "Disorder structure"
        file["entry/data/atom_position"] = np.zeros((4, 3))
    with pytest.raises(
        InputError, match="the file is a Disorder structure file without scattering; expected"
    ):
        read_plane(tmp_path / "s.h5", "hk0")
