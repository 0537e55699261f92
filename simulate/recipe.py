"""The recipe of a data set: everything that decides which planes are made. The YAML files mirror this class."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsfunet.errors import InputError
from simulate.artefacts.degradation import SignalRecipe
from simulate.artefacts.masks import MaskRecipe
from simulate.correlations.monte_carlo import MonteCarloRecipe
from simulate.correlations.oscillators import OscillatorRecipe

SPLITS = ("train", "validation")
"""Splits in the order of their random streams: append, never reorder."""


@dataclass(frozen=True)
class Counts:
    """How many of something each split gets.

    Raises:
        InputError: a count is negative.
    """

    train: int
    validation: int

    def __post_init__(self) -> None:
        if self.train < 0 or self.validation < 0:
            raise InputError(
                f"counts {self.train} (train) and {self.validation} (validation): expected no negative"
            )


@dataclass(frozen=True)
class Recipe:
    """Everything that decides which planes a data set holds.

    The same recipe gives the same planes, bit for bit, whatever the number of workers.

    Args:
        samples: planes of each split; validation planes are of species that no training plane shows.
        seed: root of every random stream; every crystal of a split has a stream of its own.
        samples_per_shard: planes in one file; a shard is the unit of work, of resuming and of checking.
        planes_per_crystal: planes taken from one crystal, near-duplicates dropped; the paper takes 12.
        monte_carlo_share: share of planes ordered by Monte Carlo, the rest by damped oscillators.
        monte_carlo_sets: Monte Carlo correlation sets made for each split.
        monte_carlo: how one Monte Carlo set is made.
        oscillator: how one damped-oscillator set (equation 7) is drawn.
        monte_carlo_q_max_inv_angstrom: range of Q_max of Monte Carlo planes [1/Angstrom].
        oscillator_q_max_inv_angstrom: range of Q_max of oscillator planes [1/Angstrom].
        max_layer_inv_angstrom: layers h k n are taken up to this length of n c* [1/Angstrom].
        strongest_layer_share: probability of a layer between the integers where scattering is strongest there;
            0 for none at all.
        rotated_share: probability that a species is turned at random against its catalogue orientation.
        orientation_share: share of pairs that are one species in two orientations.
        balance_groups: draw the five groups equally often, not in proportion to their number of pairs.
        triclinic_share: probability that a crystal of untied Monte Carlo order gets a cell with three angles of
            its own.
        debye_waller_b_angstrom2: range of the isotropic B on I_FF [Angstrom^2]; (0, 0) switches it off.
        mask: detector artefacts on the input.
        signal: counting noise, background and Bragg residue on the input; with any of them on, the store holds the
            scattering plane too.
        species_folder: folder of the user's own XYZ or CIF files, added to the training species.

    Raises:
        InputError: a share is not in [0, 1], a range is not ordered, or a count is not positive.
    """

    samples: Counts
    seed: int = 0
    samples_per_shard: int = 256
    planes_per_crystal: int = 1
    monte_carlo_share: float = 0.5
    monte_carlo_sets: Counts = Counts(12000, 1000)
    monte_carlo: MonteCarloRecipe = field(default_factory=MonteCarloRecipe)
    oscillator: OscillatorRecipe = field(default_factory=OscillatorRecipe)
    monte_carlo_q_max_inv_angstrom: tuple[float, float] = (8.0, 8.0)
    oscillator_q_max_inv_angstrom: tuple[float, float] = (6.0, 8.0)
    max_layer_inv_angstrom: float = 4.0
    strongest_layer_share: float = 0.25
    rotated_share: float = 0.4
    orientation_share: float = 0.0
    balance_groups: bool = False
    triclinic_share: float = 0.0
    debye_waller_b_angstrom2: tuple[float, float] = (0.0, 0.0)
    mask: MaskRecipe = field(default_factory=MaskRecipe)
    signal: SignalRecipe = field(default_factory=SignalRecipe)
    species_folder: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "monte_carlo_share",
            "strongest_layer_share",
            "rotated_share",
            "orientation_share",
            "triclinic_share",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: expected a share between 0 and 1")
        for name, least in (
            ("monte_carlo_q_max_inv_angstrom", 0.5),
            ("oscillator_q_max_inv_angstrom", 0.5),
            ("debye_waller_b_angstrom2", 0.0),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high < np.inf:
                raise InputError(f"{name} is ({low}, {high}): expected two numbers, {least} <= low <= high")
        if self.samples.train + self.samples.validation == 0:
            raise InputError("samples are 0 for both splits: expected at least one plane")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: expected 0 or more")
        if not 0 <= self.max_layer_inv_angstrom < np.inf:
            raise InputError(f"max_layer_inv_angstrom is {self.max_layer_inv_angstrom}: expected 0 or more")
        for name in ("samples_per_shard", "planes_per_crystal"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: expected at least 1")
        for split in SPLITS:
            needs_sets = getattr(self.samples, split) > 0 and self.monte_carlo_share > 0
            if needs_sets and getattr(self.monte_carlo_sets, split) < 1:
                raise InputError(
                    f"monte_carlo_sets.{split} is 0 but monte_carlo_share is {self.monte_carlo_share}"
                )

    @property
    def optional_arrays(self) -> tuple[str, ...]:
        """Arrays of `dsfunet.data.store.OPTIONAL_LAYOUT` that the stores of this recipe hold."""
        return ("scattering",) if self.signal.is_on else ()

    def as_plain(self) -> dict[str, Any]:
        """The recipe as nested dictionaries, lists and scalars, as it is kept in the store's attributes."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe. Of the user's species folder it holds that there is one, not where.

        What the species are is in a digest of its own, in the store's attributes.
        """
        plain = self.as_plain()
        plain["species_folder"] = None if self.species_folder is None else "given"
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
