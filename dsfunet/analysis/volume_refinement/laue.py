"""The Laue class of a crystal from the correlations of a whole volume."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from scipy.stats import chi2

from dsfunet._typing import Array, Integers
from dsfunet.analysis.refinement.equivalents import CombinedValues
from dsfunet.analysis.refinement.reach import SIGNIFICANT
from dsfunet.analysis.volume_refinement.orbits import FittedVectors
from dsfunet.errors import InputError
from dsfunet.io.volume_results import VolumeCorrelations
from dsfunet.physics.centring import check_closure
from dsfunet.physics.symmetry import LAUE_CLASSES, Orbit, UniqueAxis, laue_rotations, symmetric_metric

_LEVEL = 1e-3
"""Probability of rejecting a class that holds, of each of the two tests."""

_ERROR_FACTOR = 1.5
"""Standard uncertainties may be too small by this factor without a class being rejected."""

_MOST_VECTORS = 400
"""Largest number of vectors that are compared, the shortest ones: 2 seconds for all classes."""


@dataclass(frozen=True)
class LaueTest:
    """The comparison of the correlations that one Laue class makes equal.

    Attributes:
        laue: name of the class.
        unique_axis: "a", "b" or "c" where it is not the usual one, else None.
        order: number of its operations.
        orbits: number of orbits with a significant correlation, which are compared.
        chi_squared: of all differences between their equivalent correlations.
        degrees_of_freedom: number of these differences.
        worst: name of the orbit whose equivalents differ most in units of their errors; empty if none has equivalents.
        worst_difference: largest minus smallest alpha of that orbit; 0 if none has equivalents.
        contradicted: whether the differences exceed what errors explain.
    """

    laue: str
    unique_axis: UniqueAxis | None
    order: int
    orbits: int
    chi_squared: float
    degrees_of_freedom: int
    worst: str
    worst_difference: float
    contradicted: bool

    @property
    def reduced(self) -> float:
        """Chi-squared per degree of freedom; 1 where nothing is compared."""
        return self.chi_squared / self.degrees_of_freedom if self.degrees_of_freedom else 1.0

    @property
    def name(self) -> str:
        """The class with its axis, such as "2/m with unique axis c"."""
        return f"{self.laue} with unique axis {self.unique_axis}" if self.unique_axis else self.laue


def find_laue_class(correlations: VolumeCorrelations) -> tuple[LaueTest, ...]:
    """Test the Laue classes that a cell and its centring obey, and return the tests, the class to use first.

    That is the class of the highest order that the correlations do not contradict; of several, the one with the
    smallest chi-squared per degree of freedom. Only orbits with a correlation above 4 standard uncertainties are
    compared, because the others agree within errors under every class. A class is contradicted if all differences
    together, or those of one orbit, are less likely than 0.001 for standard uncertainties that are larger by half.

    Args:
        correlations: of the volume.

    Returns:
        One test or more; the other classes follow in order of their number of operations, the highest first. The last
        class is -1, which nothing contradicts.

    Raises:
        InputError: the correlations are damaged.

    Examples:
        A cubic cell whose correlations along c are others than those along a and b:

        >>> import numpy as np
        >>> from dsfunet import Cell
        >>> from dsfunet.analysis.volume_refinement import VolumeCorrelations, find_laue_class
        >>> vectors = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -1, 0]])
        >>> alphas = np.array([-0.2, -0.199, 0.1, 0.05, 0.051])
        >>> correlations = VolumeCorrelations(
        ...     Cell(4, 4, 4), "P", vectors, alphas, 1e-6 * np.eye(5), np.zeros(5), record={}
        ... )
        >>> find_laue_class(correlations)[0].laue
        '4/mmm'
    """
    fitted = FittedVectors.of(correlations)
    tests = [
        _test_class(fitted, laue, axis, rotations, metric)
        for laue, axis, rotations, metric in _candidates(correlations)
    ]
    tests.sort(key=lambda each: (-each.order, each.reduced))
    chosen = next(each for each in tests if not each.contradicted)
    return (chosen, *(each for each in tests if each is not chosen))


def describe_evidence(tests: tuple[LaueTest, ...]) -> str:
    """Return a sentence about the class that was found, from the tests of `find_laue_class`."""
    chosen, higher = tests[0], [each for each in tests if each.order > tests[0].order]
    if chosen.laue == "-1":
        evidence = "it makes no two of them equal"
    elif not chosen.degrees_of_freedom:
        evidence = "nothing that it makes equal is significant, so that it was not tested"
    else:
        evidence = (
            f"chi-squared of equivalents {chosen.reduced:.2f} per degree of freedom, {chosen.orbits} orbits above"
            f" {SIGNIFICANT:g} s.u."
        )
    text = f"Laue class {chosen.name} is the highest of the cell that the correlations do not contradict ({evidence})"
    if higher:
        against = ", ".join(
            f"{each.name} ({each.reduced:.3g}; equivalents of {each.worst} differ by {each.worst_difference:.2g})"
            for each in higher[:3]
        )
        text += f"; contradicted: {against}"
    return f"{text}; --laue chooses another"


def _candidates(
    correlations: VolumeCorrelations,
) -> Iterator[tuple[str, UniqueAxis | None, Integers, Array]]:
    """Yield each class that cell and centring obey once, with its unusual axis, operations and metric."""
    seen = set()
    axes: tuple[UniqueAxis | None, ...] = (None, *get_args(UniqueAxis))
    for laue in LAUE_CLASSES:
        for axis in axes:
            try:
                rotations = laue_rotations(laue, axis)
                check_closure(rotations, correlations.centring, laue)
                metric = symmetric_metric(correlations.cell, laue, axis)
            except InputError:  # no such axis, or another lattice
                continue
            key = frozenset(map(tuple, rotations.reshape(-1, 9).tolist()))
            if key not in seen:
                seen.add(key)
                yield laue, axis, rotations, metric


def _test_class(
    fitted: FittedVectors, laue: str, axis: UniqueAxis | None, rotations: Integers, metric: Array
) -> LaueTest:
    chosen: list[Orbit] = []
    count = 0
    for orbit in fitted.partition(rotations, metric):
        places = fitted.find_places(orbit)
        if fitted.significance(places) > SIGNIFICANT and count + len(places) <= _MOST_VECTORS:
            chosen.append(orbit)
            count += len(places)
    if not chosen:
        return LaueTest(laue, axis, len(rotations), 0, 0.0, 0, "", 0.0, contradicted=False)
    together = fitted.combine(chosen)
    each = [fitted.combine([orbit]) for orbit in chosen]
    chances = [_chance(one) for one in each]
    worst = int(np.argmax([one.chi_squared / max(one.degrees_of_freedom, 1) for one in each]))
    alphas = fitted.correlations.alphas[fitted.find_places(chosen[worst])]
    return LaueTest(
        laue,
        axis,
        len(rotations),
        len(chosen),
        together.chi_squared,
        together.degrees_of_freedom,
        chosen[worst].name if together.degrees_of_freedom else "",
        float(np.ptp(alphas)) if together.degrees_of_freedom else 0.0,
        contradicted=_chance(together) < _LEVEL or min(chances) * len(chosen) < _LEVEL,
    )


def _chance(combined: CombinedValues) -> float:
    """Return the probability of a larger chi-squared for standard uncertainties that are larger by a factor."""
    if not combined.degrees_of_freedom:
        return 1.0
    return float(chi2.sf(combined.chi_squared / _ERROR_FACTOR**2, combined.degrees_of_freedom))
