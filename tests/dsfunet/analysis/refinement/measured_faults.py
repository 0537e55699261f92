"""Results whose measured intensities are those of virtual crystals of another forward model, with a known fault."""

import numpy as np
import numpy.typing as npt

from dsfunet.io import PlaneGrid, Result, parse_plane_name
from dsfunet.physics import Cell
from tests.virtual_crystals import CRYSTALS, Plane, correlate, measure
from tests.virtual_faults import Fault, measure_fault

Array = npt.NDArray[np.float64]


def result_of(plane: Plane, name: str) -> Result:
    """A plane hk0 of a crystal as a result, whose own components are not those of any network."""
    a, b, c, beta = CRYSTALS[name].cell
    grid = PlaneGrid(Cell(a, b, c, 90, beta, 90), parse_plane_name("hk0"), plane.rows, plane.columns)
    zeros = np.zeros(plane.counts.shape)
    return Result(plane.counts, plane.form_factor, plane.order, plane.expected, zeros, plane.mask, grid)


def faulty_result(
    name: str, fault: Fault | None, amount: float = 0.0, seed: int = 0, reach: float = 4.2
) -> Result:
    """A plane hk0 of a virtual crystal with a fault, or without one."""
    if fault is None:
        return result_of(measure(name, seed, reach=reach), name)
    return result_of(measure_fault(name, fault, amount, seed, reach=reach), name)


def true_correlation(name: str, vector: tuple[float, float]) -> float:
    """The layer's correlation of a vector in the plane a, b, counted from pairs of sites."""
    halves = (round(2 * vector[0]), round(2 * vector[1]))
    return correlate(name).layer_value(halves, (0, 1), 0.0)
