"""Errors of all planes of a validation, gathered over ranks, and their summary."""

import torch
from torch import Tensor, nn
from torchmetrics.aggregation import CatMetric

from dsfunet.errors import DivergedError
from dsfunet.planes.preprocessing import COMPONENTS


class PlaneErrors(nn.ModuleDict):
    """The mean squared error of every plane, in spread space, for each component and for each name in `more`.

    Ranks may have different numbers of planes. Values that are not finite are kept; `summary` raises an error for
    them, on all ranks together.
    """

    def __init__(self, more: tuple[str, ...] = ()) -> None:
        super().__init__({name: CatMetric(nan_strategy="disable") for name in (*COMPONENTS, *more)})

    def add(self, component: str, values: Tensor) -> None:
        """Add the errors of a batch, shape (n,)."""
        self._metric(component).update(values)

    def _metric(self, component: str) -> CatMetric:
        metric = self[component]
        assert isinstance(metric, CatMetric)
        return metric

    @staticmethod
    def _gather(metric: CatMetric) -> Tensor:
        """Return the values of all ranks, and reset the metric."""
        errors: Tensor = metric.compute()
        metric.reset()
        return errors

    def summary(self) -> dict[str, Tensor]:
        """Return mean, median and 90th percentile for each name, and the mean of both components' means; then reset.

        All ranks must call this; each gets the summary over the planes of all ranks.

        Raises:
            DivergedError: an error is not a finite number.
        """
        result: dict[str, Tensor] = {}
        gathered = {name: self._gather(self._metric(name)) for name in self}
        for name, errors in gathered.items():
            wrong = int((~errors.isfinite()).sum())
            if wrong:
                raise DivergedError(
                    f"{name}: the outputs for {wrong} of {len(errors)} validation planes are not finite; the training"
                    " that made these weights has diverged"
                )
            result[f"{name}_mse"] = errors.mean()
            result[f"{name}_mse_median"] = errors.median()
            result[f"{name}_mse_90"] = errors.quantile(0.9)
        result["mse"] = torch.stack([result[f"{name}_mse"] for name in COMPONENTS]).mean()
        return result
