"""Recorded optimizer steps equal the optimizer's own; without a GPU nothing is recorded."""

import copy
from types import SimpleNamespace

import pytest
import torch
from timm.optim.muon import Muon
from torch import nn

from dsfunet.errors import InputError
from dsfunet.training.cuda_graphs import GraphSteps


def started(optimizer: torch.optim.Optimizer, device: str) -> None:
    trainer, module = SimpleNamespace(optimizers=[optimizer]), SimpleNamespace(device=torch.device(device))
    GraphSteps().on_train_start(trainer, module)  # type: ignore[arg-type]


def test_nothing_is_recorded_without_a_gpu() -> None:
    optimizer = Muon(nn.Linear(8, 8).parameters(), lr=1e-3)
    started(optimizer, "cpu")
    assert "step" not in vars(optimizer)


def test_a_run_from_a_gpu_resumes_without_one() -> None:
    network = nn.Linear(8, 8)
    optimizer = Muon(network.parameters(), lr=1e-3)
    optimizer.param_groups[0]["capturable"] = True  # as recording has it
    checkpoint = {"optimizer_states": [optimizer.state_dict()]}
    GraphSteps().on_save_checkpoint(None, None, checkpoint)  # type: ignore[arg-type]
    assert optimizer.param_groups[0]["capturable"]
    optimizer = Muon(network.parameters(), lr=1e-3)
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    network(torch.ones(2, 8)).sum().backward()
    before = network.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(network.weight, before)


def test_an_optimizer_that_cannot_be_recorded_is_refused() -> None:
    optimizer = torch.optim.LBFGS(nn.Linear(8, 8).parameters())
    with pytest.raises(InputError, match="cannot record LBFGS, which has no setting capturable; use another"):
        started(optimizer, "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recorded_steps_are_the_optimizers_own() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(4, 16, 3), nn.GroupNorm(4, 16), nn.Conv2d(16, 8, 3)).cuda()
    networks = [plain, copy.deepcopy(plain)]
    optimizers = [Muon(each.parameters(), lr=1e-3, nesterov=True, weight_decay=0.1) for each in networks]
    started(optimizers[1], "cuda")
    for step in range(12):
        planes = torch.randn(2, 4, 16, 16, device="cuda")
        for network, optimizer in zip(networks, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = 1e-3 * (step + 1)
            optimizer.zero_grad()
            network(planes).square().mean().backward()
            optimizer.step()
        assert optimizers[1].param_groups[0]["lr"] == 1e-3 * (step + 1)
    for one, other in zip(*(each.parameters() for each in networks), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
