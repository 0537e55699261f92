"""Configurations and checkpoints of version 0.1.0, whose modules had other names, still load."""

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from dsfunet.cli.main import main
from dsfunet.networks import PatchDiscriminator, SpectralUNet
from dsfunet.networks.weights import load_checkpoint, load_folder
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet
from dsfunet.training.renamed_classes import RENAMED_CLASSES, rename_classes, rename_in_arguments
from tests.dsfunet.training.test_cluster_scripts import parse

pytestmark = [
    # A tiny fit has no worker processes.
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    # We hand LightningCLI its arguments ourselves.
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]

CONFIGS = Path(__file__).parents[3] / "configs"
OLD_CONFIG = Path(__file__).with_name("config_0_1_0.yaml")
# Digest of names, shapes and types of all weights in the checkpoint that 0.1.0 wrote with OLD_CONFIG.
OLD_WEIGHTS_DIGEST = "3afe03f03d119192b6de1ff23d9327d1ad47ca6de173283b03bdf20ae6701af9"
SETTINGS: dict[str, Any] = {
    "in_channels": 2,
    "channels": [8, 16],
    "blocks": [1, 1],
    "fourier_channels": [4, 8],
    "fold": 4,
}


def test_every_present_path_can_be_imported() -> None:
    for path in RENAMED_CLASSES.values():
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), path
    assert not set(RENAMED_CLASSES) & set(RENAMED_CLASSES.values())


def test_no_earlier_module_is_left() -> None:
    """The table is the only mechanism: no module forwards to a new place."""
    for path in RENAMED_CLASSES:
        module, _, name = path.rpartition(".")
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        assert not hasattr(found, name), path


def test_classes_are_renamed_at_any_depth_and_nothing_else_is() -> None:
    old = {"a": [{"class_path": "dsfunet.callbacks.Gauges", "init_args": {"x": 1.5, "y": None}}, True]}
    new = {
        "a": [
            {"class_path": "dsfunet.training.monitor.RunMonitor", "init_args": {"x": 1.5, "y": None}},
            True,
        ]
    }
    assert rename_classes(old) == rename_classes(new) == new
    assert rename_classes("dsfunet.callbacks") == "dsfunet.callbacks"


def test_classes_are_renamed_on_the_command_line() -> None:
    assert rename_in_arguments(
        [
            "fit",
            "--x=1",
            "--trainer.callbacks+=dsfunet.callbacks.StartFrom",
            "--y",
            "dsfunet.callbacks.Gauges",
        ]
    ) == [
        "fit",
        "--x=1",
        "--trainer.callbacks+=dsfunet.training.callbacks.StartFrom",
        "--y",
        "dsfunet.training.monitor.RunMonitor",
    ]


def test_the_table_needs_no_torch() -> None:
    code = "import sys, dsfunet.training.renamed_classes; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def old_checkpoint(store: Path, folder: Path) -> dict[str, Any]:
    """Return what 0.1.0 wrote into last.ckpt after an epoch of three batches, key by key, with new random weights."""
    torch.manual_seed(8)
    networks = [SpectralUNet(**SETTINGS) for _ in COMPONENTS]
    judges = [PatchDiscriminator((4, 8, 8, 8)) for _ in COMPONENTS]
    module = DSFUNet(*networks, torch.optim.Adam, torch.optim.Adam, *judges, average_decay=0.9)
    module.batches_seen += 3
    state = module.state_dict()
    described = "\n".join(f"{name} {tuple(value.shape)} {value.dtype}" for name, value in state.items())
    assert hashlib.sha256(described.encode()).hexdigest() == OLD_WEIGHTS_DIGEST
    nothing = {"total": {"ready": 0, "completed": 0}, "current": {"ready": 0, "completed": 0}}

    def counted(number: int) -> dict[str, dict[str, int]]:
        counts = dict.fromkeys(("ready", "completed", "started", "processed"), number)
        return {"total": counts, "current": counts}

    def idle_loop() -> dict[str, Any]:
        return {"state_dict": {}, "batch_progress": {**counted(0), "is_last_batch": False}}

    order = {
        "batch_size": 4,
        "planes": 12,
        "num_replicas": 1,
        "seed": 1,
        "block": 5,
        "blocks_together": None,
    }
    epoch = {"ready": 1, "completed": 0, "started": 1, "processed": 1}
    zeros = {key: {**value, "started": 0} for key, value in nothing.items()}
    fit_loop = {
        "state_dict": {"combined_loader": [order]},
        "epoch_loop.state_dict": {"_batches_that_stepped": 3},
        "epoch_loop.batch_progress": {**counted(3), "is_last_batch": True},
        "epoch_loop.scheduler_progress": nothing,
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": nothing, "zero_grad": zeros}
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {
            "total": {"ready": 9, "completed": 9},
            "current": {"ready": 9, "completed": 9},
        },
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": {**counted(2), "is_last_batch": True},
        "epoch_progress": {"total": epoch, "current": epoch},
    }
    idle_prediction = {"state_dict": {}, "batch_progress": counted(0)}
    best = {"monitor": "validation/mse", "mode": "min", "every_n_train_steps": 0, "every_n_epochs": 1}
    return {
        "epoch": 0,
        "global_step": 9,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state,
        "loops": {
            "fit_loop": fit_loop,
            "validate_loop": idle_loop(),
            "test_loop": idle_loop(),
            "predict_loop": idle_prediction,
        },
        "callbacks": {
            "CosineSchedule": {"spent_seconds": 2.5},
            f"ModelCheckpoint{ {**best, 'train_time_interval': None} }": {
                "monitor": "validation/mse",
                "best_model_score": torch.tensor(0.5),
                "best_model_path": str(folder / "best.ckpt"),
                "current_score": torch.tensor(0.5),
                "dirpath": str(folder),
                "best_k_models": {str(folder / "best.ckpt"): torch.tensor(0.5)},
                "kth_best_model_path": str(folder / "best.ckpt"),
                "kth_value": torch.tensor(0.5),
                "last_model_path": str(folder / "last.ckpt"),
            },
        },
        "optimizer_states": [old_optimizer(module.generators), old_optimizer(module.discriminators)],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": dict(module.hparams),
        "datamodule_hparams_name": "kwargs",
        "datamodule_hyper_parameters": {
            "folder": str(store),
            "batch_size": 4,
            "workers": 0,
            "augment": True,
            "validation_samples": None,
            "shards_together": None,
            "resident": False,
            "harder_masks": 0.0,
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
        },
        "data": {"split": "train", "planes": 12, "digest": "87dd9b63", "species": ["acetate", "camphor"]},
        "networks": {name: {"network": "SpectralUNet", "settings": SETTINGS} for name in COMPONENTS},
        "made_by": {"version": "0.1.0 at e687d151", "machine": "2 cores of AMD EPYC"},
    }


def old_optimizer(networks: torch.nn.Module) -> dict[str, Any]:
    """Return the state of Adam after six steps, at the end of the learning-rate schedule."""
    parameters = list(networks.parameters())
    moments = {
        number: {
            "step": torch.tensor(6.0),
            "exp_avg": torch.full_like(each.detach(), 1e-3),
            "exp_avg_sq": torch.full_like(each.detach(), 1e-4),
        }
        for number, each in enumerate(parameters)
    }
    group = {
        "lr": 2.575e-4,
        "betas": (0.5, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": False,
        "maximum_lr": 1e-3,
        "params": list(range(len(parameters))),
    }
    return {"state": moments, "param_groups": [group]}


@pytest.fixture
def old_run(tiny_store: Path, tmp_path: Path) -> Path:
    """A folder with config.yaml and last.ckpt as 0.1.0 left them."""
    folder = tmp_path / "run"
    folder.mkdir()
    text = OLD_CONFIG.read_text(encoding="utf-8").replace("RUN", str(folder))
    (folder / "config.yaml").write_text(text.replace("STORE", str(tiny_store)), encoding="utf-8")
    for name in ("best.ckpt", "last.ckpt"):
        torch.save(old_checkpoint(tiny_store, folder), folder / name)
    return folder


def test_a_run_of_an_earlier_version_is_resumed(old_run: Path) -> None:
    arguments = ["--config", str(old_run / "config.yaml"), "--ckpt_path", str(old_run / "last.ckpt")]
    assert main(["fit", *arguments, "--trainer.max_epochs", "2"]) == 0
    saved = torch.load(old_run / "last.ckpt", weights_only=True)
    assert int(saved["state_dict"]["batches_seen"]) == 6  # three of them new
    assert saved["epoch"] == 1 and saved["callbacks"]["CosineSchedule"]["spent_seconds"] > 2.5
    [config] = old_run.glob("csv/version_*/config.yaml")
    names = [each["class_path"] for each in yaml.safe_load(config.read_text())["trainer"]["callbacks"]]
    assert names[:2] == ["dsfunet.training.schedule.CosineSchedule", "dsfunet.training.monitor.RunMonitor"]


def test_a_checkpoint_of_an_earlier_version_is_validated(
    old_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", str(old_run / "config.yaml"), "--ckpt_path", str(old_run / "last.ckpt")]
    assert main(["validate", *arguments, "--trainer.limit_val_batches", "1"]) == 0
    assert "validation/mse" in capsys.readouterr().out


def test_weights_of_an_earlier_version_factorize_and_are_exported(old_run: Path, tmp_path: Path) -> None:
    weights = str(old_run / "last.ckpt")
    np.save(tmp_path / "plane.npy", np.random.default_rng(0).uniform(1, 2, (256, 256)))
    output = str(tmp_path / "result.nxs")
    assert main(["factorize", str(tmp_path / "plane.npy"), "-o", output, "--weights", weights]) == 0
    assert Path(output).is_file()
    assert main(["export", weights, "--out", str(tmp_path / "exported")]) == 0
    written, read = load_folder(tmp_path / "exported"), load_checkpoint(old_run / "last.ckpt")
    for name in COMPONENTS:
        for key, value in getattr(read, name).state_dict().items():
            assert torch.equal(getattr(written, name).state_dict()[key], value.half().float())


def as_in_earlier_version(name: str, folder: Path) -> Path:
    """Write a configuration of configs/ with the class paths of 0.1.0."""
    text = (CONFIGS / name).read_text(encoding="utf-8")
    for old, new in RENAMED_CLASSES.items():
        text = text.replace(f"class_path: {new}\n", f"class_path: {old}\n")
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("names", [("paper.yaml", "gpu.yaml"), ("release_gpu.yaml",)])
def test_configurations_that_shipped_with_an_earlier_version_say_the_same(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = [], []
    for name in names:
        old += ["--config", str(as_in_earlier_version(name, tmp_path))]
        new += ["--config", str(CONFIGS / name)]
        assert (tmp_path / name).read_text() != (CONFIGS / name).read_text()
    configurations = [parse(["fit", *arguments], monkeypatch) for arguments in (old, new)]
    for each in configurations:
        del each["config"]
    assert configurations[0] == configurations[1]


def test_earlier_class_paths_are_understood_on_the_command_line(
    old_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = '{"class_path": "dsfunet.shards.Store", "init_args": {"path": "planes.zarr"}}'
    config = parse(
        [
            *("fit", "--config", str(old_run / "config.yaml"), "--data.source", source),
            *("--trainer.callbacks+=dsfunet.callbacks.StartFrom", "--trainer.callbacks.weights", "given"),
        ],
        monkeypatch,
    )
    assert config.trainer.callbacks[-1].class_path == "dsfunet.training.callbacks.StartFrom"
    assert config.trainer.callbacks[-1].init_args.weights == "given"
    assert config.data.source.class_path == "dsfunet.data.store.Store"
