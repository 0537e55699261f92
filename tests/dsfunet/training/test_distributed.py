"""Two processes train as one: equal weights on both, the same weights and metrics as one process, and no deadlocks.

One pair of processes runs all scenarios of `two_processes`: Lightning alone costs each of them ten seconds to import.
"""

import csv
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfunet.planes.preprocessing import COMPONENTS
from tests.dsfunet.cli.test_lightning_cli import read_metrics, write_config
from tests.dsfunet.offline_dashboard import read_history, read_identity
from tests.dsfunet.two_processes import SCENARIOS, Found, paper

pytestmark = [
    pytest.mark.slow,
    # A tiny fit has no worker processes.
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
]

ROOT = Path(__file__).parents[3]
RANKS = 2
# Rounding over six batches of three steps: gradients are summed in another order.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
TIMEOUT_SECONDS = 300.0  # on a machine that is busy; otherwise a tenth of that


def environment(rank: int, port: int) -> dict[str, str]:
    """Return the environment that torchrun would give a process."""
    ours = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(RANKS),
        "LOCAL_WORLD_SIZE": str(RANKS),
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "disabled",
    }
    return {**os.environ, **ours}


def run_pair(folder: Path) -> None:
    """Run both processes, and kill them if one fails or they take too long."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    logs = [folder / f"log-{rank}.txt" for rank in range(RANKS)]
    processes = []
    for rank, log in enumerate(logs):
        with log.open("w") as stream:
            command = [sys.executable, "-m", "tests.dsfunet.two_processes", str(folder)]
            processes.append(
                subprocess.Popen(
                    command, env=environment(rank, port), cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT
                )
            )
    deadline = time.monotonic() + TIMEOUT_SECONDS
    try:
        while any(each.poll() is None for each in processes):
            if time.monotonic() > deadline or any(each.poll() for each in processes):
                break
            time.sleep(0.1)
    finally:
        for each in processes:
            each.kill()
        statuses = [each.wait() for each in processes]
    said = "\n".join(f"rank {rank}: {log.read_text()[-3000:]}" for rank, log in enumerate(logs))
    if statuses != [0] * RANKS:
        pytest.fail(f"statuses {statuses} (-9: killed, hung or after the other)\n{said}", pytrace=False)


@pytest.fixture(scope="module")
def folder(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which both processes left their results."""
    found = tmp_path_factory.mktemp("two_processes")
    write_config(found, tiny_store)
    run_pair(found)
    return found


@pytest.fixture(scope="module")
def pair(folder: Path) -> dict[str, list[Found]]:
    """The results of each rank, by scenario."""
    return {
        scenario.__name__: [
            torch.load(folder / f"{scenario.__name__}-{rank}.pt", weights_only=True) for rank in range(RANKS)
        ]
        for scenario in SCENARIOS
    }


@pytest.fixture(scope="module")
def alone() -> Found:
    """One process on the same global batches."""
    return paper(0, ranks=1)


def assert_same_weights(first: Found, second: Found) -> None:
    """Compare weights bit for bit."""
    assert first["weights"].keys() == second["weights"].keys()
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name


def assert_close_weights(first: Found, second: Found) -> None:
    assert first["weights"].keys() == second["weights"].keys()
    for name, value in first["weights"].items():
        torch.testing.assert_close(
            value, second["weights"][name], **TOLERANCE, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("scenario", ["paper", "micro_batches", "short"])
def test_both_ranks_have_equal_weights(pair: dict[str, list[Found]], scenario: str) -> None:
    first, second = pair[scenario]
    assert_same_weights(first, second)
    assert first["batches"] == second["batches"] == (4 if scenario == "short" else 6)


def test_equal_weights_are_not_the_initial_weights(pair: dict[str, list[Found]]) -> None:
    once, often = pair["short"][0]["weights"], pair["paper"][0]["weights"]
    # Only convolutions: a bias directly before a norm has no gradient.
    still = [name for name, value in once.items() if value.ndim == 4 and torch.equal(value, often[name])]
    assert still == []


def test_averaged_weights_are_equal_too(pair: dict[str, list[Found]]) -> None:
    first, second = (
        {name: value for name, value in each["weights"].items() if name.startswith("averages.")}
        for each in pair["paper"]
    )
    assert {name.split(".")[1] for name in first} == set(COMPONENTS)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("scenario", ["paper", "micro_batches"])
def test_two_processes_train_as_one(pair: dict[str, list[Found]], alone: Found, scenario: str) -> None:
    for each in pair[scenario]:
        assert_close_weights(each, alone)


@pytest.mark.parametrize("scenario", ["paper", "micro_batches"])
def test_losses_are_those_of_one_process(pair: dict[str, list[Found]], alone: Found, scenario: str) -> None:
    assert len(alone["losses"]) == 6 and len(alone["losses"][0]) == 7
    for each in pair[scenario]:
        for found, expected in zip(each["losses"], alone["losses"], strict=True):
            assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scenario", ["paper", "micro_batches"])
def test_metrics_of_unequal_shares_are_those_of_one_process(
    pair: dict[str, list[Found]], alone: Found, scenario: str
) -> None:
    statistics = {f"{name}_mse{kind}" for name in COMPONENTS for kind in ("", "_median", "_90")}
    assert alone["metrics"].keys() == {f"validation/{name}" for name in {"mse", *statistics}}
    for each in pair[scenario]:
        assert each["metrics"] == pytest.approx(alone["metrics"], rel=1e-4)


def test_command_line_trains_on_two_ranks(folder: Path, pair: dict[str, list[Found]]) -> None:
    assert [each["status"] for each in pair["command_line"]] == [0, 0]
    checkpoint: dict[str, Any] = torch.load(folder / "run" / "last.ckpt", weights_only=True)
    # Twelve planes in batches of two on each of two ranks.
    assert int(checkpoint["state_dict"]["batches_seen"]) == 3
    rows = [row for row in read_metrics(folder) if row["validation/mse"]]
    assert len(rows) == 1


def test_a_run_of_two_processes_resumed_twice_is_one_run(folder: Path, pair: dict[str, list[Found]]) -> None:
    assert [each["statuses"] for each in pair["resumed_twice"]] == [[0, 0, 0]] * 2
    files = sorted(folder.glob("resumed/wandb/offline-run-*/*.wandb"))
    assert len(files) == 3
    assert len({read_identity(path) for path in files}) == 1
    assert read_identity(files[0])[1] == "resumed, seed 1"
    steps = [
        step["trainer/global_step"] for path in files for step in read_history(path) if "train/joint" in step
    ]
    assert steps == [0, 1, 2]  # each batch once
    [log] = folder.glob("resumed/csv/version_*/metrics.csv")
    with log.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows if row["train/joint"]] == ["0", "1", "2"]
    assert len([row for row in rows if row["validation/mse"]]) == 3  # each run ends with a validation


def test_gradients_are_averaged_while_others_are_computed(pair: dict[str, list[Found]]) -> None:
    first, second = pair["overlapped"]
    torch.manual_seed(3)
    network = torch.nn.Sequential(*(torch.nn.Linear(16, 16, bias=False) for _ in range(4)))
    losses = [network(torch.full((2, 16), 1.0 + rank)).square().sum() for rank in range(2)]
    torch.stack(losses).mean().backward()
    for found in (first, second):
        for gradient, layer in zip(found["gradients"], network, strict=True):
            torch.testing.assert_close(gradient, layer.weight.grad)
        assert found["none"] and found["buckets"] == 5
    # All but that of the layer that gets no gradient.
    assert [first["early"], second["early"]] == [4, 4]


def test_a_loss_that_is_not_finite_stops_both_ranks(pair: dict[str, list[Found]]) -> None:
    first, second = pair["diverged"]
    assert [first["error"], second["error"]] == ["DivergedError"] * 2
    assert "nan" in second["message"] and "nan" not in first["message"]
    assert "at batch 1" in first["message"] and "at batch 1" in second["message"]
    assert_same_weights(first, second)
    assert all(value.isfinite().all() for value in first["weights"].values())


def test_a_validation_that_is_not_finite_stops_both_ranks(pair: dict[str, list[Found]]) -> None:
    for each in pair["diverged_in_validation"]:
        assert each["error"] == "DivergedError"
        assert "outputs for 1 of 4 validation planes are not finite" in each["message"]


def test_a_signal_to_one_rank_stops_both_at_the_same_batch(
    folder: Path, pair: dict[str, list[Found]]
) -> None:
    assert pair["signalled"] == [{"status": 143, "batches": 2}] * 2
    checkpoint: dict[str, Any] = torch.load(folder / "signalled" / "last.ckpt", weights_only=True)
    assert int(checkpoint["state_dict"]["batches_seen"]) == 2


def test_unequal_numbers_of_training_batches_are_refused(pair: dict[str, list[Found]]) -> None:
    for each in pair["unequal"]:
        assert each["error"] == "InputError"
        assert "2 to 4 training batches" in each["message"]


def test_failing_is_quick(pair: dict[str, list[Found]]) -> None:
    for scenario in ("diverged", "diverged_in_validation", "unequal"):
        assert max(each["seconds"] for each in pair[scenario]) < TIMEOUT_SECONDS / 10
