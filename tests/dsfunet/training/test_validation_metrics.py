"""Metrics of validation and test: those of the planes, afresh every time, and numbers that are not finite."""

import pytest
import torch

from dsfunet.errors import DivergedError
from dsfunet.planes.preprocessing import COMPONENTS
from tests.dsfunet.training.test_module import loader, planes, system, trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
]


@pytest.mark.parametrize("stage", ["validation", "test"])
def test_metrics_are_those_of_the_planes(stage: str) -> None:
    module = system(average_decay=0.5)
    run = trainer()
    # Batches of 3, 3 and 1: in a mean of batch means, the last plane would count three times.
    batches = loader(7, batch_size=3, seed=4)
    logged = (run.validate if stage == "validation" else run.test)(module, batches, verbose=False)[0]
    errors: dict[str, list[float]] = {name: [] for name in COMPONENTS}
    with torch.no_grad():
        for sample in planes(7, seed=4):
            for name, output in zip(COMPONENTS, module(sample["input"][None]), strict=True):
                errors[name].append(float(((output[0] - sample[name]) ** 2).mean()))
    for name, values in errors.items():
        ordered = sorted(values)
        assert logged[f"{stage}/{name}_mse"] == pytest.approx(sum(values) / 7, rel=1e-5)
        assert logged[f"{stage}/{name}_mse_median"] == pytest.approx(ordered[3], rel=1e-5)
        # The 90th percentile of seven lies at index 5.4.
        assert logged[f"{stage}/{name}_mse_90"] == pytest.approx(
            0.6 * ordered[5] + 0.4 * ordered[6], rel=1e-5
        )
    assert logged[f"{stage}/mse"] == pytest.approx(sum(map(sum, errors.values())) / 14, rel=1e-5)


def test_metrics_start_afresh_every_time() -> None:
    module, run = system(), trainer()
    first = run.validate(module, loader(3, seed=1), verbose=False)
    run.validate(module, loader(3, seed=2), verbose=False)
    assert run.validate(module, loader(3, seed=1), verbose=False) == first


def test_a_network_that_answers_nan_stops_the_run() -> None:
    module = system()
    bias = module.generators["form_factor"].head[2].bias
    bias.data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="outputs for 2 of 2 validation planes are not finite"):
        trainer().validate(module, loader(), verbose=False)
