"""The example sweeps: their arguments are those of `dsfunet fit`, and each run has a folder of its own."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.dsfunet.cli.test_lightning_cli import write_config
from tests.dsfunet.training.test_cluster_scripts import parse

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]

SWEEPS = Path(__file__).parents[3] / "configs" / "sweeps"


def test_the_parameters_of_the_sweep_are_arguments_of_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = yaml.safe_load((SWEEPS / "wandb.yaml").read_text(encoding="utf-8"))
    chosen = {
        name: each["values"][0] if "values" in each else each["min"]
        for name, each in sweep["parameters"].items()
    }
    # As the agent writes ${args}.
    arguments = [f"--{name}={value}" for name, value in chosen.items()]
    folder = ["--run_folder", "runs/sweep/x"]
    config = parse(["fit", "--config", "configs/release.yaml", *folder, *arguments], monkeypatch)
    for name, value in chosen.items():
        assert config[name] == value
    assert sweep["metric"] == {"name": "validation/mse", "goal": "minimize"}
    assert "$WANDB_RUN_ID" in sweep["command"][2] and sweep["command"][-1] == "${args}"


def load_search() -> ModuleType:
    spec = importlib.util.spec_from_file_location("optuna_search", SWEEPS / "optuna_search.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_search_is_continued_and_finds_the_best_trial(tiny_store: Path, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="needs the extra sweeps")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = write_config(tmp_path, tiny_store)
    common = ["--config", str(config), "--out", str(tmp_path / "search"), "--trials", "1"]
    for _ in range(2):
        study = load_search().main([*common, "--trainer.max_steps", "1"])
    assert len(study.trials) == 2
    assert 0 < study.best_value == min(trial.value for trial in study.trials)
    assert {path.parent.name for path in tmp_path.glob("search/*/last.ckpt")} == {"trial-0", "trial-1"}
    rates = {trial.params["learning_rate"] for trial in study.trials}
    assert (
        len(rates) == 2 or study.trials[0].params == study.trials[1].params
    )  # the same seed may repeat itself
