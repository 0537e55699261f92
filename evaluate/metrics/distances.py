"""Frechet and kernel distances (FID and KID) between two sets of features of planes.

torch-fidelity computes both distances, in double precision. Compare a distance only with others in the same feature
space (`evaluate.metrics.feature_spaces`) and, for the Frechet distance, over the same number of planes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dsfunet.errors import InputError

KERNEL_SUBSETS = 100
"""Number of random subsets that a kernel distance is averaged over."""

KERNEL_SUBSET_LARGEST = 1000
"""Largest number of samples in one of these subsets; 1000 is the usual choice in the field."""

Features = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Distance:
    """Both distances between two sets of features.

    Attributes:
        frechet: result of `frechet_distance`.
        kernel_mean: mean of `kernel_distance` over its subsets.
        kernel_std: standard deviation of `kernel_distance` over its subsets.
        subset_size: samples in each of these subsets.
    """

    frechet: float
    kernel_mean: float
    kernel_std: float
    subset_size: int


def distance(first: Features, second: Features, seed: int) -> Distance:
    """Compute both distances between two sets of features, (n, d) and (m, d).

    Args:
        first: one set of features.
        second: the other set.
        seed: of the random subsets of the kernel distance.

    Raises:
        InputError: as `frechet_distance`.
    """
    return Distance(frechet_distance(first, second), *kernel_distance(first, second, seed))


def frechet_distance(first: Features, second: Features) -> float:
    """Compute FID, the squared Frechet distance between two sets of features, (n, d) and (m, d).

    FID = |mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)) with the sample means mu and covariances S (Heusel et al. 2017).
    For two samples of one distribution the result is above 0, by more the fewer samples there are, so only distances
    over equally many planes can be compared. If there are no more samples than dimensions, the covariances are
    singular; round-off then lowers the result (by less than 1e-6 of the traces in our trials), and equal sets can give
    a value slightly below 0.

    Raises:
        InputError: if a set is not (n, d) with n and d at least 2, the dimensions differ, or a feature is not finite.
    """
    # Imported here because it imports torchvision, which takes seconds.
    from torch_fidelity.metric_fid import (  # type: ignore[import-untyped]
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    statistics = [fid_features_to_statistics(features) for features in _checked(first, second)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def kernel_distance(first: Features, second: Features, seed: int) -> tuple[float, float, int]:
    """Compute KID, the unbiased squared maximum mean discrepancy under the kernel (x.y / d + 1)^3.

    For two samples of one distribution the expected value is 0, so negative values occur. The subsets share samples:
    their standard deviation is the scatter of sets of that size, not the standard error of the mean.

    Args:
        first: features (n, d).
        second: features (m, d).
        seed: of the random subsets.

    Returns:
        Mean and standard deviation over KERNEL_SUBSETS pairs of random subsets, and the samples in each subset.

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
    # Half of the smaller set: with all of it, every subset would be that set and their deviation would be 0.
    return min(KERNEL_SUBSET_LARGEST, max(2, samples // 2))


def _checked(first: Features, second: Features) -> list[torch.Tensor]:
    for name, features in (("first", first), ("second", second)):
        if features.ndim != 2 or min(features.shape) < 2:
            raise InputError(
                f"{name} set of features: its shape is {features.shape}; expected (n, d) with n and d at least 2"
            )
        not_finite = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if not_finite.size:
            raise InputError(
                f"{name} set of features: not finite in {not_finite.size} samples, the first is"
                f" {not_finite[0]}; expected finite numbers"
            )
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"the sets have features of {first.shape[1]} and {second.shape[1]} dimensions; expected one feature space"
        )
    # Copied because torch warns about read-only arrays.
    return [torch.from_numpy(np.array(features, np.float64, order="C")) for features in (first, second)]
