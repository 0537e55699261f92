"""Training planes straight from the simulator, without files; they equal those that `python -m simulate` writes.

    data:
      source:
        class_path: simulate.live.SimulatedPlanes
        init_args: {recipe: configs/simulate/release.yaml}

Run from the checkout: the wheel ships `dsfunet` alone.
"""

import hashlib
import json
import os
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from dsfunet._version import __version__
from dsfunet.data.layout import layout_with
from dsfunet.data.sample import Sample, StoredPlane, rebuild_sample
from dsfunet.errors import InputError
from simulate.crystals.draw import Population, build_population
from simulate.crystals.planes import GENERATOR_VERSION, draw_samples
from simulate.recipe import SPLITS, Recipe
from simulate.stores.correlation_cache import load_correlation_sets

Arrays = dict[str, npt.NDArray[Any]]

_CRYSTALS_KEPT = 32


class SimulatedPlanes:
    """Samples of a recipe, made on demand; a source of planes for `dsfunet.data.datamodule.PlaneDataModule`.

    Sample i equals, bit for bit, the one that `python -m simulate` writes at index i, because it comes from the random
    stream of its crystal. The Monte Carlo sets are the same, too. A crystal draws one of the sets that met their
    targets, so the training process makes all sets once, before the first plane and for all its workers.

    If a crystal gives several planes, all of them are drawn at once. The last few crystals are kept, which makes it
    fast to ask for neighbouring samples together (`block`).

    Args:
        recipe: recipe file, such as configs/simulate/release.yaml.
        split: `train`, or `validation` for planes of species that no training plane contains.
        samples: planes per epoch; None takes the recipe's number.
        fresh: use new planes in every epoch; epoch e starts at plane e * samples.
        sets_folder: folder that keeps the Monte Carlo sets for the next start; None makes them at every start.
        progress: show a progress bar while the sets are made.

    Raises:
        InputError: the recipe cannot be read or is invalid, or the number of samples is below 1.
    """

    def __init__(
        self,
        recipe: str,
        split: Literal["train", "validation"] = "train",
        samples: int | None = None,
        fresh: bool = True,
        sets_folder: str | None = None,
        progress: bool = True,
    ) -> None:
        if split not in SPLITS:
            raise InputError(f"split is {split!r}; expected {' or '.join(SPLITS)}")
        self.recipe = read_recipe(Path(recipe))
        if samples is None:
            samples = int(getattr(self.recipe.samples, split))
        if samples < 1:
            raise InputError(
                f"{recipe}: the number of {split} samples per epoch is {samples}; expected at least 1"
            )
        needs_sets = self.recipe.monte_carlo_share > 0
        if needs_sets and getattr(self.recipe.monte_carlo_sets, split) < 1:
            raise InputError(
                f"{recipe}: monte_carlo_sets.{split} is 0 and monte_carlo_share is {self.recipe.monte_carlo_share};"
                " expected at least one set"
            )
        self.split = split
        self.samples = samples
        self.fresh = fresh
        self.block = self.recipe.planes_per_crystal
        self._sets_folder = None if sets_folder is None else Path(sets_folder)
        self._progress = progress
        # The species digest needs no Monte Carlo sets, which would take seconds to minutes.
        species = build_population(self.recipe, split, ()).species_digest
        identity = [self.recipe.digest, species, GENERATOR_VERSION, split, samples, fresh]
        self.digest: str = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        self._population: Population | None = None
        self._crystals: OrderedDict[int, list[Arrays]] = OrderedDict()

    def __len__(self) -> int:
        return self.samples

    def __getstate__(self) -> dict[str, Any]:
        # Make the population before pickling, or every worker would make the Monte Carlo sets again.
        self.population()
        return {**self.__dict__, "_crystals": OrderedDict()}

    def population(self) -> Population:
        """Return what the crystals are drawn from; the first call makes or reads the Monte Carlo sets.

        Raises:
            InputError: `sets_folder` cannot be written, or no Monte Carlo set of the recipe is usable.
        """
        if self._population is None:
            workers = os.cpu_count() or 1
            if self._sets_folder is not None:
                _make_folder(self._sets_folder)
            sets = load_correlation_sets(self.recipe, self.split, self._sets_folder, workers, self._progress)
            self._population = build_population(self.recipe, self.split, sets)
        return self._population

    def description(self) -> dict[str, Any]:
        """Return the description of the training planes that a checkpoint stores, in plain values."""
        population = self.population()
        return {
            "split": self.split,
            "recipe": self.recipe.as_plain(),
            "recipe_digest": self.recipe.digest,
            "species_digest": population.species_digest,
            "code_version": __version__,
            "planes": self.samples,
            "digest": self.digest,
            "species": sorted({species.name for pair in population.pairs for species in pair}),
        }

    def sample(self, index: int) -> Sample:
        """Return plane number `index`, as a store would; the number of fresh planes is unlimited.

        Raises:
            InputError: 20 crystals in a row gave no usable plane.
        """
        arrays = self.arrays(index)
        floors = float(arrays["form_factor_floor"]), float(arrays["short_range_order_floor"])
        components = arrays["form_factor"], arrays["short_range_order"]
        return rebuild_sample(StoredPlane(*components, arrays["mask"], floors, arrays.get("scattering")))

    def arrays(self, index: int) -> Arrays:
        """Return the stored arrays of plane number `index`, by name.

        Raises:
            IndexError: there is no such plane.
            InputError: 20 crystals in a row gave no usable plane.
        """
        if index < 0 or not (self.fresh or index < self.samples):
            raise IndexError(f"sample {index} of {self.samples}")
        crystal, place = divmod(index, self.block)
        if crystal not in self._crystals:
            self._crystals[crystal] = self._draw(crystal)
            if len(self._crystals) > _CRYSTALS_KEPT:
                self._crystals.popitem(last=False)
        self._crystals.move_to_end(crystal)
        return self._crystals[crystal][place]

    def _draw(self, crystal: int) -> list[Arrays]:
        first = crystal * self.block
        population = self.population()
        # Several BLAS threads would round sums differently and take cores from training.
        with _thread_pools().limit(limits=1):
            drawn = list(draw_samples(population, first, first + self.block))
        layout = layout_with(self.recipe.optional_arrays)
        return [{name: np.asarray(each[name], layout[name].dtype) for name in layout} for each in drawn]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file, as `python -m simulate --config` does.

    Raises:
        InputError: there is no such file, it is not a recipe, or a setting is out of range.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a recipe such as configs/simulate/release.yaml")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Recipe)
    try:
        return Recipe(**vars(parser.instantiate(parser.parse_path(path))))
    except (ArgumentError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a valid recipe of the simulator ({reason})") from error


@cache
def _thread_pools() -> ThreadpoolController:
    # Cached, because searching all loaded libraries takes as long as drawing a plane.
    return ThreadpoolController()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be created ({error.strerror}); expected a folder for the Monte Carlo sets"
        ) from error
