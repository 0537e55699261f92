"""Calibration of the networks' uncertainties: its features, its coefficients and its file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsfunet._typing import Planes
from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import COMPONENTS

Mode = Literal["networks", "lattice"]


MODES: tuple[Mode, ...] = ("networks", "lattice")
"""The two ways of factorizing: by the networks alone, or in lattice mode."""


CALIBRATED_PASSES = (1, 2, 4)
"""Numbers of passes that have their own coefficients; other numbers use the next lower one of these."""


FEATURES = (
    "one",
    "log_deviation",
    "log_plane_deviation",
    "log_misfit",
    "log_noise",
    "log_depth",
    "level",
    "level_squared",
)
"""The logarithm of sigma is a linear function of these features (`dsfunet.factorize.uncertainty`)."""


SIGMA_RANGE = (1e-3, 1.0)
"""Limits of sigma in spread space, in which a component spans 2."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Coefficients that give standard uncertainties from FEATURES, for one pair of networks.

    Attributes:
        digest: SHA-256 of the weights that the calibration belongs to.
        coefficients: coefficients of the logarithm of sigma in spread space, by mode, component and number of passes.
    """

    digest: str
    coefficients: Mapping[tuple[Mode, str, int], npt.NDArray[np.float32]]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], source: str) -> "Calibration":
        """Make a calibration from the contents of calibration.json.

        Raises:
            InputError: something is missing or not a number.
        """
        try:
            digest = plain["weights_sha256"]
            coefficients = {
                (mode, component, passes): np.array(
                    [
                        float(plain["coefficients"][mode][component][str(passes)][feature])
                        for feature in FEATURES
                    ],
                    np.float32,
                )
                for mode in MODES
                for component in COMPONENTS
                for passes in CALIBRATED_PASSES
            }
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{source}: not a calibration of this program ({error}); expected a file that"
                " `python -m evaluate calibration` wrote"
            ) from error
        if not isinstance(digest, str) or not all(np.isfinite(each).all() for each in coefficients.values()):
            raise InputError(
                f"{source}: the digest or a coefficient is damaged; expected a text and finite numbers"
            )
        return cls(digest, coefficients)

    def to_plain(self) -> dict[str, Any]:
        """Return the plain values for calibration.json."""
        plain: dict[str, Any] = {}
        for (mode, component, passes), values in self.coefficients.items():
            named = {name: float(f"{value:.6g}") for name, value in zip(FEATURES, values, strict=True)}
            plain.setdefault(mode, {}).setdefault(component, {})[str(passes)] = named
        return {"weights_sha256": self.digest, "coefficients": plain}

    def sigma(self, mode: Mode, passes: int, features: Planes) -> Planes:
        """Return standard uncertainties in spread space, (2, ...), from features (2, FEATURES, ...)."""
        known = max(each for each in CALIBRATED_PASSES if each <= passes)
        both = np.stack([self.coefficients[mode, component, known] for component in COMPONENTS])
        sigma: Planes = np.exp(np.einsum("cf,cf...->c...", both, features))
        return np.clip(sigma, *SIGMA_RANGE).astype(np.float32)


def read_calibration(text: str, source: str) -> dict[str, Any]:
    """Read the plain values of a calibration.json.

    Raises:
        InputError: the text is not JSON, or not a calibration.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise InputError(f"{source}: not JSON ({error})") from error
    if not isinstance(plain, dict):
        raise InputError(
            f"{source}: not a calibration; expected a file that `python -m evaluate calibration` wrote"
        )
    Calibration.from_plain(plain, source)
    return plain
