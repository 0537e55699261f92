"""Errors of every plane of a validation, gathered over all ranks, and what is said of them."""

import torch
from torch import Tensor, nn
from torchmetrics.aggregation import CatMetric

from dsfunet.errors import InputError
from dsfunet.planes.preprocessing import COMPONENTS


class PlaneErrors(nn.ModuleDict):
    """For each component, and whatever else is named, the mean squared error of every plane, in spread space.

    Ranks may have seen different numbers of planes. A value that is not a number is an error, never
    dropped; it is looked for in `summary`, where all ranks see it and stop together.
    """

    def __init__(self, more: tuple[str, ...] = ()) -> None:
        super().__init__({name: CatMetric(nan_strategy="disable") for name in (*COMPONENTS, *more)})

    def add(self, component: str, values: Tensor) -> None:
        """Take up the errors of a batch, shape (n,)."""
        self._metric(component).update(values)

    def _metric(self, component: str) -> CatMetric:
        metric = self[component]
        assert isinstance(metric, CatMetric)
        return metric

    @staticmethod
    def _gather(metric: CatMetric) -> Tensor:
        """The values of all ranks, and the metric as new."""
        errors: Tensor = metric.compute()
        metric.reset()
        return errors

    def summary(self) -> dict[str, Tensor]:
        """Mean, median and 90th percentile under each name, and the mean of both components' means; then starts anew.

        With several ranks all must call this: each gets the summary over the planes of all.

        Raises:
            InputError: an error is not a finite number.
        """
        result: dict[str, Tensor] = {}
        gathered = {name: self._gather(self._metric(name)) for name in self}
        for name, errors in gathered.items():
            wrong = int((~errors.isfinite()).sum())
            if wrong:
                raise InputError(
                    f"{name}: the outputs of {wrong} of {len(errors)} validation planes are not finite (nan or inf):"
                    " expected numbers, so this training has diverged"
                )
            result[f"{name}_mse"] = errors.mean()
            result[f"{name}_mse_median"] = errors.median()
            result[f"{name}_mse_90"] = errors.quantile(0.9)
        result["mse"] = torch.stack([result[f"{name}_mse"] for name in COMPONENTS]).mean()
        return result
