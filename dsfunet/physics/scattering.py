"""Scattering factors of atoms and ions for X-rays, neutrons and electrons, from the tables of gemmi.

X-rays: International Tables (1992) of neutral atoms and ions, with f' and f'' of Cromer and Liberman at a wavelength.
Neutrons: bound coherent scattering lengths (Sears, Neutron News 3 (3), 26, 1992) of the natural elements and deuterium.
Electrons: neutral atoms (International Tables C, table 4.3.2.2).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import gemmi
import numpy as np

from dsfunet._typing import Array
from dsfunet.errors import InputError

Radiation = Literal["xray", "neutron", "electron"]
"""What was scattered."""

RADIATIONS: tuple[Radiation, ...] = ("xray", "neutron", "electron")
"""All kinds of radiation, X-rays first."""

TABLE_POINTS = 8192
"""Knots of the |Q| table out to 20 1/Angstrom.

The error of linear interpolation on a grid of h = 20/8192 1/Angstrom is h^2/8 max|f''|, below 1e-6 of f(0).
"""

TABLE_Q_STEP = 20.0 / TABLE_POINTS
"""Step of |Q| in the tables of scattering factors [1/Angstrom]."""

_WAVELENGTHS_ANGSTROM = (0.1, 5.0)
_SPECIES = re.compile(r"([A-Z][a-z]?)(?:(\d*)([+-]))?")
_SHOWN = {"xray": "X-rays", "neutron": "neutrons", "electron": "electrons"}


@dataclass(frozen=True)
class Scattering:
    """The radiation that was scattered, and its wavelength.

    Attributes:
        radiation: "xray", "neutron" or "electron".
        wavelength_angstrom: for f' and f'' of X-rays, 0.1 to 5 [Angstrom]; None leaves both out.

    Raises:
        InputError: the radiation is none of these, a wavelength was given for other radiation than X-rays, or it is out
            of range.

    Examples:
        >>> from dsfunet.physics.scattering import Scattering
        >>> Scattering("neutron").describe()
        'neutron scattering lengths'
    """

    radiation: Radiation = "xray"
    wavelength_angstrom: float | None = None

    def __post_init__(self) -> None:
        if self.radiation not in RADIATIONS:
            raise InputError(f"--radiation is {self.radiation!r}; expected one of {', '.join(RADIATIONS)}")
        if self.wavelength_angstrom is None:
            return
        if self.radiation != "xray":
            raise InputError(
                f"--wavelength {self.wavelength_angstrom:g}: it enters f' and f'' of X-rays only; omit it with"
                f" --radiation {self.radiation}"
            )
        low, high = _WAVELENGTHS_ANGSTROM
        if not low <= self.wavelength_angstrom <= high:
            raise InputError(
                f"--wavelength is {self.wavelength_angstrom:g}; expected {low:g} to {high:g} [Angstrom]"
            )

    def describe(self) -> str:
        """Return a phrase for the user, such as "X-ray scattering factors, f' and f'' at 0.7107 A"."""
        if self.radiation == "neutron":
            return "neutron scattering lengths"
        if self.radiation == "electron":
            return "electron scattering factors of neutral atoms"
        if self.wavelength_angstrom is None:
            return "X-ray scattering factors without f' and f''"
        return f"X-ray scattering factors with f' and f'' at {self.wavelength_angstrom:g} Å"


XRAYS = Scattering()
"""X-rays far from absorption edges, without f' and f''."""


def parse_species(name: str) -> tuple[str, int]:
    """Return the element and the charge of an atom or ion: ("Fe", 3) of "Fe3+", ("O", -1) of "O-".

    Raises:
        InputError: the name is not a chemical symbol with or without a charge.
    """
    match = _SPECIES.fullmatch(name)
    # gemmi reads unknown symbols as X, and words by their first letters: "Carbon" as Ca.
    if (
        match is None
        or gemmi.Element(match[1]).atomic_number == 0
        or gemmi.Element(match[1]).name != match[1]
    ):
        raise InputError(
            f"element {name!r}: the International Tables (1992) have no scattering factor for it; expected a symbol"
            " such as C"
        )
    charge = 0 if match[3] is None else int(match[2] or 1) * (1 if match[3] == "+" else -1)
    return match[1], charge


def check_species(name: str) -> None:
    """Check that there is an X-ray scattering factor for an atom or ion.

    Raises:
        InputError: there is none.
    """
    _xray_coefficients(name)


@lru_cache
def _xray_coefficients(name: str) -> gemmi.IT92Coef:
    element, charge = parse_species(name)
    ignored = gemmi.IT92_get_ignore_charge()
    gemmi.IT92_set_ignore_charge(False)
    try:
        found: gemmi.IT92Coef | None = gemmi.IT92_get_exact(gemmi.Element(element), charge)
    finally:
        gemmi.IT92_set_ignore_charge(ignored)
    if found is None:
        what, expected = "element", "a symbol such as C"
        if charge:
            what, expected = "ion", f"another charge, or {element}"
        raise InputError(
            f"{what} {name!r}: the International Tables (1992) have no scattering factor for it; expected {expected}"
        )
    return found


@lru_cache(maxsize=512)
def scattering_factor_table(name: str, points: int, scattering: Scattering = XRAYS) -> Array:
    """Return the scattering factor of an atom or ion at |Q| = 0, h, 2h, ..., shape (points,); h is `TABLE_Q_STEP`.

    The unit is electrons (X-rays, without f' and f''), 1e-15 m (neutrons) or Angstrom (electrons).

    Raises:
        InputError: there is no such factor.
    """
    q = np.arange(points) * TABLE_Q_STEP
    if scattering.radiation == "neutron":
        table = np.full(points, _scattering_length(name))
    else:
        coefficients = (
            _xray_coefficients(name) if scattering.radiation == "xray" else _electron_coefficients(name)
        )
        # The argument of gemmi is (sin theta / lambda)^2 = (|Q| / 4 pi)^2.
        table = np.array([coefficients.calculate_sf(float(s2)) for s2 in (q / (4 * np.pi)) ** 2])
    table.flags.writeable = False
    return table


@lru_cache
def dispersion_of(name: str, scattering: Scattering) -> complex:
    """Return f' + i f'' of an atom [electrons], 0 without a wavelength."""
    if scattering.wavelength_angstrom is None:
        return 0.0
    number = gemmi.Element(parse_species(name)[0]).atomic_number
    first, second = gemmi.cromer_liberman(number, gemmi.hc / scattering.wavelength_angstrom)
    return complex(first, second)


def _scattering_length(name: str) -> float:
    length = float(gemmi.Element(parse_species(name)[0]).neutron92.get_coefs()[0])
    if length == 0:
        raise InputError(
            f"element {name!r}: its neutron scattering length is not known; expected another element"
        )
    return length


def _electron_coefficients(name: str) -> gemmi.C4322Coef:
    # The potential of a lone ion diverges at Q = 0; in a crystal its charge is screened.
    found: gemmi.C4322Coef | None = gemmi.Element(parse_species(name)[0]).c4322
    if found is None:
        raise InputError(
            f"element {name!r}: there is no electron scattering factor for it; expected an element up to Cf"
        )
    return found


def shown_radiation(radiation: Radiation) -> str:
    """Return the name of a kind of radiation in a sentence, such as "neutrons"."""
    return _SHOWN[radiation]
