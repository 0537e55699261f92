"""A model file for Yell, the program that refines models of disorder against diffuse scattering or its 3D-dPDF.

The layout follows the reference manual of Yell 1.0: a preamble with cell, grid and Laue symmetry, the unit cell with a
Variant of the two species, and one group of correlations for each orbit. SubstitutionalCorrelation takes the joint
probability of A at both ends, c c + c (1 - c) alpha for a share c of A. Yell applies the Laue symmetry but does not
count equivalent pairs: Multiplicity is their number.
"""

import numpy as np

from dsfunet.analysis.exports.content import ExportedCorrelations, Site
from dsfunet.analysis.models.molecules import LabelledMolecule
from dsfunet.errors import InputError
from dsfunet.physics import Cell
from dsfunet.physics.centring import Vector
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

_LAUE = {
    ("m-3m", None): "m-3m",
    ("m-3", None): "m-3",
    ("6/mmm", None): "6/mmm",
    ("6/m", None): "6/m",
    ("4/mmm", None): "4/mmm",
    ("4/m", None): "4/m",
    ("mmm", None): "mmm",
    ("2/m", None): "2/m:b",
    ("2/m", "b"): "2/m:b",
    ("2/m", "c"): "2/m",
    ("-1", None): "-1",
}
"""Symbols of Yell by Laue class and unusual axis; others are written as -1 with every pair of vectors listed."""

_GRID_OF_VOLUMES = "-5 -5 -5  0.1 0.1 0.1  100 100 100"
_WHOLE = 1e-6


def write_yell(correlations: ExportedCorrelations) -> str:
    """Return the text of model.txt.

    Correlations of the layer of index 0 are written for a section through the origin of reciprocal space, which Yell
    treats as a projection of the crystal; their vectors have no component along the normal.

    Raises:
        InputError: the correlations are of another layer, or have sine parts.
    """
    site, fit, axis = correlations.required_site(), correlations.fit, correlations.summed_axis
    _check_layer(correlations)
    symbol = _LAUE.get((correlations.laue, correlations.unique_axis)) if axis is None else None
    lines = [
        f"# written by dsfunet refine from {correlations.source}",
        *(f"# WARNING: {warning}" for warning in correlations.warnings),
        "Cell " + " ".join(f"{value:.10g}" for value in correlations.cell.parameters),
        *_grid_lines(correlations.grid),
        f"LaueSymmetry {symbol or '-1'}",
        "Scale 1",
        "Refine false # true refines the values below against experiment.h5",
        f"c={site.concentration:.10g};",
        "RefinableVariables",
        "[",
        *(f"a{number}={value:.8g};" for number, value in enumerate(fit.alphas.tolist(), 1)),
        "]",
        "UnitCell",
        "[",
        *_variant_lines(site, correlations.cell),
        "]",
        "Correlations",
        "[",
        "  [(0,0,0)",
        "   Multiplicity 1",
        "   SubstitutionalCorrelation(V,V,c)]",
    ]
    for number, orbit in enumerate(fit.orbits, 1):
        for vector, multiplicity in _pairs(orbit, symbol is not None):
            lines += [
                f"  [({','.join(f'{float(each):.10g}' for each in vector)})",
                f"   Multiplicity {multiplicity}",
                f"   SubstitutionalCorrelation(V,V,c*c+c*(1-c)*a{number})]",
            ]
    return "\n".join([*lines, "]", ""])


def _check_layer(correlations: ExportedCorrelations) -> None:
    if correlations.summed_axis is None:
        return
    grid = correlations.grid
    assert grid is not None
    if abs(grid.name.layer.offset) > _WHOLE or any(orbit.is_sine for orbit in correlations.fit.orbits):
        raise InputError(
            f"--export yell: the correlations are of layer {grid.name}, and Yell has sections through the origin only;"
            " expected a layer of index 0 or alphas of a crystal"
        )


def _grid_lines(grid: PlaneGrid | None) -> list[str]:
    """Return the grid: that of a plane without its last pixels, because Yell takes even numbers, or a usual one."""
    if grid is None:
        return [f"DiffuseScatteringGrid {_GRID_OF_VOLUMES} # as in experiment.h5; set this to your data"]
    name = grid.name.layer
    lower, step, count = [name.offset] * 3, [1.0] * 3, [1] * 3
    for axis, values in zip(name.axes, (grid.rows, grid.columns), strict=True):
        even = len(values) - len(values) % 2
        lower[axis], step[axis], count[axis] = float(values[0]), float(values[1] - values[0]), even
    numbers = "  ".join(" ".join(f"{each:.10g}" for each in group) for group in (lower, step, count))
    return [f"DiffuseScatteringGrid {numbers}"]


def _variant_lines(site: Site, cell: Cell) -> list[str]:
    u_iso = site.b_iso_angstrom2 / (8 * np.pi**2)
    lines = ["  V=Variant", "  ["]
    for share, molecule in (("c", site.pair.first), ("1-c", site.pair.second)):
        lines += [f"    (p={share})", *_unit_lines(molecule, cell, u_iso)]
    return [*lines, "  ]"]


def _unit_lines(molecule: LabelledMolecule, cell: Cell, u_iso: float) -> list[str]:
    if not molecule.elements:
        return ["    Void"]
    fractional = molecule.positions_angstrom @ np.linalg.inv(cell.direct)
    atoms = [
        f"      {element} 1 {x:.6f} {y:.6f} {z:.6f} {u_iso:.6f}"
        for element, (x, y, z) in zip(molecule.elements, (fractional + 0.0).tolist(), strict=True)
    ]
    return ["    [", *atoms, "    ]"]


def _pairs(orbit: Orbit, by_symmetry: bool) -> list[tuple[Vector, int]]:
    """Return vectors with their multiplicities: one for the orbit, or one of each pair v and -v."""
    if by_symmetry:
        return [(orbit.representative, len(orbit.vectors))]
    half = [each for each in orbit.equivalents if next(x for x in each if x != 0) > 0]
    return [(each, 2) for each in half]
