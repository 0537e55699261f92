"""The configurations in configs/: they make what the paper, the release and each ablation need."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint

from dsfunet.cli.lightning_cli import TrainingCLI
from dsfunet.cli.main import main
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.networks import PatchDiscriminator, Pix2PixGenerator, SpectralUNet
from dsfunet.networks.weights import describe_network, load_release
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.interruption import LastCheckpoint
from dsfunet.training.module import DSFUNet
from simulate.live import SimulatedPlanes

pytestmark = [
    # We hand LightningCLI its arguments ourselves.
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter is intended"),
]

CONFIGS = Path(__file__).parents[3] / "configs"


class Reader(TrainingCLI):
    """TrainingCLI without its checks of the data."""

    def before_instantiate_classes(self) -> None:
        pass


def read_config(folder: Path, *names: str) -> Any:
    """Instantiate, without running, model, data and trainer of several configurations, later ones over earlier ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = [each for name in names for each in ("--config", str(CONFIGS / name))]
        return Reader(
            DSFUNet,
            PlaneDataModule,
            args=[*arguments, "--trainer.accelerator", "cpu"],
            run=False,
            parser_kwargs={"parser_mode": "yaml"},
        )


def test_paper_configuration_is_the_papers(tmp_path: Path) -> None:
    cli = read_config(tmp_path, "paper.yaml")
    model = cli.model
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.generators.items()}
    assert {round(size / 1e6, 1) for size in sizes.values()} == {29.2}
    assert all(
        isinstance(part, Pix2PixGenerator) and part.in_channels == 1 for part in model.generators.values()
    )
    assert all(isinstance(part, PatchDiscriminator) for part in model.discriminators.values())
    assert len(model.discriminators) == 2
    assert (model.reconstruction_weight, model.joint_step, model.joint_weight) == (100.0, "separate", 1.0)
    assert model.averages is None and model.gradient_clip is None
    optimizers = model.configure_optimizers()
    assert [type(each) for each in optimizers] == [torch.optim.Adam] * 2
    assert all(each.defaults["lr"] == 2e-4 and each.defaults["betas"] == (0.5, 0.999) for each in optimizers)
    assert (cli.datamodule.batch_size, cli.trainer.max_epochs) == (64, 200)
    assert list(tmp_path.iterdir()) == []


def test_release_configuration(tmp_path: Path) -> None:
    cli = read_config(tmp_path, "release.yaml")
    assert all(isinstance(part, SpectralUNet) for part in cli.model.generators.values())
    assert not cli.model.discriminators
    assert cli.model.averages is not None
    [optimizer] = cli.model.configure_optimizers()
    # Muon updates matrices and kernels; together with AdamW it updates every parameter.
    moved = {id(each) for group in optimizer.param_groups for each in group["params"]}
    assert type(optimizer).__name__ == "Muon"
    assert moved == {id(each) for each in cli.model.generators.parameters()}
    assert cli.datamodule.harder_masks == 0.5
    assert list(tmp_path.iterdir()) == []


def test_the_recipes_for_gpu_and_cpu_have_the_released_networks(tmp_path: Path) -> None:
    gpu, cpu = (read_config(tmp_path, name) for name in ("release_gpu.yaml", "release.yaml"))
    shipped = load_release()
    for name in COMPONENTS:
        expected = describe_network(getattr(shipped, name))
        assert describe_network(gpu.model.generators[name]) == expected
        assert describe_network(cpu.model.generators[name]) == expected
    assert gpu.datamodule.resident and not cpu.datamodule.resident
    names = [type(each).__name__ for each in gpu.trainer.callbacks]
    assert "GraphSteps" in names
    assert gpu.trainer.precision == "bf16-mixed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", str(CONFIGS / "release_gpu.yaml")]) == 2
    error = capsys.readouterr().err
    assert (
        "trainer.accelerator is gpu: torch finds no GPU on this machine; use --trainer.accelerator cpu"
        in error
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_by_the_clock_validates_in_whatever_epoch_it_ends(tmp_path: Path) -> None:
    """With an interval in epochs, the weights after the last validation would be lost."""
    for name in ("release.yaml", "release_gpu.yaml"):
        trainer = read_config(tmp_path, name).trainer
        assert trainer.check_val_every_n_epoch in (None, 1)


def test_smoke_configuration_has_all_parts_and_two_networks_of_each_kind(tmp_path: Path) -> None:
    cli = read_config(tmp_path, "smoke.yaml")
    # The file gives each network once, by a YAML anchor: they must not become one network.
    for parts in (cli.model.generators, cli.model.discriminators):
        first, second = (next(parts[name].parameters()) for name in COMPONENTS)
        assert first is not second and not torch.equal(first, second)
    assert cli.model.joint_step == "separate" and cli.model.averages is not None
    assert list(tmp_path.iterdir()) == []


def settings(model: DSFUNet) -> dict[str, Any]:
    """What an ablation may change."""
    return {
        **dict(model.hparams),
        "generators": {name: type(each).__name__ for name, each in model.generators.items()},
        "discriminators": sorted(model.discriminators),
        "optimizers": len(model.configure_optimizers()),
    }


ABLATIONS: dict[str, dict[str, Any]] = {
    "no_joint_step": {"joint_step": "off"},
    "no_adversarial_term": {"discriminators": [], "optimizers": 1},
    "masked_condition": {"condition": "masked"},
    "least_squares": {"objective": "least_squares"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_one_thing_and_where_it_goes(name: str, tmp_path: Path) -> None:
    paper = read_config(tmp_path, "paper.yaml")
    ablation = read_config(tmp_path, "paper.yaml", f"ablations/{name}.yaml")
    assert settings(ablation.model) == {**settings(paper.model), **ABLATIONS[name]}
    assert (paper.config.run, ablation.config.run) == (None, f"runs/ablations/{name}")
    assert settings(paper.model)["condition"] == "clean" and settings(paper.model)["objective"] == "vanilla"


def test_every_ablation_is_tested_and_shows_how_to_run_it() -> None:
    files = sorted((CONFIGS / "ablations").glob("*.yaml"))
    assert [path.stem for path in files] == sorted(ABLATIONS)
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert f"--config configs/paper.yaml --config configs/ablations/{path.name}" in text
        assert set(yaml.safe_load(text)) == {"run", "model"}


@pytest.mark.slow
def test_live_overlay_needs_no_files(tmp_path: Path) -> None:
    (tmp_path / "configs" / "simulate").mkdir(parents=True)
    recipe = CONFIGS / "simulate" / "release.yaml"
    (tmp_path / "configs" / "simulate" / "release.yaml").write_bytes(recipe.read_bytes())
    data = read_config(tmp_path, "release.yaml", "live.yaml").datamodule
    assert data.folder is None and data.batch_size == 8 and not data.augment
    planes = [data.source, data.validation_source]
    assert all(isinstance(each, SimulatedPlanes) for each in planes)
    assert [(each.split, each.fresh, len(each)) for each in planes] == [
        ("train", True, 24576),
        ("validation", False, 1024),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper.yaml", "release.yaml", "release_gpu.yaml"])
def test_the_three_best_checkpoints_and_the_last_are_kept(name: str, tmp_path: Path) -> None:
    trainer = read_config(tmp_path, name).trainer
    checkpoints = trainer.checkpoint_callback
    assert isinstance(checkpoints, ModelCheckpoint) and checkpoints.save_top_k == 3
    (last,) = (each for each in trainer.callbacks if isinstance(each, LastCheckpoint))
    assert last.every_n_minutes == 10
    metrics = {"batches_seen": torch.tensor(1234.0), "validation/mse": torch.tensor(0.5)}
    named = Path(checkpoints.format_checkpoint_name(metrics)).name
    assert named == "best-batch1234.ckpt"
