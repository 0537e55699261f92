"""Correlations of virtual crystals with noise of a known covariance, and the files of volumes that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsfunet.analysis.volume_refinement import VolumeCorrelations
from dsfunet.io.volume_results import VOLUMES, create_volume_result
from dsfunet.physics import Cell
from tests.virtual_crystals import HALVES, correlate

Array = npt.NDArray[np.float64]
Halves = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Truth:
    """What a crystal has, made symmetric.

    Attributes:
        cell: its conventional cell.
        centring: P, I or F.
        vectors: in halves of the edges, one of each pair r and -r, in order of length, shape (k, 3).
        alphas: shape (k,).
    """

    cell: Cell
    centring: str
    vectors: npt.NDArray[np.int64]
    alphas: Array

    def alpha(self, vector: Halves) -> float:
        """Return the alpha of a vector in halves of the edges."""
        same = (self.vectors == vector).all(axis=1) | (self.vectors == np.negative(vector)).all(axis=1)
        return float(self.alphas[same][0])

    def measured(self, seed: int, sigma: float = 0.002, factor: float = 1.0) -> VolumeCorrelations:
        """Return alphas with correlated noise; `factor` times the covariance that they state."""
        count = len(self.alphas)
        of_covariance = np.random.default_rng(99)
        common = of_covariance.normal(size=(count, 8)) / np.sqrt(8)
        sizes = sigma * of_covariance.uniform(0.7, 1.5, count)
        covariance = (0.6 * np.eye(count) + 0.4 * common @ common.T) * np.outer(sizes, sizes)
        noise = np.random.default_rng(seed).multivariate_normal(np.zeros(count), covariance)
        return VolumeCorrelations(
            self.cell,
            self.centring,  # type: ignore[arg-type]
            self.vectors / 2,
            self.alphas + factor * noise,
            covariance,
            np.zeros(count),
            {"chi_squared": 1.01, "measured_share": 0.93, "centring_from": "file", "laue": None},
        )


def symmetric_truth(name: str, radius_angstrom: float, operations: Sequence[npt.NDArray[np.int64]]) -> Truth:
    """Return the pair correlations of a virtual crystal, averaged over some operations.

    Args:
        name: of the crystal.
        radius_angstrom: length of the longest vector.
        operations: matrices on the components of vectors.
    """
    found = correlate(name)
    a, b, c, beta = found.crystal.cell
    cell = Cell(a, b, c, 90, beta, 90, centring=found.crystal.centring)  # type: ignore[arg-type]
    reach = np.ceil(2 * radius_angstrom / np.array([a, b, c * np.sin(np.radians(beta))]) + 1).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    sites = {tuple(np.array(each) % 2) for each in HALVES[found.crystal.centring]}
    grid = np.array(
        [each for each in grid.tolist() if tuple(np.mod(each, 2)) in sites and tuple(each) > (0, 0, 0)]
    )
    lengths = np.linalg.norm(grid / 2 @ cell.direct, axis=1)
    order = np.argsort(lengths, kind="stable")
    grid = grid[order[lengths[order] <= radius_angstrom + 1e-6]]
    images = np.stack([grid @ operation.T for operation in operations])
    shape = np.array(found.alphas.shape)
    alphas = found.alphas[tuple(np.moveaxis(images % shape, -1, 0))].mean(axis=0)
    return Truth(cell, found.crystal.centring, grid, alphas)


def cubic_operations() -> list[npt.NDArray[np.int64]]:
    """Return the 48 operations of m-3m."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            matrix = np.zeros((3, 3), np.int64)
            matrix[range(3), order] = signs
            found.append(matrix)
    return found


def monoclinic_operations() -> list[npt.NDArray[np.int64]]:
    """Return the operations of 2/m with axis b that are not pairs r and -r."""
    return [np.eye(3, dtype=np.int64), np.diag([1, -1, 1])]


def write_volume_result(path: Path, correlations: VolumeCorrelations, factor: float = 1.0) -> Path:
    """Write a small file like those of `dsfunet factorize --volume`; `factor` multiplies its I_SRO."""
    axes = {label: np.arange(-15, 16) / 6 for label in "hkl"}
    h, k, l = np.meshgrid(*axes.values(), indexing="ij")  # noqa: E741
    order = np.ones(h.shape)
    for (i, j, m), alpha in zip(correlations.vectors, correlations.alphas, strict=True):
        order += 2 * alpha * np.cos(2 * np.pi * (h * i + k * j + l * m))
    record = {"centring": correlations.centring, **correlations.record}
    written = replace(correlations, record=record)
    with create_volume_result(path, (axes["h"], axes["k"], axes["l"]), written, {}) as writer:
        writer.write(slice(None), {name: factor * order for name in VOLUMES})
    return path
