"""Form factor and correlations of a layer from its measured intensities alone, without networks or a structure.

The joint fit of `dsfunet.lattice.joint_fit` gives the form factor and as many harmonics of I_SRO as the data settle.
Harmonics that the Laue class ties together are then combined into one correlation by generalised least squares.
"""

import json
from collections.abc import Sequence

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.analysis.formatting import with_uncertainty
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.equivalents import (
    DISAGREEMENT,
    combine_equivalents,
    note_disagreement,
)
from dsfunet.analysis.refinement.fit import FittedPlane, Refinement
from dsfunet.analysis.refinement.misfit import r_factor_of_noise
from dsfunet.analysis.refinement.reach import SIGNIFICANT
from dsfunet.analysis.refinement.vectors import lattice_vectors_of
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import JointFit, fit_plane
from dsfunet.lattice.joint_fit.resolution import Resolution
from dsfunet.physics.centring import Centring
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid
from dsfunet.planes.names import AnyPlaneName
from dsfunet.planes.result import Result, count_repeats

_SAME_HARMONIC = 1e-4
_POOR_CHI_SQUARED = 1.1


def fit_result(
    result: Result, grid: PlaneGrid, centring: Centring, resolution: Resolution | None = None
) -> JointFit:
    """Fit both factors to the measured intensities of a result.

    Args:
        result: of a factorisation; its own form factor and short-range order are not used.
        grid: of its pixels, with the cell of the lattice.
        centring: lattice type of the sites.
        resolution: of the plane, with the thickness of its layer; None for sharp pixels.

    Raises:
        InputError: as `dsfunet.lattice.joint_fit.fit_plane`.
    """
    mask = _measured(result)
    intensity = np.where(mask, result.input, 0.0).astype(np.float64)
    return fit_plane(intensity, mask, grid, centring, resolution=resolution)


def select_settled(
    joint: JointFit, orbits: Sequence[Orbit], name: AnyPlaneName
) -> tuple[list[Orbit], list[str]]:
    """Return the orbits whose harmonics are all in a joint fit, and the names of the others.

    Args:
        joint: of the layer.
        orbits: of its in-plane harmonics.
        name: of the plane, along two axes of the cell or spanned by two vectors of such a layer.

    Raises:
        InputError: there is no such orbit.
    """
    kept, left_out = [], []
    for orbit in orbits:
        if has_harmonics(joint, orbit, name):
            kept.append(orbit)
        else:
            left_out.append(orbit.name)
    if not kept:
        raise InputError(
            f"{_settled(joint)}, which no vector of the nearest shells has; expected a plane with more or finer pixels"
        )
    return kept, left_out


def has_harmonics(joint: JointFit, orbit: Orbit, name: AnyPlaneName) -> bool:
    """Return whether all in-plane harmonics of an orbit are in a joint fit; `name` is that of the plane."""
    return all(_find(joint, vector) is not None for vector in _project(orbit, name))


def note_left_out(joint: JointFit, names: Sequence[str]) -> str:
    """Return a sentence about shells that were not refined."""
    return f"{_settled(joint)}, so these vectors of the nearest shells are left out: {', '.join(names)}"


def refine_layer(
    joint: JointFit, orbits: Sequence[Orbit], result: Result, plane: PlaneData
) -> tuple[Refinement, list[str]]:
    """Return the correlations of a layer from a joint fit, with the quality of that fit, and notes.

    Args:
        joint: of the measured pixels of the result.
        orbits: of the layer's in-plane harmonics (`dsfunet.physics.layer_orbits`).
        result: with the measured intensities.
        plane: the data of the result, for its grid and zones.

    Raises:
        InputError: an orbit has a vector beyond the harmonics that the data settle.
    """
    alphas, covariance, reduced = combine_harmonics(joint, orbits, plane.grid.name)
    # The mean of I_SRO over its repeat is 1, so that the scale of the series is exactly 1.
    whole = np.zeros((1 + len(alphas), 1 + len(alphas)))
    whole[1:, 1:] = covariance * _count_repeats(result)
    used = _measured(result) & (joint.intensity > 0)
    measured = result.input[used].astype(np.float64)
    residuals = measured - joint.intensity[used]
    known = joint.form_factor > 0
    weights = 1 / joint.variance[used]
    pixels = int(np.count_nonzero(used))
    fitted = FittedPlane(
        scale=1.0,
        calculated=np.divide(joint.intensity, joint.form_factor, out=np.zeros(known.shape), where=known),
        pixels=pixels,
        zones=len(np.unique(plane.zones.zone[used])),
        groups=len(np.unique(plane.zones.group[used])),
        degrees_of_freedom=float(pixels),
        chi_squared=joint.chi_squared * pixels,
        pixel_chi_squared=None,
        r_factor=float(np.abs(residuals).sum() / np.abs(measured).sum()),
        weighted_r_factor=float(np.sqrt(weights @ residuals**2 / (weights @ measured**2))),
        noise_r_factor=r_factor_of_noise(result.input.astype(np.float64), joint.variance, used),
    )
    notes = [
        f"form factor and {joint.harmonics.count} harmonics of I_SRO are fitted jointly to the measured plane, without"
        " the networks; uncertainties, chi-squared, R and wR2 are those of that fit"
    ]
    if joint.chi_squared > _POOR_CHI_SQUARED:
        notes.append(
            f"chi-squared is {joint.chi_squared:.2f} per pixel: the plane is not a smooth form factor times a function"
            " that repeats on this lattice, so do not trust these values"
        )
    if reduced > DISAGREEMENT:
        notes.append(note_disagreement(reduced))
    free = np.zeros(len(alphas), dtype=np.int_)
    return Refinement(tuple(orbits), alphas, whole, free, (fitted,)), notes


def combine_harmonics(
    joint: JointFit, orbits: Sequence[Orbit], name: AnyPlaneName
) -> tuple[Array, Array, float]:
    """Combine the harmonics of a joint fit into one correlation for each orbit, by generalised least squares.

    Args:
        joint: of the layer.
        orbits: of its in-plane harmonics (`dsfunet.physics.layer_orbits`).
        name: of the plane, along two axes of the cell or spanned by two vectors of such a layer.

    Returns:
        The correlations, shape (k,); their covariance, shape (k, k), enlarged where equivalent harmonics disagree; and
        chi-squared per degree of freedom of that agreement, 1 where nothing is equivalent.

    Raises:
        InputError: an orbit has a vector beyond the harmonics of the fit.
    """
    count = joint.harmonics.count
    sine_row = {int(place): count + row for row, place in enumerate(joint.harmonics.with_sine)}
    design = np.zeros((len(joint.parameters), len(orbits)))
    for column, orbit in enumerate(orbits):
        coefficients = np.ones(len(orbit.vectors)) if orbit.coefficients is None else orbit.coefficients
        for vector, coefficient in zip(_project(orbit, name), coefficients, strict=True):
            found = _find(joint, vector)
            if found is None:
                raise InputError(f"vector {orbit.name}: {_settled(joint)}; choose shorter vectors")
            place, sign = found
            # One of each pair p, -p is listed; the harmonic at -p is the conjugate of that at p.
            if sign > 0:
                design[place, column] = np.real(coefficient)
                if place in sine_row:
                    design[sine_row[place], column] = np.imag(coefficient)
    combined = combine_equivalents(joint.parameters, joint.covariance, design)
    return combined.values, combined.enlarged, combined.reduced


def check_no_order_along_axis(
    joint: JointFit, orbits: Sequence[Orbit], grid: PlaneGrid, centring: Centring
) -> None:
    """Check that the plane shows no order that only vectors out of the layer can have.

    Args:
        joint: of the layer.
        orbits: of its in-plane harmonics.
        grid: of the plane.
        centring: lattice type of the sites.

    Raises:
        InputError: it shows such order.
    """
    axis = grid.name.layer.fixed_axis
    outside = [
        orbit
        for orbit in orbits
        if has_harmonics(joint, orbit, grid.name) and lattice_vectors_of(orbit, centring)[0][axis] != 0
    ]
    if not outside:
        return
    values, covariance, _ = combine_harmonics(joint, outside, grid.name)
    sigma = np.sqrt(np.diag(covariance))
    place = int(np.argmax(np.abs(values) / sigma))
    if abs(values[place]) > SIGNIFICANT * sigma[place]:
        found = with_uncertainty(float(values[place]), float(sigma[place]))
        raise InputError(
            f"--no-order-along-axis true: {outside[place].name}, which only vectors out of the layer can have, is"
            f" {found}; the plane contradicts the statement, so omit it"
        )


def _find(joint: JointFit, vector: Array) -> tuple[int, int] | None:
    """Return the place of the harmonic at an in-plane vector and 1, or -1 if that at the opposite one is listed."""
    for sign in (1, -1):
        near = np.flatnonzero(np.abs(joint.harmonics.indices - sign * vector).max(axis=1) < _SAME_HARMONIC)
        if near.size:
            return int(near[0]), sign
    return None


def _settled(joint: JointFit) -> str:
    return f"the data settle harmonics up to {joint.harmonics.lengths.max():.1f} Angstrom only"


def _measured(result: Result) -> Mask:
    measured: Mask = result.mask & np.isfinite(result.input)
    return measured


def _count_repeats(result: Result) -> float:
    """Return how often each datum occurs in the plane: above 1 after it was averaged over its symmetry."""
    try:
        return count_repeats(json.loads(str(result.process.get("clean_up", "{}"))).get("steps", []))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the record of the clean-up is damaged ({error!r}); make the result again"
        ) from error


def _project(orbit: Orbit, name: AnyPlaneName) -> Array:
    """Return the harmonics of an orbit along the two axes of a plane, shape (k, 2)."""
    in_cell = np.zeros((len(orbit.vectors), 3))
    axes = list(name.layer.axes)
    in_cell[:, axes] = orbit.components[:, axes]
    return np.asarray(in_cell @ name.vectors.T)
