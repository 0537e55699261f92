"""Make the Monte Carlo sets of a split once, in one process, and keep them next to the stores."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsfunet.errors import InputError
from dsfunet.files import replacing
from dsfunet.locks import hold_lock
from simulate.correlations.draw import draw_monte_carlo_sets
from simulate.correlations.sets import CorrelationSet
from simulate.correlations.symmetric_order import sets_by_lattice
from simulate.crystals.planes import GENERATOR_VERSION
from simulate.recipe import SPLITS, Recipe
from simulate.stores.locks import report_os_errors


def load_correlation_sets(
    recipe: Recipe, split: str, out: Path | None, workers: int, progress: bool
) -> tuple[CorrelationSet, ...]:
    """Load the Monte Carlo sets of a split from the cache in `out`, or make them and cache them.

    The name of the cache file depends on all settings of the sets. If several processes need the sets at once, one
    makes them and the others wait. Without `out` the sets are made and no file is read or written.

    Raises:
        InputError: the cache is damaged or cannot be written, no set met its targets, or no set fits one of the
            lattices.
    """
    if recipe.monte_carlo_share == 0:
        return ()
    count = getattr(recipe.monte_carlo_sets, split)
    # Each split has its own seed, so that no validation plane has the same order as a training plane.
    seed = int(
        np.random.SeedSequence(recipe.seed, spawn_key=(len(SPLITS), SPLITS.index(split))).generate_state(1)[0]
    )
    if out is None:
        made = draw_monte_carlo_sets(count, seed, recipe.monte_carlo, workers=workers, progress=progress)
        return _usable_sets(made, count)
    key = json.dumps([recipe.as_plain()["monte_carlo"], count, seed, GENERATOR_VERSION], sort_keys=True)
    cache = out / f"correlations-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    note = f"{cache}: waiting for another process that is making these Monte Carlo sets"
    with (
        report_os_errors(f"{cache}: cannot be written"),
        hold_lock(cache.with_name(f".{cache.name}.lock"), note=note),
    ):
        for left_by_a_killed_run in cache.parent.glob(f".{cache.name}.*.part"):
            left_by_a_killed_run.unlink()
        if not cache.exists():
            arrays = draw_monte_carlo_sets(
                count, seed, recipe.monte_carlo, workers=workers, progress=progress
            )
            with replacing(cache) as temporary, temporary.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
    try:
        with np.load(cache, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        missing = {"alphas", "m_a", "kind", "converged", "targets", "achieved"} - set(arrays)
        if missing or any(len(values) != count for values in arrays.values()):
            raise ValueError("arrays or sets are missing")
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{cache}: the file is damaged ({error}); delete it to have it made again"
        ) from error
    return _usable_sets(arrays, count)


def _usable_sets(arrays: dict[str, npt.NDArray[Any]], count: int) -> tuple[CorrelationSet, ...]:
    sets = tuple(
        CorrelationSet(
            alphas=arrays["alphas"][index],
            m_a=float(arrays["m_a"][index]),
            kind=str(arrays["kind"][index]),
            converged=bool(arrays["converged"][index]),
            targets=arrays["targets"][index],
            achieved=arrays["achieved"][index],
        )
        for index in range(count)
    )
    converged = [each for each in sets if each.converged]
    if not converged:
        raise InputError(
            f"none of the {count} Monte Carlo sets met its targets; loosen monte_carlo in the recipe"
        )
    sets_by_lattice(converged)  # check it here, because an error in a worker would end the pool
    return sets
