"""The settings of a refinement on a whole volume."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from dsfunet.analysis.refinement.settings import RefinementSettings
from dsfunet.analysis.refinement.vectors import check_vector, parse_vectors
from dsfunet.errors import InputError
from dsfunet.io.cell_parameters import cell_from_text
from dsfunet.physics import Cell
from dsfunet.physics.centring import Centring, Component
from dsfunet.physics.symmetry import UniqueAxis, laue_rotations

_OPTIONS = ("laue", "unique_axis", "centring", "cell", "shells", "vectors")


@dataclass(frozen=True)
class VolumeRefinementSettings:
    """The settings of a refinement of Warren-Cowley parameters on a whole volume.

    Attributes:
        laue: Laue class, one of `dsfunet.physics.symmetry.LAUE_CLASSES`, such as "m-3m"; None takes the one that the
            volume was averaged over, or finds the highest class of the cell that the correlations do not contradict.
        unique_axis: "a", "b" or "c"; None for b in 2/m and c in tetragonal, trigonal and hexagonal classes.
        centring: lattice type of the sites, which must be that of the fit; None takes that of the fit.
        cell: unit cell to use instead of that of the result.
        shells: number of nearest shells to report, 1 to 100; None for 5, or fewer if the fit has fewer, unless vectors
            are given.
        vectors: lattice vectors (i, j, k) to report instead, one of each orbit, indices from -50 to 50; integers or, in
            a centred lattice, `fractions.Fraction`.

    Raises:
        InputError: a setting is out of its range, or two settings contradict each other.

    Examples:
        >>> from dsfunet.analysis.volume_refinement import VolumeRefinementSettings
        >>> VolumeRefinementSettings(laue="m-3m", shells=8).shells
        8
    """

    laue: str | None = None
    unique_axis: UniqueAxis | None = None
    centring: Centring | None = None
    cell: Cell | None = None
    shells: int | None = None
    vectors: tuple[tuple[Component, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.laue is not None:
            laue_rotations(self.laue, self.unique_axis)
        elif self.unique_axis is not None:
            raise InputError(f"--unique-axis {self.unique_axis}: found no --laue; give both or neither")
        if self.vectors is None:
            return
        if self.shells is not None:
            raise InputError("--shells and --vectors: found both; use one of them")
        checked = tuple(check_vector(each, self.centring, layer=False) for each in self.vectors)
        object.__setattr__(self, "vectors", checked)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "VolumeRefinementSettings":
        """Take the settings from the options of `dsfunet refine`.

        Args:
            options: values by name, as for `RefinementSettings.from_options`.

        Raises:
            InputError: an option that only makes sense for planes is given, a text cannot be parsed, or the settings
                are invalid.
        """
        defaults = signature(RefinementSettings.from_options).parameters
        for name, value in options.items():
            if name not in _OPTIONS and value != defaults[name].default:
                allowed = ", ".join(_option(each) for each in _OPTIONS)
                raise InputError(
                    f"{_option(name)}: it is for planes, and the result is a volume; omit it (a volume takes {allowed})"
                )
        cell, vectors = options.get("cell"), options.get("vectors")
        return cls(
            laue=options.get("laue"),
            unique_axis=options.get("unique_axis"),
            centring=options.get("centring"),
            cell=None if cell is None else cell_from_text(cell),
            shells=options.get("shells"),
            vectors=None if vectors is None else parse_vectors(vectors),
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
