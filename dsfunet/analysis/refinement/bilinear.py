"""Fit of one set of alphas to several planes, each with a scale of its own: s_j (1 + sum alpha_o C_jo).

For one plane the problem is linear in s and s alpha. For several planes it is bilinear, but the misfit of a plane
depends on its pixels only through the triangular factor of a QR decomposition, which has as many rows as columns. The
search for the minimum therefore costs almost nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from dsfunet._typing import Array
from dsfunet.errors import InputError

_TOLERANCE = 1e-15
_MOST_STEPS = 500


@dataclass(frozen=True, eq=False)
class Term:
    """The observations of one plane, values = s (design @ (1, alphas)).

    Attributes:
        design: constant column and one cosine series for each orbit, shape (n, 1 + k).
        values: shape (n,).
        weights: shape (n,), all positive.
    """

    design: Array
    values: Array
    weights: Array

    def shape(self, alphas: Array) -> Array:
        """Return design @ (1, alphas), shape (n,)."""
        total: Array = self.design[:, 0] + self.design[:, 1:] @ alphas
        return total


@dataclass(frozen=True, eq=False)
class BilinearFit:
    """The scales and alphas of a least-squares minimum.

    Attributes:
        scales: one for each plane, shape (p,).
        alphas: shape (k,).
        at_bound: -1 at the lower bound, 1 at the upper bound, 0 between, shape (k,).
    """

    scales: Array
    alphas: Array
    at_bound: npt.NDArray[np.int_]


def fit_bilinear(terms: Sequence[Term], bounds: tuple[float, float] | None = None) -> BilinearFit:
    """Minimise the sum of w (values - s design @ (1, alphas))^2 over all planes.

    Args:
        terms: the observations of each plane.
        bounds: lowest and highest allowed alpha.

    Raises:
        InputError: the values of a plane are all 0, or the search does not converge.
    """
    count = len(terms)
    triangles, units = [], np.empty(count)
    for number, term in enumerate(terms):
        root = np.sqrt(term.weights)
        # In units where the values of each plane are about 1, so that all parameters have similar magnitudes.
        units[number] = np.sqrt(np.mean(term.values**2))
        if not units[number] > 0:
            raise InputError("short-range order is 0 in every pixel that counts; expected some intensity")
        columns = np.column_stack([units[number] * term.design, term.values])
        triangles.append(np.linalg.qr(root[:, None] * columns).R)
    designs = np.stack([triangle[:, :-1] for triangle in triangles])
    targets = np.stack([triangle[:, -1] for triangle in triangles])
    size = np.sqrt(np.sum(targets**2))
    designs, targets = designs / size, targets / size

    def shapes(alphas: Array) -> Array:
        values: Array = designs @ np.concatenate([[1.0], alphas])
        return values

    def misfit(parameters: Array) -> Array:
        values: Array = parameters[:count, None] * shapes(parameters[count:]) - targets
        return values.reshape(-1)

    def jacobian(parameters: Array) -> Array:
        by_scale = np.eye(count)[:, None, :] * shapes(parameters[count:])[:, :, None]
        by_alphas = parameters[:count, None, None] * designs[:, :, 1:]
        matrix: Array = np.concatenate([by_scale, by_alphas], axis=2)
        return matrix.reshape(-1, matrix.shape[2])

    low, high = bounds or (-np.inf, np.inf)
    parameters = designs.shape[2] - 1
    alphas = np.zeros(parameters)
    shape = shapes(alphas)
    scales = np.einsum("ji,ji->j", shape, targets) / np.einsum("ji,ji->j", shape, shape)
    found = least_squares(
        misfit,
        np.concatenate([scales, alphas]),
        jacobian,
        bounds=(
            np.repeat([-np.inf, low], [count, parameters]),
            np.repeat([np.inf, high], [count, parameters]),
        ),
        method="dogbox",
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
        max_nfev=_MOST_STEPS,
    )
    if found.status == 0:
        raise InputError(
            "the fit of scales and alphas does not converge; use fewer vectors, or planes with more measured pixels"
        )
    return BilinearFit(found.x[:count] * units, found.x[count:], found.active_mask[count:].astype(np.int_))
