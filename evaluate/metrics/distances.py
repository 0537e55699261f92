"""How far two sets of planes are from each other as distributions, given their features.

Both distances are torch-fidelity's, in double precision. A number means something only beside another of the same
feature space (`evaluate.metrics.feature_spaces`) and, for the Frechet distance, of the same number of planes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dsfunet.errors import InputError

KERNEL_SUBSETS = 100
"""Random subsets that a kernel distance is the mean over."""

KERNEL_SUBSET_LARGEST = 1000
"""Samples in each of those subsets, at most; the field's usual number."""

Features = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Distance:
    """Both distances between two sets of features.

    Attributes:
        frechet: as `frechet_distance`.
        kernel_mean: the first number of `kernel_distance`.
        kernel_std: the second.
        subset_size: the third.
    """

    frechet: float
    kernel_mean: float
    kernel_std: float
    subset_size: int


def distance(first: Features, second: Features, seed: int) -> Distance:
    """Both distances between two sets of features, (n, d) and (m, d); `seed` draws the kernel's subsets.

    Raises:
        InputError: as `frechet_distance`.
    """
    return Distance(frechet_distance(first, second), *kernel_distance(first, second, seed))


def frechet_distance(first: Features, second: Features) -> float:
    """|mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets of features, (n, d) and (m, d): FID.

    mu and S are the sample mean and covariance. Two draws of one distribution are never at 0 but above it, the
    farther the fewer they are, so compare distances of equally many planes. With no more samples than dimensions
    the covariances are singular; round-off then lowers the result, by less than 1e-6 of the traces where tried,
    so that equal sets can come out a little under 0.

    Raises:
        InputError: a set is not (n, d) with n and d at least 2, the dimensions differ, or a feature is not finite.
    """
    # Imported where used: it brings torchvision along, which takes seconds.
    from torch_fidelity.metric_fid import (  # type: ignore[import-untyped]
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    statistics = [fid_features_to_statistics(features) for features in _checked(first, second)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def kernel_distance(first: Features, second: Features, seed: int) -> tuple[float, float, int]:
    """Squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, unbiased: KID.

    Returns (mean, standard deviation, subset size) over KERNEL_SUBSETS pairs of random subsets of two sets of
    features, (n, d) and (m, d). Two draws of one distribution are at 0 on average, so that values under 0 occur.
    The subsets share samples: their deviation shows the scatter of sets of that size, and is not the error of the
    mean.

    Raises:
        InputError: as `frechet_distance`.
    """
    from torch_fidelity.metric_kid import (  # type: ignore[import-untyped]
        KEY_METRIC_KID_MEAN,
        KEY_METRIC_KID_STD,
        kid_features_to_metric,
    )

    tensors = _checked(first, second)
    size = _subset_size(min(len(first), len(second)))
    metric = kid_features_to_metric(
        *tensors,
        kid_subsets=KERNEL_SUBSETS,
        kid_subset_size=size,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,  # 1 / d
        kid_kernel_poly_coef0=1,
        rng_seed=seed,
        verbose=False,
    )
    return float(metric[KEY_METRIC_KID_MEAN]), float(metric[KEY_METRIC_KID_STD]), size


def _subset_size(samples: int) -> int:
    # Half of the smaller set, not all of it: else all subsets are that one set, and their deviation says 0.
    return min(KERNEL_SUBSET_LARGEST, max(2, samples // 2))


def _checked(first: Features, second: Features) -> list[torch.Tensor]:
    for name, features in (("first", first), ("second", second)):
        if features.ndim != 2 or min(features.shape) < 2:
            raise InputError(
                f"{name} set of features has shape {features.shape}: expected (n, d), both at least 2"
            )
        not_finite = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if not_finite.size:
            raise InputError(
                f"{name} set has features that are not finite in {not_finite.size} samples, the first is"
                f" {not_finite[0]}: expected finite numbers"
            )
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"sets have features of {first.shape[1]} and {second.shape[1]} dimensions: expected one feature space"
        )
    # Copies: torch warns of arrays that it may not write to.
    return [torch.from_numpy(np.array(features, np.float64, order="C")) for features in (first, second)]
