"""Form factor and correlations of a layer from its measured intensities alone, without networks or a structure.

The joint fit of `dsfunet.lattice.joint_fit` gives the form factor and as many harmonics of I_SRO as the data settle.
Harmonics that the Laue class ties together are then combined into one correlation by generalised least squares.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import JointFit, fit_plane
from dsfunet.physics.centring import Centring
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.result import Result

_SAME_HARMONIC = 1e-4
_POOR_CHI_SQUARED = 1.1
_DISAGREEMENT = 3.0


def fit_result(result: Result, grid: PlaneGrid, centring: Centring) -> JointFit:
    """Fit both factors to the measured intensities of a result.

    Args:
        result: of a factorisation; its own form factor and short-range order are not used.
        grid: of its pixels, with the cell of the lattice.
        centring: lattice type of the sites.

    Raises:
        InputError: as `dsfunet.lattice.joint_fit.fit_plane`.
    """
    mask = result.mask & np.isfinite(result.input)
    return fit_plane(np.where(mask, result.input, 0.0).astype(np.float64), mask, grid, centring)


def use_joint_fit(refinement: Refinement, joint: JointFit, grid: PlaneGrid) -> tuple[Refinement, list[str]]:
    """Return a refinement of one layer with the correlations, errors and fit quality of a joint fit, and notes.

    Args:
        refinement: of the layer's orbits with the form factor of the joint fit.
        joint: the joint fit of the same pixels.
        grid: of the pixels.

    Raises:
        InputError: an orbit has a vector beyond the harmonics that the data settle.
    """
    alphas, covariance, reduced = combine_harmonics(joint, refinement.orbits, grid.name.layer.axes)
    whole = np.zeros_like(refinement.covariance)
    whole[0, 0] = refinement.covariance[0, 0]
    whole[1:, 1:] = covariance
    [plane] = refinement.planes
    pixels = plane.pixels
    plane = replace(
        plane,
        scale=1.0,
        calculated=joint.short_range_order,
        degrees_of_freedom=float(pixels),
        chi_squared=joint.chi_squared * pixels,
        pixel_chi_squared=None,
    )
    notes = [
        f"form factor and {joint.harmonics.count} harmonics of I_SRO are fitted jointly to the measured plane, without"
        " the networks; uncertainties and chi-squared are those of that fit, R and wR2 those of the listed vectors"
        " alone"
    ]
    if joint.chi_squared > _POOR_CHI_SQUARED:
        notes.append(
            f"chi-squared is {joint.chi_squared:.2f} per pixel: the plane is not a smooth form factor times a function"
            " that repeats on this lattice, so do not trust these values"
        )
    if reduced > _DISAGREEMENT:
        notes.append(
            "correlations that the Laue class makes equal differ by more than their errors (chi-squared"
            f" {reduced:.1f} per degree of freedom): the symmetry may be lower"
        )
    return replace(refinement, alphas=alphas, covariance=whole, planes=(plane,)), notes


def combine_harmonics(
    joint: JointFit, orbits: Sequence[Orbit], axes: tuple[int, int]
) -> tuple[Array, Array, float]:
    """Combine the harmonics of a joint fit into one correlation for each orbit, by generalised least squares.

    Args:
        joint: of the layer.
        orbits: of its in-plane harmonics (`dsfunet.physics.layer_orbits`).
        axes: numbers of the two axes of the layer.

    Returns:
        The correlations, shape (k,); their covariance, shape (k, k), enlarged where equivalent harmonics disagree; and
        chi-squared per degree of freedom of that agreement, 1 where nothing is equivalent.

    Raises:
        InputError: an orbit has a vector beyond the harmonics of the fit.
    """
    indices, count = joint.harmonics.indices, joint.harmonics.count
    sine_row = {int(place): count + row for row, place in enumerate(joint.harmonics.with_sine)}
    design = np.zeros((len(joint.parameters), len(orbits)))
    for column, orbit in enumerate(orbits):
        coefficients = np.ones(len(orbit.vectors)) if orbit.coefficients is None else orbit.coefficients
        for vector, coefficient in zip(orbit.components[:, list(axes)], coefficients, strict=True):
            near = np.abs(indices - vector).max(axis=1) < _SAME_HARMONIC
            if not near.any():
                # One of each pair p, -p is listed; the harmonic at -p is the conjugate of that at p.
                if not (np.abs(indices + vector).max(axis=1) < _SAME_HARMONIC).any():
                    raise InputError(
                        f"vector {orbit.name}: the data settle harmonics up to {joint.harmonics.lengths.max():.1f}"
                        " Angstrom only; choose fewer shells or shorter vectors"
                    )
                continue
            [place] = np.flatnonzero(near)
            design[place, column] = np.real(coefficient)
            if place in sine_row:
                design[sine_row[int(place)], column] = np.imag(coefficient)
    used = design.any(axis=1)
    design, values = design[used], joint.parameters[used]
    weights = np.linalg.inv(joint.covariance[np.ix_(used, used)])
    covariance = np.asarray(np.linalg.inv(design.T @ weights @ design), np.float64)
    alphas: Array = covariance @ design.T @ weights @ values
    left = values - design @ alphas
    degrees = len(values) - len(orbits)
    reduced = float(left @ weights @ left) / degrees if degrees else 1.0
    enlarged: Array = covariance * max(1.0, reduced)
    return alphas, enlarged, reduced
