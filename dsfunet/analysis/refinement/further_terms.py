"""Further terms of the intensity beside F S: size effect, background and thermal diffuse scattering.

Size effect, to first order (Warren, Averbach and Roberts, J. Appl. Phys. 22, 1493, 1951; Borie and Sparks, Acta Cryst.
A27, 198, 1971): I = F [sum_v alpha_v cos Q.v - sum_v Q.gamma_v sin Q.v]. gamma_v is the mean of alpha times the change
of the vector v between two sites. It is a vector, with the components that the Laue class leaves to v.

A background is a constant, or a spline of |Q|. Thermal diffuse scattering is |Q|^2 times functions that fall off with
|Q| and with the distance from the nearest point of the reciprocal lattice, as a sum with free amplitudes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from scipy.interpolate import BSpline

from dsfunet._typing import Array, Integers, Mask
from dsfunet.analysis.refinement.data import PlaneData
from dsfunet.analysis.refinement.terms import (
    DISPLACEMENT_PRIOR_ANGSTROM,
    SHARE_PRIOR,
    SHARE_UNIT,
    FurtherParameter,
    group_parameters,
)
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import JointFit
from dsfunet.lattice.joint_fit.further_terms import fit_further_terms
from dsfunet.physics.centring import Centring, are_reciprocal_vectors
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.measured import PlaneGrid

Background = Literal["flat", "q"]
"""A smooth background: a constant, or a function of |Q|."""

_FEWEST_KNOTS, _MOST_KNOTS, _KNOT_INV_ANGSTROM = 6, 30, 0.4
_WIDTHS_RLU = (0.08, 0.15, 0.3)
"""Half widths of the peaks of thermal scattering [r.l.u.], round ones and such that are flatter along either axis."""
_DAMPING = (0.0, 0.5, 1.5)
"""Exponents of exp(-x |Q|^2 / mean |Q|^2) with which thermal scattering falls off."""
_ALIKE = 0.1
"""Share of the form factor that a function of |Q| must leave for a background of |Q| to be told from it."""
_DARK = 1e-3
_SMALL = 1e-6


@dataclass(frozen=True)
class FurtherTerms:
    """Terms that a refinement fits beside form factor and correlations.

    Attributes:
        size_effect: first-order displacements that follow the order.
        background: a constant, or a function of |Q|; None for none.
        thermal: thermal diffuse scattering.

    Raises:
        InputError: the background has another name.
    """

    size_effect: bool = False
    background: Background | None = None
    thermal: bool = False

    def __post_init__(self) -> None:
        if self.background not in (None, "flat", "q"):
            raise InputError(f"--background is {self.background!r}; expected flat or q")

    def __bool__(self) -> bool:
        return self.size_effect or self.thermal or self.background is not None

    def check_fits_measured(self, fit_to: str) -> None:
        """Check that no term is asked for in a fit to anything but the measured intensity.

        Raises:
            InputError: one is.
        """
        if self:
            raise InputError(
                f"{self.options}: found with --fit-to {fit_to}; these terms are parts of the measured intensity, so use"
                " --fit-to measured"
            )

    def lowest_form_factor(self, exclude_below: float) -> float:
        """Return the share of the brightest form factor below which pixels are left out.

        A background is seen best where the form factor is dark.
        """
        return min(exclude_below, _DARK) if self.background or self.thermal else exclude_below

    @property
    def cautions(self) -> list[str]:
        """Sentences about terms whose results cannot be relied on for every crystal."""
        if not (self.size_effect or self.thermal):
            return []
        return [
            "the terms for size effect and thermal scattering are experimental: on some virtual crystals correlations"
            " came out wrong by 10 % and more, and chi-squared did not show it; compare with the values without these"
            " terms"
        ]

    @property
    def options(self) -> str:
        """The options that ask for the terms, as typed."""
        names = ["--size-effect true"] if self.size_effect else []
        names += [f"--background {self.background}"] if self.background else []
        return " ".join([*names, *(["--thermal true"] if self.thermal else [])])


NO_TERMS = FurtherTerms()
"""No further terms."""


def displacement_series(
    orbits: Sequence[Orbit], grid: PlaneGrid, rotations: Integers, others: Sequence[PlaneGrid] = ()
) -> list[tuple[str, Array]]:
    """Return names and series of the size effect on a plane: -sum over an orbit of Q.gamma_v sin Q.v.

    Args:
        orbits: of lattice vectors, or of the in-plane vectors of a layer.
        grid: of the plane, shape (n, m).
        rotations: operations of the Laue class on lattice vectors, v' = R v, shape (order, 3, 3).
        others: further planes that share the parameters.

    Returns:
        One entry for each component of gamma [Angstrom] that the Laue class leaves to an orbit and the planes show: the
        first along the vector, or its projection onto a single plane, others perpendicular to it. Series have the shape
        (n, m), in 1/Angstrom.
    """
    q, hkl, found = grid.plane.q_points(), grid.hkl(), []
    planes = [each.plane for each in (grid, *others)]
    edges = np.concatenate([[each.step_u, each.step_v, 1e-2 * each.origin] for each in planes])
    _, sizes, directions = np.linalg.svd(edges)
    visible = directions[sizes > 1e-6 * sizes[0]]
    for orbit in orbits:
        if orbit.is_sine:
            continue
        vectors = np.asarray(orbit.components, dtype=np.float64)
        waves = [np.sin(2 * np.pi * (hkl @ vector)) for vector in vectors]
        for number, images in enumerate(_displacements(orbit, vectors, rotations, grid.cell.direct, visible)):
            series = -sum((q @ gamma) * wave for gamma, wave in zip(images, waves, strict=True))
            if others or np.abs(series).max() > _SMALL * np.abs(q).max():
                which = "" if number == 0 else f", component {number + 1}"
                found.append((f"size effect {orbit.name}{which}", np.asarray(series)))
    return found


def _displacements(
    orbit: Orbit, vectors: Array, rotations: Integers, direct: Array, visible: Array
) -> list[Array]:
    """Return unit displacements of the first vector, as what they are at all vectors of the orbit, each (k, 3).

    `visible` are orthonormal directions of Q, shape (2 or 3, 3); only displacements along them are seen.
    """
    operations = np.asarray(rotations, dtype=np.float64)
    if orbit.summed_axis is not None:  # operations of the layer
        axis, others = orbit.summed_axis, [each for each in range(3) if each != orbit.summed_axis]
        across = np.abs(operations[:, others, axis]).max(axis=1) + np.abs(operations[:, axis, others]).max(
            axis=1
        )
        operations = operations[across == 0]
    # Rows: v' = v R', and in Cartesian axes x' = x M.
    cartesian = np.linalg.inv(direct) @ np.swapaxes(operations, 1, 2) @ direct
    images = np.swapaxes(operations @ vectors[0][:, None], 1, 2)[:, 0]
    stabiliser = np.abs(images - vectors[0]).max(axis=1) < _SMALL
    allowed, values, _ = np.linalg.svd(cartesian[stabiliser].mean(axis=0))
    basis: list[Array] = []
    for column in [vectors[0] @ direct, *allowed[:, values > 0.5].T]:
        rest = column / np.linalg.norm(column)
        if orbit.summed_axis is not None:
            rest = rest @ visible.T @ visible
        rest = rest - sum((rest @ each) * each for each in basis)
        if np.linalg.norm(rest) > 0.1:
            basis.append(rest / np.linalg.norm(rest))
    places = [int(np.abs(images - vector).max(axis=1).argmin()) for vector in vectors]
    return [np.stack([component @ cartesian[place] for place in places]) for component in basis]


def background_terms(kind: Background | None, grid: PlaneGrid) -> list[tuple[str, Array]]:
    """Return names and values of the terms of a background on a plane, shape (n, m) each, about 1."""
    if kind is None:
        return []
    if kind == "flat":
        return [("flat background", np.ones(grid.shape))]
    q = np.sqrt(grid.plane.q_squared())
    low, high = float(q.min()), float(q.max())
    count = int(np.clip(round((high - low) / _KNOT_INV_ANGSTROM), _FEWEST_KNOTS, _MOST_KNOTS))
    knots = np.concatenate([[low] * 3, np.linspace(low, high, count), [high] * 3])
    whole = BSpline.design_matrix(np.clip(q.reshape(-1), low, high), knots, 3).toarray()
    return [("background of |Q|", column.reshape(grid.shape)) for column in whole.T]


def thermal_terms(grid: PlaneGrid, centring: Centring) -> list[tuple[str, Array]]:
    """Return names and values of the terms of thermal diffuse scattering on a plane, shape (n, m) each, about 1."""
    hkl, squared = grid.hkl(), grid.plane.q_squared()
    node = _nearest_node(hkl, centring)
    beyond = (hkl - node) @ grid.cell.reciprocal
    along = [(beyond @ axis / np.linalg.norm(axis)) ** 2 for axis in grid.vectors]
    round_peak = np.sum(beyond**2, axis=-1)
    unit = float(np.linalg.norm(grid.vectors, axis=1).mean()) ** 2
    relative = squared / float(squared.mean())
    found = []
    for away, width in product((round_peak, round_peak + along[0], round_peak + along[1]), _WIDTHS_RLU):
        for damping in _DAMPING:
            term = relative * np.exp(-damping * relative) / (away / unit + width**2)
            found.append(("thermal scattering", term / term.mean()))
    return found


def _nearest_node(hkl: Array, centring: Centring) -> Array:
    """Return the nearest point of the reciprocal lattice that the centring allows, in r.l.u., shape (..., 3)."""
    whole = np.rint(hkl).astype(np.int64)
    best, distance = whole.astype(np.float64), np.full(hkl.shape[:-1], np.inf)
    for step in np.ndindex(3, 3, 3):
        node = whole + np.array(step) - 1
        allowed = are_reciprocal_vectors(node, centring)
        apart = np.where(allowed, np.sum((hkl - node) ** 2, axis=-1), np.inf)
        nearer = apart < distance
        best[nearer], distance[nearer] = node[nearer], apart[nearer]
    return best


def attach_terms(
    plane: PlaneData,
    intensity: Array,
    terms: FurtherTerms,
    orbits: Sequence[Orbit],
    rotations: Integers,
    centring: Centring,
    others: Sequence[PlaneGrid] = (),
) -> PlaneData:
    """Return the data of a plane, divided by a known form factor, with further terms to be refined.

    Args:
        plane: the data.
        intensity: measured, shape (n, m).
        terms: which.
        orbits: whose alphas are refined.
        rotations: operations of the Laue class, shape (order, 3, 3).
        centring: lattice type.
        others: grids of further planes, which share the parameters of the size effect.
    """
    used, grid = plane.used, plane.grid
    # values = I / envelope with weights proportional to its square.
    relative = np.sqrt(plane.weights)
    scale = float(np.sum(intensity[used]) / np.sum((plane.values * relative)[used]))
    mean = float(intensity[used].mean())
    factor = np.divide(mean, scale * relative, out=np.zeros(grid.shape), where=used)
    return replace(
        plane,
        displacements=tuple(displacement_series(orbits, grid, rotations, others))
        if terms.size_effect
        else (),
        added=tuple(
            (name, factor * values, float(values.mean()))
            for name, values in _added(terms, grid, centring, relative, used)
        ),
    )


def _added(
    terms: FurtherTerms, grid: PlaneGrid, centring: Centring, form_factor: Array, used: Mask
) -> list[tuple[str, Array]]:
    """Return names and values of backgrounds and thermal scattering, after a check that F is not itself one of them."""
    found = background_terms(terms.background, grid)
    if terms.background == "q":
        design = np.stack([values[used] for _, values in found], axis=1)
        target = form_factor[used]
        rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        if np.linalg.norm(rest) < _ALIKE * np.linalg.norm(target):
            raise InputError(
                "--background q: the form factor of this plane is itself a function of |Q|, as that of atoms is, so"
                " that nothing tells it from such a background; use --background flat"
            )
    return found + thermal_terms(grid, centring) if terms.thermal else found


def fit_joint_terms(
    joint: JointFit,
    terms: FurtherTerms,
    orbits: Sequence[Orbit],
    grid: PlaneGrid,
    rotations: Integers,
    centring: Centring,
) -> tuple[JointFit, tuple[FurtherParameter, ...], float]:
    """Fit further terms beside both factors of a plane.

    Args:
        joint: the fit without them.
        terms: which.
        orbits: of the layer, whose size effect is fitted.
        grid: of the plane.
        rotations: operations of the Laue class, shape (order, 3, 3).
        centring: lattice type.

    Returns:
        The joint fit, the parameters of the terms, and the gain in the logarithm of the evidence.
    """
    data = joint.solution.data
    mean = float(data.intensity[data.mask].mean())
    series = displacement_series(orbits, grid, rotations) if terms.size_effect else []
    added = _added(terms, grid, centring, joint.form_factor, data.mask)
    if not series and not added:
        raise InputError(f"{terms.options}: the plane shows no such term; omit the option")
    waves = np.stack([values for _, values in series]) if series else np.zeros((0, *grid.shape))
    constant = mean * np.stack([values for _, values in added]) if added else np.zeros((0, *grid.shape))

    def make(form_factor: Array) -> Array:
        return np.concatenate([form_factor * waves, constant])

    priors = [DISPLACEMENT_PRIOR_ANGSTROM] * len(series) + [SHARE_PRIOR] * len(added)
    found = fit_further_terms(joint, make, np.array(priors))
    parameters = group_parameters(
        [name for name, _ in [*series, *added]],
        [1.0] * len(series) + [float(values.mean()) for _, values in added],
        ["Å"] * len(series) + [SHARE_UNIT] * len(added),
        found.amplitudes,
        found.covariance,
    )
    return found.fit, tuple(parameters), found.log_evidence_gain
