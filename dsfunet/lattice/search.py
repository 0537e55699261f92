"""Search for the lattice of a plane in the plane itself: two in-plane periods, and a confidence.

`split_on_lattice` takes the found lattice like a known one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Planes
from dsfunet.errors import InputError
from dsfunet.lattice.candidates import Signal, span_same_lattice
from dsfunet.lattice.folding import Folder
from dsfunet.lattice.folding_search import FoldingSearch
from dsfunet.lattice.projected import lattice_plane, nominal_plane
from dsfunet.lattice.series_search import SeriesFit, search_by_series, sum_of_squares_about_mean
from dsfunet.physics.lattice import Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import explained_by_order
from dsfunet.physics.short_range_order import MAX_INDEX

ACCEPTED_CONFIDENCE = 0.75
"""Smallest confidence of a lattice that is used."""

LEAST_ORDER = 0.1
"""Smallest share, of what I_FF leaves of the plane, that the networks' I_SRO must explain for their lattice to be kept.

All of 150 such planes had 0.28 or more; none of 18 smooth planes, with and without noise, had more than 0.04.
"""

_SMALLEST_LEVEL = 0.01

# Of two different lattices, the one found by folding is taken if it leaves less than this share of what the other does,
# or if the share that it leaves of what is left without order is so much smaller; the second share applies if the other
# one is very likely from the networks' I_SRO, and none does if it is not even likely.
_CLEARLY_BETTER = 0.6
_MUCH_BETTER = 0.3
_LIKELY, _VERY_LIKELY = 0.96, 0.985
_SERIES_WEIGHTS = (3.19, -0.33, -4.38)

# Weights of the evidence (see `_choose`) if both searches find the same lattice, and if not, from logistic regressions
# on 605 planes: 250 with exponential order on lattices of all shapes, 105 of virtual crystals, 130 of `simulate` and
# 120 without order, exact and with 20 to 2,000 counts. On 378 other planes, 98 % of the 279 lattices with a confidence
# above 0.9 were right, 86 % of 22 between 0.75 and 0.9, 86 % of 7 between 0.5 and 0.75, and 6 % of 70 below. None of
# the 59 planes without order had a lattice accepted.
_WEIGHTS_IF_SAME = (1.73, 0.76, -0.83, -0.76)
_WEIGHTS_IF_NOT = (-1.14, 0.85, -2.61, -0.17, 0.83, -2.29)


@dataclass(frozen=True, eq=False)
class FoundLattice:
    """Lattice found in a plane: two in-plane periods.

    Attributes:
        lattice: lattice for `split_on_lattice`. Its cell and plane are in their own Cartesian setting; a and b are the
            direct vectors projected onto the plane, c is arbitrary. For a plane without axes the scale is nominal, and
            the position of Q = 0 is left open.
        reciprocal_pixels: the two reduced reciprocal vectors as rows, (2, 2) [pixels], along rows and along columns.
        reciprocal_lengths: their lengths [1/Angstrom, including 2 pi]; None for a plane without axes.
        reciprocal_angle: angle between them, 60 to 120 [degrees]; None for a plane without axes.
        direct_lengths: lengths of the projected direct vectors [Angstrom]; None for a plane without axes.
        confidence: probability, 0 to 1, that I_SRO repeats on this lattice and on no coarser one of the plane; from a
            logistic regression on planes of several forward models, exact and with counting noise.
        accepted: whether the confidence is at least ACCEPTED_CONFIDENCE and the share of order at least LEAST_ORDER.
    """

    lattice: LatticePlane
    reciprocal_pixels: Array
    reciprocal_lengths: tuple[float, float] | None
    reciprocal_angle: float | None
    direct_lengths: tuple[float, float] | None
    confidence: float
    accepted: bool


def find_convincing_lattice(
    scattering: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
    form_factor: Planes,
    short_range_order: Planes,
) -> FoundLattice | None:
    """Find the lattice of a plane as `find_lattice` does; None if it is not accepted."""
    found = find_lattice(scattering, mask, form_factor, short_range_order)
    return found if found is not None and found.accepted else None


def find_lattice(
    scattering: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
    form_factor: Planes,
    short_range_order: Planes,
    plane: Plane | None = None,
) -> FoundLattice | None:
    """Find the lattice of a plane from the plane and the components of the networks; None if nothing repeats at all.

    There are two searches: by series of five harmonics with the components of the networks
    (`dsfunet.lattice.series_search`), and by folding the plane without them (`dsfunet.lattice.folding_search`), which
    has the answer of the first as one of its candidates. If they disagree, the plane decides. The lattice may be a
    sub- or superlattice of the crystal's, if I_SRO is periodic on it as well.

    Args:
        scattering: measured plane (n, m), 0 or more, any unit; pixels outside the mask are ignored.
        mask: True = measured.
        form_factor: I_FF of the networks, (n, m), linear, in [0, 1].
        short_range_order: I_SRO of the networks, (n, m), linear, in [0, 1].
        plane: positions of the pixels in any Cartesian setting; None if unknown.

    Raises:
        InputError: the plane has no measured pixel, or the shapes differ.
    """
    _check_arrays(scattering, mask, form_factor, short_range_order, plane)
    data = _divide_by_form_factor(scattering, mask, form_factor)
    networks = Signal(short_range_order.astype(np.float64), np.ones(mask.shape))
    folding = FoldingSearch(Folder(scattering, mask))
    by_series = search_by_series(data, networks)
    by_folding = folding.search([] if by_series is None else [by_series])
    if by_folding is None:
        return None
    explained = explained_by_order(scattering, form_factor, short_range_order, mask)
    vectors, log_odds = _choose(by_series, by_folding, folding, data, networks, explained)
    confidence = float(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))
    return _describe_lattice(vectors, plane, mask.shape, confidence, confidence >= ACCEPTED_CONFIDENCE)


def _choose(
    by_series: Array | None,
    by_folding: Array,
    folding: FoldingSearch,
    data: Signal,
    networks: Signal,
    explained: float,
) -> tuple[Array, float]:
    """Choose one of the lattices found, and return its vectors and the logarithm of the odds that it is right.

    The evidence: 1, one number from folding and two from series; if the searches disagree, also the logarithm of what
    the other lattice leaves over what this one leaves, and whether this one was found by series.
    """
    if by_series is None:
        by_series, explained = by_folding, 0.0

    def gather(vectors: Array) -> tuple[float, list[float]]:
        left, share = folding.measure_evidence(vectors)
        return float(left), [1.0, float(share), *measure_evidence(vectors, data, networks)[1:].tolist()]

    left, evidence = gather(by_series)
    if span_same_lattice(by_series, by_folding):
        return by_series, float(np.dot(evidence, _WEIGHTS_IF_SAME))
    better = folding.compare(by_folding, by_series)
    left_by_folding, evidence_of_folding = gather(by_folding)
    chance = 1 / (1 + np.exp(-np.clip(np.dot([1.0, *evidence[2:]], _SERIES_WEIGHTS), -50, 50)))
    clearly = -np.log(_MUCH_BETTER if chance >= _VERY_LIKELY else _CLEARLY_BETTER)
    likely = explained >= LEAST_ORDER and chance >= _LIKELY
    if likely and better <= clearly and left - left_by_folding <= clearly:
        return by_series, float(np.dot([*evidence, np.clip(-better, -1, 1.5), 1.0], _WEIGHTS_IF_NOT))
    return by_folding, float(np.dot([*evidence_of_folding, np.clip(better, -1, 1.5), 0.0], _WEIGHTS_IF_NOT))


def measure_evidence(vectors: Array, data: Signal, networks: Signal) -> Array:
    """Return the evidence for a lattice, (3,): 1 and two logarithms; lower is better.

    The first logarithm is that of the share of the networks' I_SRO that a series on the lattice leaves. The second is
    that of the misfit of the plane to its series on the lattice, over its misfit to the networks' I_SRO with the best
    scale and constant.
    """
    own = SeriesFit(networks, vectors, MAX_INDEX).misfit / max(sum_of_squares_about_mean(networks), 1e-30)
    columns = np.stack([networks.values.reshape(-1), np.ones(networks.values.size)])
    weighted = columns * data.weights.reshape(-1)
    amplitudes = np.linalg.lstsq(weighted @ columns.T, weighted @ data.values.reshape(-1), rcond=None)[0]
    left = data.values - (amplitudes @ columns).reshape(data.values.shape)
    by_networks = float(np.sum(data.weights * left**2))
    by_series = SeriesFit(data, vectors, MAX_INDEX).misfit
    return np.array([1.0, np.log(own + 1e-3), np.log((by_series + 1e-30) / (by_networks + 1e-30))])


def _check_arrays(
    scattering: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
    form_factor: Planes,
    short_range_order: Planes,
    plane: Plane | None,
) -> None:
    shapes = [mask.shape, form_factor.shape, short_range_order.shape, *([plane.shape] if plane else [])]
    if scattering.ndim != 2 or any(shape != scattering.shape for shape in shapes):
        raise InputError(
            f"the arrays have shapes {scattering.shape} and {shapes}; expected the same (n, m) for all"
        )
    if not (mask & (form_factor > 0)).any():
        raise InputError("the plane has no measured pixel with a form factor above 0; expected one or more")


def _divide_by_form_factor(
    scattering: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_], form_factor: Planes
) -> Signal:
    divisor = np.maximum(form_factor, _SMALLEST_LEVEL * form_factor.max()).astype(np.float64)
    return Signal(np.where(mask, scattering, 0) / divisor, np.where(mask, divisor, 0))


def _describe_lattice(
    vectors: Array, plane: Plane | None, shape: tuple[int, ...], confidence: float, accepted: bool
) -> FoundLattice:
    lattice = lattice_plane(vectors, nominal_plane(shape) if plane is None else plane)
    known = plane is not None
    first, second = lattice.cell.reciprocal[:2]
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    angle = float(np.degrees(np.arccos(np.clip(first @ second / (lengths[0] * lengths[1]), -1, 1))))
    return FoundLattice(
        lattice=lattice,
        reciprocal_pixels=np.asarray(np.linalg.inv(vectors).T, np.float64),
        reciprocal_lengths=lengths if known else None,
        reciprocal_angle=angle if known else None,
        direct_lengths=(lattice.cell.a, lattice.cell.b) if known else None,
        confidence=confidence,
        accepted=accepted,
    )
