"""Search for the lattice of a plane in the plane itself: two in-plane periods, and a confidence.

`split_on_lattice` takes the found lattice like a known one.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Array, Planes
from dsfunet.errors import InputError
from dsfunet.lattice.candidates import SHORTEST, Signal, propose_bases, reduce_bases
from dsfunet.lattice.folding import Folder
from dsfunet.physics.cosine_series import CosineSeries, NormalEquations, normal_equations
from dsfunet.physics.lattice import Cell, Plane
from dsfunet.physics.lattice_plane import LatticePlane
from dsfunet.physics.product import explained_by_order
from dsfunet.physics.short_range_order import MAX_INDEX

ACCEPTED_CONFIDENCE = 0.96
"""Smallest confidence of a lattice that is used; 360 simulated planes, exact and at 100 and 30 counts, had more."""

LEAST_ORDER = 0.1
"""Smallest share, of what I_FF leaves of the plane, that the networks' I_SRO must explain; below it nothing repeats.

All of 150 such planes had 0.28 or more; none of 18 smooth planes, with and without noise, had more than 0.04.
"""

_NOMINAL_STEP = 0.05
"""Assumed pixel size of a plane without axes [1/Angstrom]: Q up to 6.4 on 256 pixels."""

# Weight of the networks' I_SRO, as a share of the mean weight of the measured pixels.
_NETWORK_WEIGHT = 0.15
_COUNT = 5
_SKETCH_INDEX = 2
# Candidates are dropped if their first harmonics explain less than this share of what those of the best one explain.
_PROMISING = 0.5
_FINALISTS = 4
# Fewer and more widely spaced harmonics are preferred up to this multiple of the smallest misfit, noise included.
_AS_GOOD = 1.01
_AS_GOOD_ALONG_ONE = 1.02
_BLOCK = 64
# Bases count as equally short up to this ratio; the hexagonal lattice has three of them.
_NEARLY_AS_SHORT = 1.1
_SMALLEST_LEVEL = 0.01

# Weights of `measure_evidence` from a logistic regression on 680 simulated training planes, exact and at 100 and 30
# counts. On 9 of them the lattice gave worse components than the networks.
_EVIDENCE_WEIGHTS = (3.19, -0.33, -4.38)


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
        confidence: probability, 0 to 1, that I_SRO on this lattice is closer to the truth than I_SRO of the networks;
            from a logistic regression on simulated planes, exact and with counting noise.
        accepted: whether the confidence is at least ACCEPTED_CONFIDENCE and the share of order at least LEAST_ORDER.
    """

    lattice: LatticePlane
    reciprocal_pixels: Array
    reciprocal_lengths: tuple[float, float] | None
    reciprocal_angle: float | None
    direct_lengths: tuple[float, float] | None
    confidence: float
    accepted: bool


def find_lattice(
    scattering: npt.NDArray[np.floating],
    mask: npt.NDArray[np.bool_],
    form_factor: Planes,
    short_range_order: Planes,
    plane: Plane | None = None,
) -> FoundLattice | None:
    """Find the lattice of a plane from the plane and the components of the networks; None if nothing repeats at all.

    Candidates (`dsfunet.lattice.candidates`) are refined and compared by a cosine series, fitted to I / I_FF and I_SRO
    of the networks. The best one has the series that, fitted to one half of the blocks of the plane, predicts the other
    half best. Among those nearly as good, the one with the fewest harmonics per range of Q is chosen. It may be a sub-
    or superlattice of the crystal's, if I_SRO is periodic on it as well.

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
    folder = Folder(scattering, mask)
    start = folder.smooth(_START)
    forms = [folder.smooth(each) for each in _ENVELOPES]
    base = {each: folder.misfit_without_order(folder.smooth(each)) for each in _DEVIATIONS}
    pairs = propose_bases((data, networks), _COUNT) + propose_bases(tuple(folder.divide(each) for each in forms), _COUNT)
    if not pairs:
        return None
    noise = folder.estimate_noise()
    trials = []
    for pair in pairs:
        folded = folder.fold(pair)
        order = folded.order(start)
        trials.append([folded.misfit(folder.smooth(each, order)) / base[each] for each in _DEVIATIONS])
    ranks = np.argsort(np.array(trials), axis=0)
    chosen = dict.fromkeys(ranks[:3].T.reshape(-1).tolist())
    finalists = []
    for place in chosen:
        pair = pairs[place]
        deviation = _SMOOTHING / np.sqrt(abs(np.linalg.det(pair)))
        signal = folder.divide(folder.fold(pair).alternate(start, deviation))
        fit = _refine(signal, _Fit(signal, pair, _SKETCH_INDEX), 1)
        fit = _refine(signal, _Fit(signal, fit.vectors, MAX_INDEX), 1)
        finalists.append(reduce_bases(fit.vectors[None])[0])
    finalists.sort(key=lambda each: abs(np.linalg.det(each)))
    vectors = finalists[0]
    judge = _Judge(folder, start, noise)
    for other in finalists[1:]:
        if judge.prefers_sparser(vectors, other):
            vectors = other
    for _ in range(3):
        moved = judge.move(vectors)
        if moved is vectors:
            break
        vectors = moved
        deviation = _SMOOTHING / np.sqrt(abs(np.linalg.det(vectors)))
        signal = folder.divide(folder.fold(vectors).alternate(start, deviation))
        vectors = reduce_bases(_refine(signal, _Fit(signal, vectors, MAX_INDEX), 1).vectors[None])[0]
    deviation = _SMOOTHING / np.sqrt(abs(np.linalg.det(vectors)))
    form = folder.fold(vectors).alternate(start, deviation, 2)
    signal = folder.divide(form)
    fit = _refine(signal, _Fit(signal, vectors, MAX_INDEX), 2)
    if folder.fold(fit.vectors).misfit(form) <= folder.fold(vectors).misfit(form):
        vectors = fit.vectors
    vectors = reduce_bases(vectors[None])[0]
    confidence = _convert_to_confidence(measure_evidence(vectors, data, networks))
    accepted = (
        confidence >= ACCEPTED_CONFIDENCE
        and explained_by_order(scattering, form_factor, short_range_order, mask) >= LEAST_ORDER
    )
    result = _describe_lattice(vectors, plane, mask.shape, confidence, accepted)
    import os
    if os.environ.get("EVID"):
        object.__setattr__(result, "evidence", _debug_evidence(folder, form, forms, vectors, data, networks, explained_by_order(scattering, form_factor, short_range_order, mask)))
    return result


def _debug_evidence(folder, form, forms, vectors, data, networks, explained):
    base = min(folder.misfit_without_order(each) for each in [*forms, form])
    own = folder.fold(vectors).misfit(form)
    nulls = []
    for angle, grow in ((15, 1.07), (-15, 0.93), (33, 1.0), (-27, 1.11), (45, 0.9), (7, 1.13)):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        nulls.append(folder.fold(grow * vectors @ np.array([[c, s], [-s, c]])).misfit(form))
    others = []
    for matrix in [*_SPARSER]:
        others.append(folder.fold(reduce_bases((matrix @ vectors)[None])[0]).misfit(form))
    denser = [folder.fold(reduce_bases((np.linalg.inv(m) @ vectors)[None])[0]).misfit(form) for m in _SPARSER]
    networks_by = measure_evidence(vectors, data, networks)
    return dict(base=base / folder._square, own=own / folder._square, nulls=(np.array(nulls) / folder._square), sparser=np.array(others) / folder._square, denser=np.array(denser) / folder._square, old=networks_by, explained=explained, lengths=np.linalg.norm(vectors, axis=1), mask=folder.mask.mean())


_ENVELOPES = (8.0, 24.0)
_START = 12.0
_DEVIATIONS = (4.0, 9.0)
_SMOOTHING = 0.28
_SPARSER = [np.array(each, float) for each in (((2, 0), (0, 1)), ((1, 0), (0, 2)), ((1, 1), (1, -1)), ((3, 0), (0, 1)), ((1, 0), (0, 3)), ((1, 1), (2, -1)), ((1, -1), (2, 1)))]
_LONGEST = 0.14


class _Judge:
    def __init__(self, folder, start, noise):
        self.folder, self.start, self.noise = folder, start, noise

    def allowed(self, own, base):
        gain = max(base - own, 0.0)
        return own + min(0.2 * gain, 0.02 * gain + 0.25 * max(own - self.noise, 0.0))

    def prefers_sparser(self, dense, sparse):
        folder = self.folder
        deviation = _SMOOTHING / np.sqrt(abs(np.linalg.det(sparse)))
        one, other = folder.fold(dense), folder.fold(sparse)
        form = one.alternate(self.start, deviation, 2)
        own, cost = one.misfit(form), other.misfit(form)
        whole = sparse @ np.linalg.inv(dense)
        if np.abs((whole - np.rint(whole)) @ dense).max() > 2e-3:
            cost = min(cost, other.misfit(other.alternate(self.start, deviation, 2)))
        return cost <= self.allowed(own, folder.misfit_without_order(folder.smooth(deviation)))

    def move(self, vectors):
        folder = self.folder
        here = folder.fold(vectors)
        side = 1 / np.sqrt(abs(np.linalg.det(vectors)))
        best = None
        for index, matrices in ((3, _SPARSER[3:]), (2, _SPARSER[:3])):
            deviation = _SMOOTHING * side / np.sqrt(index)
            form = here.alternate(self.start, deviation, 2)
            own = here.misfit(form)
            limit = self.allowed(own, folder.misfit_without_order(folder.smooth(deviation)))
            for other in self.possible([m @ vectors for m in matrices]):
                cost = folder.fold(other).misfit(form)
                if cost <= limit and (best is None or cost - own < best[0]):
                    best = cost - own, other
            if best is not None:
                return best[1]
        deviation = _SMOOTHING * side
        form = here.alternate(self.start, deviation, 2)
        own = here.misfit(form)
        denser = self.possible([np.linalg.inv(m) @ vectors for m in _SPARSER])
        for other in sorted(denser, key=lambda each: folder.fold(each).misfit(form))[:1]:
            if not self.prefers_sparser(other, vectors):
                return other
        return vectors

    def possible(self, options):
        return [v for v in reduce_bases(np.stack(options)) if _is_possible(v) and np.linalg.norm(v, axis=1).max() < _LONGEST]


def lattice_plane(vectors: Array, plane: Plane) -> LatticePlane:
    """Build a lattice plane from a and b alone, projected onto the plane.

    The plane is rotated into the Cartesian setting of the cell: a along x, b in the xy plane. The unknown c is upright
    and as long as a. The distance of the plane from Q = 0 does not change.

    Args:
        vectors: a and b as rows, (2, 2) [cycles per pixel], along rows and along columns.
        plane: positions of the pixels in any Cartesian setting [1/Angstrom].

    Raises:
        InputError: the vectors are parallel or zero.
    """
    frame = _frame(plane)
    steps = np.stack([frame[:2] @ plane.step_u, frame[:2] @ plane.step_v])
    direct = 2 * np.pi * np.linalg.solve(steps, vectors.T).T
    lengths = np.linalg.norm(direct, axis=1)
    along = direct[0] / lengths[0]
    across = np.array([-along[1], along[0]])
    across *= np.sign(direct[1] @ across)
    gamma = float(np.degrees(np.arctan2(direct[1] @ across, direct[1] @ along)))
    turn = np.stack([along @ frame[:2], across @ frame[:2], frame[2]])
    origin, step_u, step_v = (turn @ each for each in (plane.origin, plane.step_u, plane.step_v))
    cell = Cell(float(lengths[0]), float(lengths[1]), float(lengths[0]), gamma=gamma)
    return LatticePlane(cell, Plane(origin, step_u, step_v, plane.shape), (0, 1))


@lru_cache(maxsize=8)
def _frame(plane: Plane) -> Array:
    """Return Cartesian axes as rows: along the rows of the plane, across them in the plane, and upright."""
    along = plane.step_u / np.linalg.norm(plane.step_u)
    upright = np.cross(plane.step_u, plane.step_v)
    upright = upright / np.linalg.norm(upright)
    return np.stack([along, np.cross(upright, along), upright])


def measure_evidence(vectors: Array, data: Signal, networks: Signal) -> Array:
    """Return the evidence for a lattice, (3,): 1 and two logarithms; lower is better.

    The first logarithm is that of the share of the networks' I_SRO that a series on the lattice leaves. The second is
    that of the misfit of the plane to its series on the lattice, over its misfit to the networks' I_SRO with the best
    scale and constant.
    """
    own = _Fit(networks, vectors, MAX_INDEX).misfit / max(_sum_of_squares_about_mean(networks), 1e-30)
    columns = np.stack([networks.values.reshape(-1), np.ones(networks.values.size)])
    weighted = columns * data.weights.reshape(-1)
    amplitudes = np.linalg.lstsq(weighted @ columns.T, weighted @ data.values.reshape(-1), rcond=None)[0]
    left = data.values - (amplitudes @ columns).reshape(data.values.shape)
    by_networks = float(np.sum(data.weights * left**2))
    by_series = _Fit(data, vectors, MAX_INDEX).misfit
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


def _combine_signals(data: Signal, networks: Signal) -> Signal:
    """Combine both signals into one, whose misfit is the sum of both misfits up to a constant.

    I_SRO of the networks is brought to the scale of the data; it guides the fit where pixels are missing or noisy.
    """
    target, weights = networks.values, data.weights
    total = weights.sum()
    centred = target - float((weights * target).sum() / total)
    mean = float((weights * data.values).sum() / total)
    variance = float((weights * centred**2).sum())
    scale = float((weights * centred * (data.values - mean)).sum()) / variance if variance > 0 else 0.0
    share = _NETWORK_WEIGHT * float(weights.mean())
    expected = mean + max(scale, 0.0) * centred
    return Signal((weights * data.values + share * expected) / (weights + share), weights + share)


class _Fit:
    """Least-squares fit of the cosine series on a lattice to a signal."""

    def __init__(self, signal: Signal, vectors: Array, index: int) -> None:
        self.vectors, self.index = vectors, index
        self._signal = signal
        self._lattice = lattice_plane(vectors, _nominal_plane(signal.values.shape))
        self._equations = self._equations_of(signal.weights)
        self._series = self._equations.solve()
        self._left = signal.values - self._series.evaluate(self._lattice.plane)
        self.misfit = float(np.sum(signal.weights * self._left**2))

    def _equations_of(self, weights: Array) -> NormalEquations:
        lattice = self._lattice
        return normal_equations(
            self._signal.values, weights, lattice.cell, lattice.plane, lattice.axes, self.index
        )

    def step(self) -> Array:
        """Return the change of the vectors in a Gauss-Newton step with fixed harmonics, (2, 2)."""
        plane, series = self._lattice.plane, self._series
        numbers = 2j * np.pi * np.arange(-self.index, self.index + 1)

        def slope(factor: npt.NDArray[np.complexfloating[Any, Any]]) -> Array:
            return CosineSeries(
                (factor * series.coefficients).astype(np.complex128), series.cell, series.axes
            ).evaluate(plane)

        by_first, by_second = slope(numbers[:, None]), slope(numbers[None])
        rows, columns = plane.index_u[:, None], plane.index_v[None]
        slopes = np.stack([rows * by_first, columns * by_first, rows * by_second, columns * by_second])
        slopes = slopes.reshape(4, -1)
        weighted = slopes * self._signal.weights.reshape(-1)
        matrix = weighted @ slopes.T
        matrix[np.diag_indices(4)] += 1e-9 * np.trace(matrix) + 1e-30
        change = np.linalg.solve(matrix, weighted @ self._left.reshape(-1))
        return np.asarray(change.reshape(2, 2), np.float64)

    def cross_validate(self) -> float:
        """Return the misfit of each half of the blocks, divided like a chessboard, to the series of the other half."""
        weights = self._signal.weights
        rows, columns = (np.arange(size) // _BLOCK for size in weights.shape)
        black = (rows[:, None] + columns) % 2 == 0
        of_black = self._equations_of(np.where(black, weights, 0))
        total = 0.0
        for part, equations in ((~black, of_black), (black, self._equations.without(of_black))):
            left = self._signal.values - equations.solve().evaluate(self._lattice.plane)
            total += float(np.sum(np.where(part, weights, 0) * left**2))
        return total


@lru_cache(maxsize=8)
def _nominal_plane(shape: tuple[int, ...]) -> Plane:
    """Return a plane without known axes: Q = 0 lies off the plane, because it may be anywhere."""
    origin, step_u, step_v = _NOMINAL_STEP * np.eye(3)[[2, 0, 1]]
    return Plane(origin, step_u, step_v, (shape[0], shape[1]))


def _refine(signal: Signal, best: _Fit, rounds: int) -> _Fit:
    """Take Gauss-Newton steps while they help; none shifts the highest harmonic by more than a cycle at the edges."""
    for _ in range(rounds):
        step = best.step()
        turn = float(np.abs(step).max()) * best.index * max(signal.values.shape) / 2
        moved = best.vectors + step / max(turn, 1.0)
        if not _is_possible(moved):
            break
        after = _Fit(signal, moved, best.index)
        if after.misfit >= best.misfit:
            break
        best = after
        if turn < 1e-3:
            break
    return best


def _is_possible(vectors: Array) -> bool:
    lengths = np.linalg.norm(vectors, axis=1)
    return bool(lengths.min() > 0.9 * SHORTEST and abs(np.linalg.det(vectors)) > 0.5 * lengths.prod())


def _choose_best(signal: Signal, pairs: list[Array]) -> _Fit:
    """Return the fit that predicts the plane best; the last of the pairs is for order along one direction only."""
    variance = _sum_of_squares_about_mean(signal)
    sketches = [_refine(signal, _Fit(signal, pair, _SKETCH_INDEX), 1) for pair in pairs]
    explained = [variance - sketch.misfit for sketch in sketches]
    enough = _PROMISING * max(explained)
    order = sorted(range(len(pairs) - 1), key=lambda each: -explained[each])[: _FINALISTS - 1]
    chosen = [each for each in order if explained[each] >= enough] + [len(pairs) - 1]
    fits = [_refine(signal, _Fit(signal, sketches[each].vectors, MAX_INDEX), 1) for each in chosen]
    misfits = np.array([fit.cross_validate() for fit in fits])
    least = float(misfits.min())
    if misfits[-1] <= _AS_GOOD_ALONG_ONE * least:
        return fits[-1]
    areas = np.array([abs(np.linalg.det(fit.vectors)) for fit in fits])
    return fits[int(np.argmax(np.where(misfits <= _AS_GOOD * least, areas, 0)))]


def _short_bases(vectors: Array) -> list[Array]:
    """Return the reduced basis, and others that are as short.

    A series with |m|, |n| <= 5 contains different harmonics in each basis.
    """
    first, second = reduce_bases(vectors[None])[0]
    third = -first - second
    if np.linalg.norm(third) > _NEARLY_AS_SHORT * np.linalg.norm(second):
        return [np.stack([first, second])]
    return [np.stack(pair) for pair in ((first, second), (second, third), (third, first))]


def _sum_of_squares_about_mean(signal: Signal) -> float:
    mean = (signal.weights * signal.values).sum() / signal.weights.sum()
    return float(np.sum(signal.weights * (signal.values - mean) ** 2))


def _convert_to_confidence(evidence: Array) -> float:
    return float(1 / (1 + np.exp(-np.clip(evidence @ _EVIDENCE_WEIGHTS, -50, 50))))


def _describe_lattice(
    vectors: Array, plane: Plane | None, shape: tuple[int, ...], confidence: float, accepted: bool
) -> FoundLattice:
    lattice = lattice_plane(vectors, _nominal_plane(shape) if plane is None else plane)
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
