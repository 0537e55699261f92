"""The joint fit of a plane with everything that is known or found on its lattice: centring, resolution and noise."""

from dataclasses import dataclass

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.lattice.centring_choice import choose_centring, find_contradiction
from dsfunet.lattice.joint_fit import JointFit, fit_plane
from dsfunet.lattice.joint_fit.resolution import Resolution, note_unknown_resolution, with_thickness
from dsfunet.lattice.joint_fit.resolution_search import estimate_resolution
from dsfunet.physics.centring import Centring
from dsfunet.planes.measured import MeasuredPlane, PlaneGrid

# The share of the measured pixels that needs a standard uncertainty above 0 in the file, for these to be used.
_ENOUGH_SIGMAS = 0.9
_ORIGINS = {
    "option": "as given",
    "file": "from the file",
    "data": "found from the plane",
    "assumed": "assumed",
}


@dataclass(frozen=True, eq=False)
class LatticeModel:
    """A joint fit, and what it assumes of the lattice.

    Attributes:
        fit: The joint fit.
        centring: Lattice type of the sites in the conventional cell.
        centring_from: "option", "file", "data" or "assumed".
        resolution: Of the plane; None for sharp pixels and a sharp layer.
        notes: Warnings, a sentence each.
    """

    fit: JointFit
    centring: Centring
    centring_from: str
    resolution: Resolution | None
    notes: tuple[str, ...]

    def describe(self) -> str:
        """Say which centring was used, and where it is from."""
        return f"centring {self.centring} {_ORIGINS[self.centring_from]}"

    def widths(self, grid: PlaneGrid) -> tuple[float, float] | None:
        """The resolution along both axes [r.l.u.], for the record; None if pixels are sharp."""
        widths = (0.0, 0.0) if self.resolution is None else self.resolution.widths(grid)
        return widths if any(widths) else None


def fit_lattice(
    intensity: Array, mask: Mask, grid: PlaneGrid, measured: MeasuredPlane, settings: FactorizeSettings
) -> LatticeModel:
    """Fit both factors of a plane jointly, with the centring and the resolution that are given or found.

    The centring is that of the settings, else that of the cell if it is not P, else that of the file, else the one that
    the plane shows.

    Args:
        intensity: Of the plane, 0 where missing, (n, m).
        mask: True where measured.
        grid: Where the pixels lie.
        measured: The plane with its uncertainties and the centring of its file.
        settings: Of the factorisation.

    Raises:
        InputError: The plane contradicts the centring of the settings, or both factors cannot be fitted to the plane
            (`dsfunet.lattice.joint_fit.fit_plane`).
    """
    sigma = usable_sigma(measured, mask)
    of_cell = None if grid.cell.centring == "P" else grid.cell.centring
    given = settings.centring or of_cell or measured.centring
    notes: list[str] = []
    resolution = None if settings.resolution == "auto" else settings.resolution
    resolution = with_thickness(resolution, settings.thickness)
    if given is None:
        choice = choose_centring(intensity, mask, grid, sigma=sigma)
        centring, fit = choice.centring, choice.fit
        source = "data" if choice.found else "assumed"
        if max(choice.gains.values()) > 0:  # another centring explains more than P
            notes.append(choice.note)
    else:
        centring, source = given, "option" if settings.centring or of_cell else "file"
        fit = fit_plane(intensity, mask, grid, centring, sigma=sigma, resolution=resolution)
        contradiction = find_contradiction(intensity, mask, grid, centring, fit, sigma=sigma)
        if contradiction is not None and source == "option" and settings.lattice != "insist":
            raise CentringContradictedError(f"--{contradiction}")
        if contradiction is not None:
            notes.append(contradiction)
    if settings.resolution == "auto":
        estimate = estimate_resolution(intensity, mask, grid, centring, sigma=sigma, noise=fit.noise)
        notes.append(estimate.describe())
        resolution = with_thickness(estimate.resolution, settings.thickness)
    elif settings.resolution is None:
        notes.append(note_unknown_resolution(grid))
    if resolution is not None and (given is None or settings.resolution == "auto"):
        fit = fit_plane(intensity, mask, grid, centring, sigma=sigma, resolution=resolution)
    return LatticeModel(fit, centring, source, resolution, tuple(notes))


class CentringContradictedError(InputError):
    """The plane contradicts the centring that the user gave."""


def usable_sigma(measured: MeasuredPlane, mask: Mask) -> Array | None:
    """Return the standard uncertainties of a plane, or None if most measured pixels have none."""
    if measured.sigma is None:
        return None
    given = np.isfinite(measured.sigma) & (measured.sigma > 0)
    return measured.sigma if given[mask].mean() >= _ENOUGH_SIGMAS else None
