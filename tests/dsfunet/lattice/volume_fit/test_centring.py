"""The centring that a volume shows, on crystals of another forward model."""

import numpy as np
import pytest

from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.averaging import Grid, add_overlap, read_voxels
from dsfunet.lattice.volume_fit.centring import find_centring_of_volume
from dsfunet.physics import Cell
from tests.virtual_volumes import measure_volume


@pytest.mark.slow
@pytest.mark.parametrize("name", ["P alloy", "I alloy", "F alloy"])
def test_a_volume_shows_its_centring(name: str) -> None:
    volume = measure_volume(name, 0, (2.0, 2.0, 2.0), (1 / 12, 1 / 12, 1 / 12))
    grid = Grid.of(volume.axes)
    voxels = add_overlap(read_voxels(grid, lambda block: volume.counts[block]), grid)
    assert find_centring_of_volume(voxels, Cell(4, 4, 4)).centring == name[0]


def test_a_volume_that_no_centring_explains_is_refused() -> None:
    axis = np.linspace(-2, 2, 41)
    random = np.random.default_rng(0)
    values = random.gamma(0.5, 200.0, (41, 41, 41))
    grid = Grid.of((axis, axis, axis))
    sigma = np.full(values.shape, 5.0)
    voxels = read_voxels(grid, lambda block: values[block], lambda block: sigma[block])
    with pytest.raises(InputError, match="centring: the volume does not tell it"):
        find_centring_of_volume(voxels, Cell(4.0, 4.0, 5.0, 90, 90, 120))
