"""Fit of one set of alphas to several planes, each with a scale of its own: s_j (1 + sum alpha_o C_jo) + sum b_t T_jt.

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
    """The observations of one plane, values = s (design @ (1, alphas)) + added @ amplitudes.

    Attributes:
        design: constant column and one cosine series for each orbit, shape (n, 1 + k).
        values: shape (n,).
        weights: shape (n,), all positive.
        added: terms of this plane alone, such as its background, shape (n, a); None for none.
    """

    design: Array
    values: Array
    weights: Array
    added: Array | None = None

    def shape(self, alphas: Array) -> Array:
        """Return design @ (1, alphas), shape (n,)."""
        total: Array = self.design[:, 0] + self.design[:, 1:] @ alphas
        return total

    def residuals(self, scale: float, alphas: Array) -> Array:
        """Return what the series leaves, with the added terms fitted to the rest, shape (n,)."""
        rest: Array = self.values - scale * self.shape(alphas)
        if self.added is None:
            return rest
        root = np.sqrt(self.weights)
        amplitudes = np.linalg.lstsq(root[:, None] * self.added, root * rest, rcond=None)[0]
        return np.asarray(rest - self.added @ amplitudes)

    def triangle(self, damping: Array | None = None) -> Array:
        """Return the triangular factor of the weighted (design, values), with the added terms projected out.

        Args:
            damping: factor of the design in each pixel, shape (n,); None for 1.
        """
        root = np.sqrt(self.weights)
        design_root = root if damping is None else root * damping
        columns = np.column_stack([design_root[:, None] * self.design, root * self.values])
        if self.added is None:
            return np.asarray(np.linalg.qr(columns).R)
        whole = np.linalg.qr(np.column_stack([root[:, None] * self.added, columns])).R
        return np.asarray(whole[self.added.shape[1] :, self.added.shape[1] :])


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


def fit_bilinear(
    terms: Sequence[Term], bounds: tuple[float, float] | None = None, unbounded: int = 0
) -> BilinearFit:
    """Minimise the sum of w (values - s design @ (1, alphas))^2 over all planes, with the best added terms.

    Args:
        terms: the observations of each plane.
        bounds: lowest and highest allowed alpha.
        unbounded: number of the last alphas to which the bounds do not apply.

    Raises:
        InputError: the values of a plane are all 0, or the search does not converge.
    """
    return fit_triangles([term.triangle() for term in terms], bounds, unbounded)[0]


def fit_triangles(
    triangles: Sequence[Array], bounds: tuple[float, float] | None = None, unbounded: int = 0
) -> tuple[BilinearFit, float]:
    """Fit planes that are reduced to `Term.triangle`; arguments as for `fit_bilinear`.

    Returns:
        The fit, and the sum of squares that it leaves, in units of that of all values.

    Raises:
        InputError: the values of a plane are all 0, or the search does not converge.
    """
    count = len(triangles)
    # In units where the values of each plane are about as large as its design, so that all parameters are alike.
    lengths = np.array([np.sqrt(np.sum(each[:, [0, -1]] ** 2, axis=0)) for each in triangles])
    units = lengths[:, 1] / np.maximum(lengths[:, 0], 1e-300)
    if not (units > 0).all():
        raise InputError("short-range order is 0 in every pixel that counts; expected some intensity")
    designs = np.stack([unit * each[:, :-1] for unit, each in zip(units, triangles, strict=True)])
    targets = np.stack([each[:, -1] for each in triangles])
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
            np.repeat([-np.inf, low, -np.inf], [count, parameters - unbounded, unbounded]),
            np.repeat([np.inf, high, np.inf], [count, parameters - unbounded, unbounded]),
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
    at_bound = found.active_mask[count:].astype(np.int_)
    return BilinearFit(found.x[:count] * units, found.x[count:], at_bound), 2 * float(found.cost)
