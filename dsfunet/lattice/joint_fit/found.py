"""The joint fit of a plane on a lattice that was found in the plane itself, whose pixels lie along none of its axes."""

import numpy as np

from dsfunet._typing import Array, Mask
from dsfunet.errors import InputError
from dsfunet.lattice.joint_fit.fit import DEFAULT_KNOTS
from dsfunet.lattice.joint_fit.harmonics import Harmonics
from dsfunet.lattice.joint_fit.noise import Variance
from dsfunet.lattice.joint_fit.plane import FEWEST_ZONES, HARMONICS, SHORTEST_PERIOD, fit_settled_harmonics
from dsfunet.lattice.joint_fit.result import JointFit
from dsfunet.lattice.joint_fit.start import FitInput


def list_found_harmonics(vectors: Array, radius: float, is_real: bool = False) -> Harmonics:
    """Return the harmonics of a plane lattice up to a length, in pixels instead of reciprocal lattice units.

    Their indices, and their lengths and spacing, are in cycles per pixel; their `vectors` are whole-number combinations
    of the two vectors, with 0 as third number. A length is that in the plane if pixels are squares.

    Args:
        vectors: two direct vectors as rows, shape (2, 2), along rows and columns of the plane [cycles per pixel].
        radius: largest length [cycles per pixel].
        is_real: whether the plane contains the origin of reciprocal space and coordinates are counted from there, so
            that I_SRO is a sum of cosines.

    Raises:
        InputError: the vectors are not finite, or parallel or zero.

    Examples:
        >>> import numpy as np
        >>> from dsfunet.lattice.joint_fit import list_found_harmonics
        >>> found = list_found_harmonics(np.array([[0.08, 0.06], [-0.06, 0.08]]), radius=0.1)
        >>> np.round(found.indices, 3).tolist(), found.vectors.tolist()
        ([[0.06, -0.08], [0.08, 0.06]], [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    """
    area = abs(float(np.linalg.det(vectors)))
    if not (np.isfinite(area) and area > 1e-6 * float(np.sum(vectors**2))):
        raise InputError(
            f"lattice vectors {np.round(vectors, 6).tolist()}: they are not finite, parallel or zero; expected two"
            " vectors in different directions"
        )
    # |m| is at most the radius times the length of the first reciprocal vector, and so is |n| of the second.
    most = np.floor(radius * np.linalg.norm(np.linalg.inv(vectors), axis=0) + 1e-9).astype(int)
    first, second = np.meshgrid(*(np.arange(-count, count + 1.0) for count in most), indexing="ij")
    numbers = np.stack([first.reshape(-1), second.reshape(-1)], axis=1)
    indices = numbers @ vectors
    lengths = np.linalg.norm(indices, axis=1)
    rows, columns = np.round(indices, 9).T + 0.0
    in_half = (rows > 0) | ((rows == 0) & (columns > 0))
    keep = np.flatnonzero(in_half & (lengths <= radius * (1 + 1e-9)))
    order = keep[np.lexsort((columns[keep], rows[keep], np.round(lengths[keep], 9)))]
    whole = np.column_stack([numbers[order], np.zeros(len(order))])
    return Harmonics(
        indices[order], whole, lengths[order], np.full(len(order), is_real), float(np.sqrt(area))
    )


def fit_found_lattice(
    intensity: Array,
    mask: Mask,
    vectors: Array,
    is_centred: bool = False,
    sigma: Array | None = None,
    knots: float | tuple[float, float] | None = None,
    initial_form_factor: Array | None = None,
    prior_form_factor: Array | None = None,
    prior_weight: Array | None = None,
    most_harmonics: int = HARMONICS[-1],
    noise: Variance | None = None,
) -> JointFit:
    """Fit both factors of a plane on a lattice found in it; see `fit_plane` for all other arguments.

    Coordinates are pixel numbers from the middle, pixel (n // 2, m // 2).

    Args:
        intensity: measured intensities in any unit, shape (n, m); ignored where missing.
        mask: True where measured.
        vectors: two direct vectors as rows, shape (2, 2), along rows and columns of the plane [cycles per pixel], such
            as the inverse transpose of `FoundLattice.reciprocal_pixels`.
        is_centred: whether Q = 0 lies in the middle pixel, so that I_SRO is a sum of cosines.
        sigma: standard uncertainties of the intensities, shape (n, m).
        knots: spacing of the knots of F along both axes, or along each [pixels]; None takes that of `fit_plane` in
            units of the reciprocal cell.
        initial_form_factor: where to start, shape (n, m).
        prior_form_factor: prior mean of F, shape (n, m).
        prior_weight: inverse variance of its logarithm in each pixel, shape (n, m).
        most_harmonics: largest number of harmonics, about.
        noise: model of the noise.

    Raises:
        InputError: the plane shows less than two zones in which I_SRO repeats or with too few pixels, or as of
            `list_found_harmonics` and `fit_both_factors`.
    """

    def list_up_to(radius: float) -> Harmonics:
        harmonics = list_found_harmonics(vectors, radius, is_centred)
        return harmonics.select(np.asarray((np.abs(harmonics.indices) <= 1 / SHORTEST_PERIOD).all(axis=1)))

    shape = intensity.shape
    shortest = list_found_harmonics(vectors, 0.0)
    zones = float(np.prod(shape)) * shortest.spacing**2
    if zones < FEWEST_ZONES:
        raise InputError(
            f"plane: it shows {zones:.1f} zones in which short-range order repeats; expected two or more"
        )
    if not list_up_to(3 * shortest.spacing).count:
        raise InputError("plane: expected more than two pixels in a zone in which short-range order repeats")
    if knots is None:
        # A molecule as long as the cell has this extent along either axis, however the lattice is turned.
        first, second = (float(value) for value in DEFAULT_KNOTS / np.linalg.norm(vectors, axis=0))
        knots = first, second
    rows, columns = (np.arange(size, dtype=np.float64) - size // 2 for size in shape)
    given = FitInput(
        intensity,
        mask,
        rows,
        columns,
        knots,
        sigma,
        initial_form_factor,
        prior_form_factor,
        prior_weight,
        noise,
    )
    return fit_settled_harmonics(given, list_up_to, shortest.spacing, most_harmonics)
