"""Correlations found again: plane -> networks and lattice -> refinement, once and over many noise seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet.analysis.refinement import refine
from dsfunet.analysis.refinement_data import FitTo, prepare_data
from dsfunet.analysis.symmetry import laue_rotations
from dsfunet.analysis.zones import zones_of
from dsfunet.factorize import Factorizer
from dsfunet.io import Result
from dsfunet.preprocessing import normalise, spread
from dsfunet.separation import separate
from examples.worked.crystals import Crystal, Layer

Array = npt.NDArray[np.float64]

FITS: tuple[FitTo, ...] = ("measured", "short-range-order")
"""What the series is fitted to; the first is what `dsfunet refine` does unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """Alphas found n times, from planes that differ in their counting noise alone.

    Attributes:
        crystal: what was put in.
        found: shape (n, orbits).
        uncertainty: standard uncertainty of each, likewise.
        lattice_used: share of the planes that lattice mode accepted.
        errors: mean squared error of I_FF and of I_SRO over all pixels of the plane that the networks see, spread
            space, mean over the planes.
    """

    crystal: Crystal
    found: Array
    uncertainty: Array
    lattice_used: float
    errors: tuple[float, float]

    @property
    def true(self) -> Array:
        """Alphas put in, shape (orbits,)."""
        return np.array(list(self.crystal.alphas.values()))

    @property
    def pulls(self) -> Array:
        """(found - true) / uncertainty, shape (n, orbits); normal with mean 0 and deviation 1 if all is right."""
        pulls: Array = (self.found - self.true) / self.uncertainty
        return pulls

    @property
    def coverage(self) -> float:
        """Share of the pulls within one standard uncertainty; 0.68 if all is right."""
        return float(np.mean(np.abs(self.pulls) < 1))


def recover(crystal: Crystal, factorizer: Factorizer, seeds: Iterable[int]) -> dict[FitTo, Recovery]:
    """Measure a crystal once for every noise seed, factorise, and refine in each way of `FITS`."""
    found: dict[FitTo, list[tuple[Array, Array]]] = {fit: [] for fit in FITS}
    used, errors = [], []
    for seed in seeds:
        results = [separate(layer.measured(seed), factorizer).result for layer in crystal.layers]
        for layer, result in zip(crystal.layers, results, strict=True):
            used.append(result.form_factor_of_networks is not None)
            errors.append(component_errors(layer, result))
        for fit in FITS:
            found[fit].append(refined(crystal, results, fit))
    form_factor, order = np.mean(errors, axis=0).tolist()
    return {
        fit: Recovery(
            crystal,
            np.array([alphas for alphas, _ in each]),
            np.array([uncertainty for _, uncertainty in each]),
            float(np.mean(used)),
            (form_factor, order),
        )
        for fit, each in found.items()
    }


def refined(crystal: Crystal, results: Sequence[Result], fit_to: FitTo) -> tuple[Array, Array]:
    """Alphas of the crystal's orbits from results of its layers, and their standard uncertainties, each (orbits,).

    Raises:
        InputError: the planes do not settle them.
    """
    rotations = laue_rotations(crystal.laue)
    planes = [
        prepare_data(result, layer.grid, zones_of(layer.grid, rotations), fit_to=fit_to)
        for layer, result in zip(crystal.layers, results, strict=True)
    ]
    refinement = refine(planes, crystal.orbits)
    return refinement.alphas, refinement.uncertainties


def component_errors(layer: Layer, result: Result) -> tuple[float, float]:
    """Mean squared errors of I_FF and I_SRO where the plane was measured, in spread space, each normalised there."""
    errors = []
    for found, true in ((result.form_factor, layer.form_factor), (result.short_range_order, layer.order)):
        found_here, true_here = (normalise(each.astype(np.float64), layer.mask)[0] for each in (found, true))
        difference = spread(found_here)[layer.mask] - spread(true_here)[layer.mask]
        errors.append(float(np.mean(difference**2)))
    return errors[0], errors[1]
