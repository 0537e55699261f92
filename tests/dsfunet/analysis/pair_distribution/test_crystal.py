"""The map of a virtual crystal shows its pair correlations, with the right signs and heights."""

from functools import lru_cache
from pathlib import Path

import gemmi
import numpy as np
import pytest

from dsfunet.analysis.pair_distribution import PairDistribution, PairDistributionSettings, pair_distribution
from tests.dsfunet.analysis.pair_distribution.volumes import Array, write_yell
from tests.virtual_crystals import CRYSTALS, contrast, correlate

NAME, STEP, REACH = "F alloy", 1 / 16, 44
EDGE = CRYSTALS[NAME].cell[0]
CELL = (EDGE, EDGE, EDGE, 90.0, 90.0, 90.0)
VECTORS = [(1, 1, 0), (2, 0, 0), (2, 2, 0), (3, 1, 0), (2, 2, 2), (4, 0, 0), (1, 1, 2)]
"""Vectors in halves of the edges."""


@lru_cache(maxsize=1)
def volume() -> tuple[Array, Array]:
    """Return I_SRO and the contrast |f_A - f_B|^2 on a grid of (2 REACH + 1)^3 voxels."""
    indices = np.arange(-REACH, REACH + 1) * STEP
    alphas = correlate(NAME).alphas
    steps = np.fft.fftfreq(alphas.shape[0], 1 / alphas.shape[0])
    waves = np.exp(1j * np.pi * np.outer(indices, steps))
    order = np.einsum("ha,kb,lc,abc->hkl", waves, waves, waves, alphas, optimize=True).real
    grid = np.stack(np.meshgrid(indices, indices, indices, indexing="ij"), axis=-1)
    return order, contrast(CRYSTALS[NAME], grid)


def transform(path: Path, values: Array, **settings: object) -> PairDistribution:
    lower, steps = (-REACH * STEP,) * 3, (STEP,) * 3
    file = write_yell(path / "volume.h5", values, lower, steps, CELL)
    return pair_distribution(file, PairDistributionSettings(**settings))  # type: ignore[arg-type]


def value_at(found: PairDistribution, place: Array) -> float:
    """Return the value of the voxel at u, v, w, which must be its centre."""
    numbers = [round(x / axis.real_step) for x, axis in zip(place, found.axes, strict=True)]
    assert np.allclose([n * axis.real_step for n, axis in zip(numbers, found.axes, strict=True)], place)
    return float(found.values[tuple(n + axis.reach for n, axis in zip(numbers, found.axes, strict=True))])


def test_peaks_of_short_range_order_are_its_alphas(tmp_path: Path) -> None:
    """Divided by P(0), the peaks of a pure cosine series at lattice vectors are its coefficients."""
    found = transform(tmp_path, volume()[0], scale="origin", resolution="0.0625 cells")
    for vector in VECTORS:
        # Neighbouring peaks reach 0.5 % into each other.
        assert value_at(found, np.array(vector) / 2) == pytest.approx(
            correlate(NAME).count_pairs(vector), abs=0.004
        )


def test_map_of_the_intensity_is_the_sum_of_all_pairs(tmp_path: Path) -> None:
    """P(r) is the sum over vectors v of alpha_v g(r - v), with g by a radial integral of contrast and window."""
    order, strength = volume()
    found = transform(tmp_path, order * strength, resolution="0.0625 cells")
    s = np.linspace(0, found.window.radius_inv_angstrom / (2 * np.pi), 4000)
    gold, copper = (
        np.array([gemmi.Element(name).it92.calculate_sf(float(x) ** 2 / 4) for x in s])
        for name in ("Au", "Cu")
    )
    profile = (gold - copper) ** 2 * np.exp(-2 * CRYSTALS[NAME].b_iso * s**2 / 4)
    profile *= np.exp(np.log(0.01) * (s / s[-1]) ** 2)
    alphas = correlate(NAME).alphas
    n = alphas.shape[0]
    halves = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * 3, indexing="ij"), axis=-1) / 2
    kept = np.abs(alphas) > 1e-5
    for place in (*(np.array(v) / 2 for v in VECTORS), np.zeros(3), np.array([0.25, 0.25, 0.0])):
        distance = EDGE * np.linalg.norm(place - halves[kept], axis=-1)
        near = distance < 8
        g = [
            4 * np.pi * np.trapezoid(profile * s**2 * np.sinc(2 * s * r), s) for r in distance[near].tolist()
        ]
        expected = float(np.sum(alphas[kept][near] * g))
        assert value_at(found, place) == pytest.approx(expected, abs=3e-4 * found.at_origin)


def test_signs_are_those_of_the_pairs(tmp_path: Path) -> None:
    order, strength = volume()
    found = transform(tmp_path, order * strength, resolution="0.0625 cells")
    for vector in ((1, 1, 0), (2, 0, 0), (2, 2, 0), (3, 1, 0)):
        counted = correlate(NAME).count_pairs(vector)
        assert abs(counted) > 0.015
        assert np.sign(value_at(found, np.array(vector) / 2)) == np.sign(counted)
