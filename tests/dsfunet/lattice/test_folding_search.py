"""Lattices that series with five harmonics miss: sharp order, small cells, and planes on which the networks fail."""

import numpy as np
import numpy.typing as npt
import pytest

from dsfunet.lattice.candidates import span_same_lattice
from dsfunet.lattice.folding import Folder
from dsfunet.lattice.folding_search import FoldingSearch
from dsfunet.lattice.search import find_lattice
from tests import virtual_crystals

Array = npt.NDArray[np.float64]
_PIXELS = 256

# Direct vectors [cycles per pixel], correlation length [cells] and ordering wave vector.
ORDERED = {
    "oblique": ([[0.05, 0.008], [-0.03, 0.066]], 3.0, (0.5, 0.5)),
    "hexagonal": ([[0.0452, 0.0], [-0.0226, 0.03914]], 3.0, (0.5, 0.0)),
    "centred": ([[0.03, 0.04], [0.03, -0.04]], 2.0, (0.5, 0.5)),
    "small cell": ([[0.0172, 0.003], [-0.003, 0.0172]], 1.2, (0.5, 0.5)),
    "sharp": ([[0.06, 0.005], [-0.004, 0.05]], 8.0, (0.5, 0.5)),
}


def _order(vectors: Array, reach: float, wave: tuple[float, float]) -> Array:
    """Return the sum of exp(-r / reach) cos 2 pi k.r over lattice vectors r, 0 or more, at all pixels."""
    far = int(7 * reach) + 1
    m, n = np.meshgrid(np.arange(-far, far + 1), np.arange(-far, far + 1), indexing="ij")
    metric = vectors / np.sqrt(abs(np.linalg.det(vectors)))
    alphas = np.exp(-np.linalg.norm(m[..., None] * metric[0] + n[..., None] * metric[1], axis=-1) / reach)
    alphas *= np.cos(2 * np.pi * (m * wave[0] + n * wave[1]))
    positions = np.arange(_PIXELS) - _PIXELS // 2
    first, second = (positions[:, None] * vector[0] + positions * vector[1] for vector in vectors)
    grid = 192
    table = np.zeros((grid, grid))
    np.add.at(table, (m % grid, n % grid), alphas)
    cell = np.fft.fft2(table).real
    places = [np.rint(phase * grid).astype(int) % grid for phase in (first, second)]
    return np.asarray(np.maximum(cell[places[0], places[1]], 0))


def _square_of_q() -> Array:
    positions = (np.arange(_PIXELS) - _PIXELS // 2) / _PIXELS
    return np.asarray(positions[:, None] ** 2 + positions**2)


def _count(intensity: Array, brightest: float) -> Array:
    return np.random.default_rng(3).poisson(intensity / intensity.max() * brightest).astype(np.float64)


@pytest.mark.parametrize("name", ORDERED)
def test_all_plane_lattices_are_found_without_networks(name: str) -> None:
    vectors = np.array(ORDERED[name][0])
    plane = _count(_order(vectors, *ORDERED[name][1:]) * np.exp(-6 * _square_of_q()), 500)
    mask = np.full(plane.shape, True)
    mask[:, 60:90] = mask[150:180] = False
    found = FoldingSearch(Folder(plane, mask)).search([])
    assert found is not None and span_same_lattice(found, vectors)


@pytest.mark.parametrize(("name", "sites"), [("F alloy", ((1, 0), (0, 1))), ("I alloy", ((1, 1), (1, -1)))])
def test_centred_crystals_repeat_on_the_projection_of_their_sites(
    name: str, sites: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    # 4.2 reciprocal cells on each side, with half as many or fewer zones; the networks see no order.
    reach = 4.2
    crystal = virtual_crystals.correlate(name)
    positions = (np.arange(_PIXELS) - _PIXELS // 2) * 2 * reach / _PIXELS
    order = crystal.order((0, 1), 0.0, positions, positions)
    indices = np.zeros((_PIXELS, _PIXELS, 3))
    indices[..., 0], indices[..., 1] = positions[:, None], positions
    plane = _count(virtual_crystals.contrast(crystal.crystal, indices) * order, 300)
    mask = np.full(plane.shape, True)
    smooth = (np.exp(-6 * _square_of_q()) * 0.9 + 0.05).astype(np.float32)
    noise = np.random.default_rng(1).random(plane.shape).astype(np.float32)
    found = find_lattice(plane, mask, smooth, noise)
    assert found is not None
    vectors = np.array(sites) / 2 * 2 * reach / _PIXELS
    assert span_same_lattice(np.asarray(np.linalg.inv(found.reciprocal_pixels).T), vectors)


@pytest.mark.parametrize("counts", [20.0, 1000.0])
def test_broad_blobs_are_no_lattice(counts: float) -> None:
    random = np.random.default_rng(5)
    positions = np.arange(_PIXELS)
    plane = np.full((_PIXELS, _PIXELS), 0.02)
    for row, column, width in zip(
        *random.uniform([[0], [0], [10]], [[256], [256], [30]], (3, 15)), strict=True
    ):
        plane += np.exp(-((positions[:, None] - row) ** 2 + (positions - column) ** 2) / (2 * width**2))
    plane = _count(plane, counts)
    mask = np.full(plane.shape, True)
    smooth = np.clip(Folder(plane, mask).smooth(6.0), 0, None)
    ratio = plane / np.maximum(smooth, 1e-3 * smooth.max())
    found = find_lattice(
        plane, mask, (smooth / smooth.max()).astype(np.float32), (ratio / ratio.max()).astype(np.float32)
    )
    assert found is None or not found.accepted
