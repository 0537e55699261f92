"""Correlations beyond those that were asked for: how far order reaches, and what it does to the values.

Correlations of real crystals have tails. Harmonics that a fit leaves out are partly taken up by those it has, because
pixels are missing and the form factor bends. Therefore more is fitted than asked for, and what the last harmonics that
were added did to a value counts as an error of it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dsfunet._typing import Array
from dsfunet.analysis.refinement.fit import Refinement
from dsfunet.analysis.refinement.joint import combine_harmonics, has_harmonics
from dsfunet.analysis.refinement.reach import Reach, find_reach
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit import JointFit
from dsfunet.physics.symmetry import Orbit
from dsfunet.planes.names import AnyPlaneName

_OUTER = 0.75
"""Share of the longest length of a joint fit beyond which its harmonics are left out for comparison."""

_SETTLED = 0.25
"""Change of a value, in standard uncertainties, below which more orbits are not needed."""

_SHELLS = (8, 12, 18, 27, 40)
_LARGEST_DESIGN = 2e7
_LARGEST_RATIO = 0.75


@dataclass(frozen=True, eq=False)
class SettledRefinement:
    """A refinement whose uncertainties contain the truncation, with the reach of order.

    Attributes:
        fit: of the orbits that were asked for; its covariance contains the drift.
        drift: what correlations that were not fitted may do to the values, shape (k,).
        fitted: number of orbits that were fitted.
        longest_angstrom: length of the longest of them [Angstrom].
        reach: of all orbits that were fitted.
    """

    fit: Refinement
    drift: Array
    fitted: int
    longest_angstrom: float
    reach: Reach

    def describe(self) -> str:
        """Return a sentence about the drift."""
        return (
            f"{self.fitted} orbits up to {self.longest_angstrom:.1f} Å are fitted; the standard uncertainties contain"
            f" the drift that longer vectors may cause, at most {self.drift.max(initial=0.0):.1g}"
        )


def settle_layer(
    joint: JointFit, refinement: Refinement, orbits: Sequence[Orbit], name: AnyPlaneName
) -> SettledRefinement:
    """Add the truncation to the uncertainties of a layer's correlations from a joint fit.

    The joint fit has as many harmonics as the evidence asks for. Those in the outer quarter are set to zero, and the
    others take the values that the covariance then gives them. The change, beyond that expected by chance, times
    r / (1 - r) estimates what all longer ones would do, if each further quarter changes the values by r times the one
    before: r = exp(-quarter / xi) with the correlation length xi.

    Args:
        joint: of the layer.
        refinement: of the orbits that were asked for, from that fit.
        orbits: of all the layer's harmonics up to the longest one of the fit.
        name: of the plane.
    """
    longest = float(joint.harmonics.lengths.max())
    fitted = [orbit for orbit in orbits if has_harmonics(joint, orbit, name)]
    values, covariance, _ = combine_harmonics(joint, fitted, name)
    reach = find_reach(fitted, values, np.sqrt(np.diag(covariance)))
    inner = _without_outer(joint, _OUTER * longest)
    places = [n for n, orbit in enumerate(refinement.orbits) if has_harmonics(inner, orbit, name)]
    drift = np.zeros(len(refinement.orbits))
    if places:
        asked = [refinement.orbits[place] for place in places]
        before, before_covariance, _ = combine_harmonics(inner, asked, name)
        after, after_covariance, _ = combine_harmonics(joint, asked, name)
        chance = np.maximum(np.diag(after_covariance) - np.diag(before_covariance), 0)
        change = np.sqrt(np.maximum((after - before) ** 2 - chance, 0))
        drift[places] = change * _further(reach, (1 - _OUTER) * longest)
    return SettledRefinement(_with_drift(refinement, drift), drift, len(fitted), longest, reach)


def refine_until_settled(
    refine: Callable[[Sequence[Orbit]], Refinement],
    orbits: Sequence[Orbit],
    longer: Callable[[int], Sequence[Orbit]],
    pixels: int,
) -> SettledRefinement:
    """Refine orbits together with more and more longer ones, until their values change no more.

    Stops when all values change by less than a quarter of their standard uncertainties, when longer orbits no longer
    make the standard uncertainties smaller, because what is missing of the plane cannot tell them apart, when half of
    the bins of a zone would be needed for the parameters, or when the planes determine no further orbits. The larger of
    the last change and the one that was not accepted is the drift.

    Args:
        refine: refines any orbits.
        orbits: that were asked for.
        longer: returns the orbits of a number of nearest shells.
        pixels: of all planes.

    Raises:
        InputError: as `refine` for the orbits that were asked for.
    """
    whole = current = refine(orbits)
    drift = np.zeros(len(orbits))
    for extra in _grow(orbits, longer, pixels):
        try:
            found = refine([*orbits, *extra])
        except InputError:
            break
        if any(plane.degrees_of_freedom < len(orbits) + len(extra) for plane in found.planes):
            break
        grown = _select(found, len(orbits))
        change = np.abs(grown.alphas - current.alphas)
        if _mean_uncertainty(grown) > _mean_uncertainty(current):
            drift = np.maximum(drift, change)
            break
        drift, current, whole = change, grown, found
        if np.all(change < _SETTLED * grown.uncertainties):
            break
    order = np.argsort([orbit.length_angstrom for orbit in whole.orbits], kind="stable")
    fitted = [whole.orbits[place] for place in order]
    reach = find_reach(fitted, whole.alphas[order], whole.uncertainties[order])
    return SettledRefinement(
        _with_drift(current, drift), drift, len(fitted), fitted[-1].length_angstrom, reach
    )


def _mean_uncertainty(refinement: Refinement) -> float:
    """Return the root mean square of the standard uncertainties; 0 where all alphas are at a bound."""
    known = refinement.uncertainties[np.isfinite(refinement.uncertainties)]
    return float(np.sqrt(np.mean(known**2))) if known.size else 0.0


def _grow(
    orbits: Sequence[Orbit], longer: Callable[[int], Sequence[Orbit]], pixels: int
) -> Iterable[list[Orbit]]:
    """Yield longer and longer lists of orbits besides those that were asked for."""
    known = {tuple(map(tuple, orbit.vectors.tolist())) for orbit in orbits}
    count = 0
    for shells in _SHELLS:
        extra = [orbit for orbit in longer(shells) if tuple(map(tuple, orbit.vectors.tolist())) not in known]
        if (len(orbits) + len(extra)) * pixels > _LARGEST_DESIGN:
            return
        if len(extra) > count:
            count = len(extra)
            yield extra


def _select(found: Refinement, count: int) -> Refinement:
    """Return the first orbits of a refinement."""
    end = len(found.planes) + count
    return replace(
        found,
        orbits=found.orbits[:count],
        alphas=found.alphas[:count],
        covariance=found.covariance[:end, :end],
        at_bound=found.at_bound[:count],
    )


def _with_drift(refinement: Refinement, drift: Array) -> Refinement:
    """Return a refinement with the drift in its covariance, as errors independent of one another."""
    whole = refinement.covariance.copy()
    places = np.arange(len(refinement.planes), len(whole))
    whole[places, places] += np.where(refinement.at_bound == 0, drift, 0.0) ** 2
    return replace(refinement, covariance=whole)


def _without_outer(joint: JointFit, longest: float) -> JointFit:
    """Return a joint fit in which harmonics beyond a length are zero, and the others take the values that remain."""
    harmonics = joint.harmonics
    outer = harmonics.lengths > longest
    out = np.concatenate([outer, outer[harmonics.with_sine]])
    if not out.any():
        return joint
    block = joint.covariance[np.ix_(out, out)]
    gain = np.linalg.lstsq(block, joint.covariance[out], rcond=None)[0].T
    parameters = joint.parameters - gain @ joint.parameters[out]
    covariance = joint.covariance - gain @ joint.covariance[out]
    kept = np.ix_(~out, ~out)
    return replace(
        joint,
        harmonics=harmonics.select(~outer),
        parameters=parameters[~out],
        covariance=(covariance[kept] + covariance[kept].T) / 2,
    )


def _further(reach: Reach, step_angstrom: float) -> float:
    """Return the sum of all further changes over the last one; 1 where the data do not settle a correlation length."""
    if reach.correlation_length_angstrom is None:
        return 1.0
    ratio = min(float(np.exp(-step_angstrom / reach.correlation_length_angstrom)), _LARGEST_RATIO)
    return ratio / (1 - ratio)
