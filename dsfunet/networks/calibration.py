"""Calibration of the networks' uncertainties: its file, its features and its checks."""

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
"""Whose answer it is: the networks' alone, or that of lattice mode."""


CALIBRATED_PASSES = (1, 2, 4)
"""Numbers of passes with coefficients of their own; others take the next lower: beyond 4 there is little to gain."""


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
"""What the logarithm of sigma is a linear function of (see `describe_answer`)."""


SIGMA_RANGE = (1e-3, 1.0)
"""Of sigma in spread space, in which a component spans 2: nothing is known better, and nothing is known worse."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What makes standard uncertainties of features: coefficients of FEATURES for one pair of networks.

    Attributes:
        digest: SHA-256 of the weights that it belongs to.
        coefficients: of the logarithm of sigma in spread space, by mode, component and number of passes.
    """

    digest: str
    coefficients: Mapping[tuple[Mode, str, int], npt.NDArray[np.float32]]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], source: str) -> "Calibration":
        """A calibration from what calibration.json holds.

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
                f"{source}: not a calibration of this program ({error}); expected what"
                " `python -m evaluate calibration` wrote"
            ) from error
        if not isinstance(digest, str) or not all(np.isfinite(each).all() for each in coefficients.values()):
            raise InputError(f"{source}: a calibration whose digest or coefficients are damaged")
        return cls(digest, coefficients)

    def to_plain(self) -> dict[str, Any]:
        """What calibration.json holds of it, in plain values."""
        plain: dict[str, Any] = {}
        for (mode, component, passes), values in self.coefficients.items():
            named = {name: float(f"{value:.6g}") for name, value in zip(FEATURES, values, strict=True)}
            plain.setdefault(mode, {}).setdefault(component, {})[str(passes)] = named
        return {"weights_sha256": self.digest, "coefficients": plain}

    def sigma(self, mode: Mode, passes: int, features: Planes) -> Planes:
        """Standard uncertainties in spread space, (2, ...), of features (2, FEATURES, ...)."""
        known = max(each for each in CALIBRATED_PASSES if each <= passes)
        both = np.stack([self.coefficients[mode, component, known] for component in COMPONENTS])
        sigma: Planes = np.exp(np.einsum("cf,cf...->c...", both, features))
        return np.clip(sigma, *SIGMA_RANGE).astype(np.float32)


def read_calibration(text: str, source: str) -> dict[str, Any]:
    """The plain values of a calibration.json.

    Raises:
        InputError: it is not JSON or no calibration.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise InputError(f"{source}: not JSON ({error})") from error
    if not isinstance(plain, dict):
        raise InputError(f"{source}: not a calibration; expected what `python -m evaluate calibration` wrote")
    Calibration.from_plain(plain, source)
    return plain
