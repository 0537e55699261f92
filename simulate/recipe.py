"""The recipe of a data set: all settings that determine its planes. The YAML files have the same fields."""

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
"""Splits in the order of their random streams: new ones may be appended, but the order must not change."""


@dataclass(frozen=True)
class Counts:
    """Counts for the two splits.

    Attributes:
        train: number for the training split.
        validation: number for the validation split.

    Raises:
        InputError: a count is negative.
    """

    train: int
    validation: int

    def __post_init__(self) -> None:
        if self.train < 0 or self.validation < 0:
            raise InputError(
                f"counts are {self.train} (train) and {self.validation} (validation); expected 0 or more"
            )


@dataclass(frozen=True)
class Recipe:
    """All settings that determine the planes of a data set.

    The same recipe gives the same planes, bit for bit, with any number of workers.

    Args:
        samples: number of planes in each split; validation planes use species that no training plane contains.
        seed: seed of all random streams; every crystal of a split has its own stream.
        samples_per_shard: planes in one file; shards are written, resumed and checked as a whole.
        planes_per_crystal: planes taken from one crystal, without near-duplicates; the paper takes 12.
        monte_carlo_share: share of crystals ordered by Monte Carlo; the others use damped oscillators.
        monte_carlo_sets: number of Monte Carlo correlation sets made for each split.
        monte_carlo: settings of the Monte Carlo sets.
        oscillator: settings of the damped-oscillator sets (equation 7).
        monte_carlo_q_max_inv_angstrom: range of Q_max of Monte Carlo planes [1/Angstrom].
        oscillator_q_max_inv_angstrom: range of Q_max of oscillator planes [1/Angstrom].
        max_layer_inv_angstrom: largest length of n c* for layers h k n [1/Angstrom].
        strongest_layer_share: probability of a layer with a fractional index, for crystals whose scattering is
            strongest between integers; 0 disables such layers.
        rotated_share: probability that a species is rotated at random from its catalogue orientation.
        orientation_share: share of pairs that consist of one species in two orientations.
        balance_groups: draw the groups of species equally often, not in proportion to their number of pairs.
        triclinic_share: probability of a triclinic cell, for crystals with Monte Carlo order without symmetry.
        debye_waller_b_angstrom2: range of the isotropic B applied to I_FF [Angstrom^2]; (0, 0) disables it.
        mask: settings of the detector masks.
        signal: settings of background, Bragg residue and counting noise; if any is on, the store also holds the
            scattering plane.
        species_folder: folder with your own XYZ or CIF files, added to the training species.

    Raises:
        InputError: a share is not in [0, 1], a range is reversed, or a count is not positive.
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
                raise InputError(f"{name} is {getattr(self, name)}; expected a share from 0 to 1")
        for name, least in (
            ("monte_carlo_q_max_inv_angstrom", 0.5),
            ("oscillator_q_max_inv_angstrom", 0.5),
            ("debye_waller_b_angstrom2", 0.0),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high < np.inf:
                raise InputError(
                    f"{name} is ({low}, {high}); expected {least} <= lowest <= highest, both finite"
                )
        if self.samples.train + self.samples.validation == 0:
            raise InputError("samples is 0 for both splits; expected at least one plane")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; expected 0 or more")
        if not 0 <= self.max_layer_inv_angstrom < np.inf:
            raise InputError(f"max_layer_inv_angstrom is {self.max_layer_inv_angstrom}; expected 0 or more")
        for name in ("samples_per_shard", "planes_per_crystal"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least 1")
        for split in SPLITS:
            needs_sets = getattr(self.samples, split) > 0 and self.monte_carlo_share > 0
            if needs_sets and getattr(self.monte_carlo_sets, split) < 1:
                raise InputError(
                    f"monte_carlo_sets.{split} is 0 and monte_carlo_share is {self.monte_carlo_share};"
                    " expected at least one set"
                )

    @property
    def optional_arrays(self) -> tuple[str, ...]:
        """Optional arrays (`dsfunet.data.layout.OPTIONAL_LAYOUT`) in the stores of this recipe."""
        return ("scattering",) if self.signal.is_on else ()

    def as_plain(self) -> dict[str, Any]:
        """Return the recipe as nested dictionaries, lists and scalars, as kept in the store's attributes."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return plain

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe. It records whether there is a species folder, but not its path.

        The store's attributes hold a separate digest of the species.
        """
        plain = self.as_plain()
        plain["species_folder"] = None if self.species_folder is None else "given"
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
