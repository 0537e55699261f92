"""What a user is told about a factorised plane."""

import numpy as np
import pytest

from dsfunet.factorize.notes import noise_notes
from dsfunet.lattice.joint_fit import fit_plane
from dsfunet.physics import Cell
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import PlaneName


@pytest.mark.parametrize(("excess", "unit", "told"), [(0.0, 1.0, False), (0.4, 1.0, True), (0.4, 0.3, False)])
def test_noise_beyond_that_of_counts_is_told(excess: float, unit: float, told: bool) -> None:
    axis = np.linspace(-3, 3, 91)
    h, k = np.meshgrid(axis, axis, indexing="ij")
    expected = 500 * np.exp(-(h**2 + k**2) / 9) * (1 - 0.4 * np.cos(2 * np.pi * h))
    random = np.random.default_rng(0)
    # Counts whose expectation scatters from pixel to pixel, with a variance of `excess` in that of counts.
    scattered = random.gamma(expected / excess, excess) if excess else expected
    counts = unit * random.poisson(scattered).astype(np.float64)
    grid, mask = PlaneGrid(Cell(4, 4, 4), PlaneName((0, 1), 0.0), axis, axis), np.full(counts.shape, True)
    notes = noise_notes(fit_plane(counts, mask, grid, most_harmonics=20), counts, mask)
    assert len(notes) == told
    if told:
        ratio = float(notes[0].split(" times that of counts")[0].split()[-1])
        assert ratio == pytest.approx(1 + excess, abs=0.08)
