"""The settings of a difference pair distribution function."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from dsfunet.analysis.pair_distribution.windows import WINDOWS, WindowName
from dsfunet.errors import InputError
from dsfunet.physics.symmetry import UniqueAxis, laue_rotations

Part = Literal["input", "form_factor", "short_range_order", "product", "residual"]
"""What is transformed: the measured intensity, or another array of a result of `dsfunet factorize`."""

PARTS: tuple[Part, ...] = get_args(Part)

WindowShape = Literal["sphere", "ellipsoid"]
"""A sphere about Q = 0, or an ellipsoid that touches all faces of the box of voxels."""

Fill = Literal["nothing", "product"]
"""What stands for missing voxels: no scattering, or the product of a result."""

Scale = Literal["absolute", "origin"]
"""Units of the map: those of the intensity per cubic Angstrom, or divided by its value at the origin."""


@dataclass(frozen=True)
class PairDistributionSettings:
    """The settings of a difference pair distribution function.

    Attributes:
        window: "gauss" falls to 0.01 at its radius, "hann" and "blackman" to 0, "sphere" ends sharply, "none" takes the
            whole box of voxels.
        shape: of the window.
        radius_inv_angstrom: of a spherical window, |Q| = 2 pi / d [1/Angstrom]; None for the largest sphere in the box.
        resolution: largest step in real space, such as "0.2" (Angstrom) or "0.05 cells", one or three; None for that of
            the Fourier transform of the voxels as they are.
        extent: largest distance along each axis in real space, likewise; None for all of it.
        fill: what stands for voxels that were not measured, nor their Friedel mates.
        scale: units of the map.
        laue: Laue class to average the volume over first, one of `dsfunet.physics.symmetry.LAUE_CLASSES`; None for
            Friedel's law alone.
        unique_axis: "a", "b" or "c"; None for b in 2/m and c in tetragonal, trigonal and hexagonal classes.
    """

    window: WindowName = "gauss"
    shape: WindowShape = "sphere"
    radius_inv_angstrom: float | None = None
    resolution: str | None = None
    extent: str | None = None
    fill: Fill = "nothing"
    scale: Scale = "absolute"
    laue: str | None = None
    unique_axis: UniqueAxis | None = None

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: a field has no valid value, or one that the others exclude.
        """
        for name, found, expected in (
            ("window", self.window, WINDOWS),
            ("shape", self.shape, get_args(WindowShape)),
            ("fill", self.fill, get_args(Fill)),
            ("scale", self.scale, get_args(Scale)),
        ):
            if found not in expected:
                raise InputError(f"--{name} is {found}; expected {', '.join(expected)}")
        if self.laue is not None:
            laue_rotations(self.laue, self.unique_axis)
        elif self.unique_axis is not None:
            raise InputError(f"--unique-axis {self.unique_axis}: found no --laue; add it, or omit this")
        if self.radius_inv_angstrom is None:
            return
        if not 0 < self.radius_inv_angstrom < np.inf:
            raise InputError(
                f"--radius is {self.radius_inv_angstrom:g}; expected |Q| in 1/Angstrom, a number above 0"
            )
        if self.window == "none" or self.shape == "ellipsoid":
            which = "--window none" if self.window == "none" else "--shape ellipsoid"
            raise InputError(f"--radius and {which}: found both; a radius is for spherical windows")
