"""Planes on other scales: that of DSFU-Net from -1 to 1, square roots and logarithms."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dsfunet.inspection.describe import inspect
from dsfunet.inspection.suspicious import find_suspicious_values
from dsfunet.io import MeasuredPlane, ReadOptions, read_plane
from dsfunet.io.scales import Scale, recognise_scale, undo_scale, undo_scale_of_sigma
from dsfunet.planes.preprocessing import spread


def scattering(pixels: int = 256) -> np.ndarray:
    """Intensities from 0 to 1, most of them below a quarter."""
    x = np.linspace(-7, 7, pixels)
    modulation = 1.5 - 0.5 * np.cos(7 * x)[:, None] - 0.4 * np.cos(9 * x)
    values = np.exp(-0.15 * (x[:, None] ** 2 + x**2)) * modulation
    return np.asarray((values - values.min()) / np.ptp(values))


def test_a_plane_of_dsfu_net_is_recognised_and_its_gaps_are_missing(tmp_path: Path) -> None:
    truth = scattering()
    values = spread(truth)
    values[100:110] = -1.0
    np.save(tmp_path / "test0.npy", values.astype(np.float32))
    plane = read_plane(tmp_path / "test0.npy")
    assert np.isnan(plane.intensity[100:110]).all()
    known = np.isfinite(plane.intensity)
    assert known.sum() == np.count_nonzero(values.astype(np.float32) > -1)
    np.testing.assert_allclose(plane.intensity[known], truth[known], atol=1e-6)
    assert "as in files of DSFU-Net" in plane.notes[0]
    assert any(
        "files of DSFU-Net" in text
        for label, text in inspect(tmp_path / "test0.npy").lines
        if label == "note"
    )


def test_a_linear_scale_from_minus_one_to_one_is_recognised(tmp_path: Path) -> None:
    """Half of the plane so close to -1 would be less than 1/2500 of the largest intensity on the other scale."""
    truth = scattering() ** 1.5
    np.save(tmp_path / "a.npy", (2 * truth - 1).astype(np.float32))
    plane = read_plane(tmp_path / "a.npy")
    known = np.isfinite(plane.intensity)
    np.testing.assert_allclose(plane.intensity[known], truth[known], atol=1e-6)
    assert "read as 2 x - 1" in plane.notes[0]


def test_the_scale_that_the_user_names_comes_first(tmp_path: Path) -> None:
    truth = scattering()
    np.save(tmp_path / "a.npy", 2 * truth - 1)
    centred = read_plane(tmp_path / "a.npy", options=ReadOptions(scale="centred"))
    known = np.isfinite(centred.intensity)
    assert known.mean() > 0.99
    np.testing.assert_allclose(centred.intensity[known], truth[known], atol=1e-12)
    linear = read_plane(tmp_path / "a.npy", options=ReadOptions(scale="linear"))
    np.testing.assert_array_equal(linear.intensity, 2 * truth - 1)


def test_other_planes_are_not_taken_for_those_of_dsfu_net(tmp_path: Path) -> None:
    for number, values in enumerate(
        (
            scattering(),
            spread(scattering()) * 1.001,
            np.sqrt(scattering()) * 2 - 1.5,
            -spread(scattering()),
            np.where(np.arange(256) % 5 < 3, -1.0, scattering()),  # intensities with gaps at -1
        )
    ):
        np.save(tmp_path / f"{number}.npy", values)
        assert np.array_equal(read_plane(tmp_path / f"{number}.npy").intensity, values)


@pytest.mark.parametrize("scale", ["sqrt", "log", "log10", "log1p"])
def test_roots_and_logarithms_of_counts_are_recognised_and_undone(tmp_path: Path, scale: Scale) -> None:
    counts = np.random.default_rng(1).poisson(1 + 400 * scattering()).astype(float)
    counts += {"log": 2, "log10": 1}.get(scale, 0)
    forward = {"sqrt": np.sqrt, "log": np.log, "log10": np.log10, "log1p": np.log1p}[scale]
    values = forward(counts).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    assert recognise_scale(values.astype(float)) == scale
    assert any(f"give --scale {scale}" in text for text in find_suspicious_values(MeasuredPlane(values)))
    assert any(
        label == "check" and f"--scale {scale}" in text for label, text in inspect(tmp_path / "a.npy").lines
    )
    plane = read_plane(tmp_path / "a.npy", options=ReadOptions(scale=scale))
    np.testing.assert_allclose(plane.intensity, counts, rtol=2e-6)


def test_intensities_are_not_taken_for_roots_or_logarithms() -> None:
    random = np.random.default_rng(2)
    for values in (
        scattering(),
        random.poisson(5, (64, 64)) * 1.0,
        random.normal(5, 1, (64, 64)),
        np.zeros((9, 9)),
    ):
        assert recognise_scale(values) is None


def test_logarithms_of_a_volume_are_undone_before_they_are_interpolated(tmp_path: Path) -> None:
    """Trilinear interpolation is exact for intensities linear in h, k, l, and not for their logarithms."""
    h = np.linspace(-4, 4, 33)
    intensity = 100 + 5 * h[:, None, None] - 3 * h[:, None] + 2 * h
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["format"], file["is_direct"], file["data"] = "Yell 1.0", False, np.log(intensity)
        file["lower_limits"], file["step_sizes"], file["unit_cell"] = (
            [-4.0] * 3,
            [0.25] * 3,
            [5.0, 6, 7, 90, 90, 90],
        )
    plane = read_plane(tmp_path / "v.h5", "[1 0 0] [0 1 0.5]", options=ReadOptions(scale="log"))
    assert plane.grid is not None and plane.interpolated
    expected = 100 + plane.grid.hkl() @ [5, -3, 2]
    np.testing.assert_allclose(plane.intensity, expected, rtol=1e-9)


@pytest.mark.parametrize("scale", ["spread", "centred", "sqrt", "log", "log10", "log1p"])
def test_uncertainties_follow_the_slope_of_the_scale(scale: Scale) -> None:
    values, step = np.linspace(0.1, 0.9, 9), 1e-6
    numeric = (undo_scale(values + step, scale) - undo_scale(values - step, scale)) / (2 * step)
    np.testing.assert_allclose(undo_scale_of_sigma(np.full(9, 0.5), values, scale), 0.5 * numeric, rtol=1e-6)
