"""Where a fit of a volume stands: kept after each round, so that an interrupted fit can go on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.lattice.volume_fit.iteration import Point, Solution
from dsfunet.lattice.volume_fit.model import Noise, State
from dsfunet.lattice.volume_fit.modes import ModePrior
from dsfunet.lattice.volume_fit.solver import Prior

Arrays = Mapping[str, npt.NDArray[np.generic]]

_ARRAYS = ("coefficients", "alphas", "precisions", "order_variances")
_NUMBERS = ("ratio", "offset", "level", "ceiling", "chi_squared", "effective")


@dataclass(frozen=True, eq=False)
class _Kept:
    arrays: Arrays
    record: Mapping[str, object]


class FitMemory:
    """The latest point of each stage of a fit.

    Args:
        arrays: what `as_arrays` of an earlier fit of the same voxels returned; None for nothing.
        on_keep: called after each point that is kept.

    Raises:
        InputError: the arrays are damaged.
    """

    def __init__(self, arrays: Arrays | None = None, on_keep: Callable[[], None] = lambda: None) -> None:
        self._points: dict[str, Point] = {}
        self._kept: dict[str, _Kept] = {}
        self._on_keep = on_keep
        try:
            records = json.loads(str(arrays["points"])) if arrays is not None else {}
            for stage, record in records.items():
                assert arrays is not None
                self._kept[stage] = _Kept({name: arrays[f"{stage}.{name}"] for name in _ARRAYS}, record)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the points of the fit are damaged ({error!r})") from error

    def __len__(self) -> int:
        """Number of stages with a point."""
        return len(self._kept | self._points)

    def recall(self, stage: str, modes: ModePrior, correlations: int) -> Point | None:
        """Return the latest point of a stage; None if there is none that suits the problem.

        Args:
            stage: its name.
            modes: of the form factor.
            correlations: number of correlations.
        """
        if stage in self._points:
            return self._points[stage]
        kept = self._kept.get(stage)
        if kept is None:
            return None
        arrays = {name: np.asarray(values, dtype=np.float64) for name, values in kept.arrays.items()}
        wanted = {
            "coefficients": modes.shells.shape,
            "alphas": (correlations,),
            "precisions": modes.sizes.shape,
            "order_variances": (correlations,),
        }
        if any(arrays[name].shape != shape for name, shape in wanted.items()):
            return None
        record = kept.record
        try:
            number = {name: float(str(record[name])) for name in _NUMBERS}
            state = State(arrays["coefficients"], arrays["alphas"], Noise(number["ratio"], number["offset"]))
            prior = Prior(
                modes, arrays["precisions"], number["level"], arrays["order_variances"], number["ceiling"]
            )
            used, rounds = int(str(record["used"])), int(str(record["rounds"]))
            solution = Solution(state, prior, number["chi_squared"], used, number["effective"], rounds)
            random = record["random"]
            return Point(
                solution,
                bool(record["settled"]),
                bool(record["finished"]),
                random,
                float(str(record["change"])),
            )
        except (LookupError, ValueError):
            return None

    def keep(self, stage: str, point: Point) -> None:
        """Keep a point as the latest of its stage."""
        self._points[stage] = point
        self._on_keep()

    def as_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all points as arrays that a file can hold."""
        found: dict[str, npt.NDArray[np.generic]] = {}
        records: dict[str, object] = {}
        for stage, kept in self._kept.items():
            if stage not in self._points:
                found |= {f"{stage}.{name}": kept.arrays[name] for name in _ARRAYS}
                records[stage] = kept.record
        for stage, point in self._points.items():
            solution = point.solution
            state, prior = solution.state, solution.prior
            values = (state.coefficients, state.alphas, prior.precisions, prior.order_variances)
            found |= {f"{stage}.{name}": each for name, each in zip(_ARRAYS, values, strict=True)}
            numbers = (
                state.noise.ratio,
                state.noise.offset,
                prior.level,
                prior.ceiling,
                solution.chi_squared,
                solution.effective,
            )
            records[stage] = {
                name: repr(float(each)) for name, each in zip(_NUMBERS, numbers, strict=True)
            } | {
                "used": solution.used,
                "rounds": solution.rounds,
                "settled": point.settled,
                "finished": point.finished,
                "random": point.random,
                "change": repr(float(point.change)),
            }
        found["points"] = np.array(json.dumps(records))
        return found
