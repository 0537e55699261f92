"""`python -m benchmarks.recipe`: measure what each part of the release recipe gains, at equal processor time.

The networks have half the width of an earlier release and are trained for minutes instead of hours. Each variant
differs from the first in one respect. Its number of batches is the budget divided by the time of a batch. That time is
measured for all variants in turns before any is trained, so that other load on the machine affects all of them alike.
Finished variants are kept in `--work` and not trained again. Writes benchmarks/recipe.md and prints it.
"""

import copy
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from jsonargparse.typing import PositiveFloat
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn

from benchmarks.pages import write_page
from dsfunet.command_parser import Parser
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.environment import describe_machine
from dsfunet.files import write_json
from dsfunet.planes.preprocessing import COMPONENTS
from dsfunet.training.module import DSFUNet
from dsfunet.training.schedule import CosineSchedule

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "recipe.md"

_PILOT = (
    # Undo what was added to the recipe after this table was made.
    "--model.form_factor_generator.init_args.in_channels=2",
    "--model.form_factor_generator.init_args.blocks=[1,1,2]",
    "--model.order_shown=0",
    "--model.squared_weight=0",
    "--model.generator_optimizer=torch.optim.AdamW",
    "--model.generator_optimizer.init_args.lr=1.2e-3",
    "--model.generator_optimizer.init_args.betas=[0.9,0.98]",
    "--model.generator_optimizer.init_args.weight_decay=0.01",
    "--data.harder_masks=0",
    "--model.form_factor_generator.init_args.channels=[16,32,64]",
    "--model.form_factor_generator.init_args.fourier_channels=[8,16,32]",
    "--model.short_range_order_generator.init_args.blocks=[1,1,2]",
    "--model.short_range_order_generator.init_args.channels=[32,64,128]",
    "--model.short_range_order_generator.init_args.fourier_channels=[16,32,64]",
    "--data.workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.logger=false",
    "--trainer.callbacks=null",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_checkpointing=false",
    "--trainer.enable_model_summary=false",
    "--trainer.limit_val_batches=0",
)
_CALIBRATION_BATCHES = 6
_CALIBRATION_ROUNDS = 3
_CONSTANT = "constant learning rate"


@dataclass(frozen=True)
class Variant:
    """A variant of the recipe: changed command-line settings or another course of the learning rate."""

    name: str
    settings: tuple[str, ...] = ()
    final_share: float = 0.01
    hold_share: float = 0.0
    shared_encoder: bool = False
    seed: int = 1


VARIANTS = (
    Variant("**baseline**: configs/release.yaml with the cosine from the start"),
    Variant("baseline with another seed", seed=2),
    Variant(
        "no mask channel",
        tuple(f"--model.{name}_generator.init_args.in_channels=1" for name in COMPONENTS),
    ),
    Variant("no flips and rotations", ("--data.augment=false",)),
    Variant(_CONSTANT, final_share=1.0),
    Variant("no weight decay (Adam)", ("--model.generator_optimizer.init_args.weight_decay=0.0",)),
    Variant("extra loss between the product and the input", ("--model.explanation_weight=0.1",)),
    Variant("one encoder for both components", shared_encoder=True),
    Variant("**adopted**: learning rate constant for 70 %, then the cosine", hold_share=0.7),
)


class SharedEncoder(DSFUNet):
    """A module with one encoder, that of short-range order, and a separate decoder for each component."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        generators = list(arguments[:2])
        # Both decoders take the same features, so they need the same width.
        generators[0] = copy.deepcopy(generators[1])
        for part in ("stem", "encoder", "down", "bottom"):
            setattr(generators[0], part, getattr(generators[1], part))
        super().__init__(*generators, *arguments[2:], **settings)
        assert self.averages is not None
        for part in ("stem", "encoder", "down", "bottom"):
            setattr(self.averages["form_factor"], part, getattr(self.averages["short_range_order"], part))

    def _generate(
        self,
        generators: nn.ModuleDict,
        planes: Tensor,
        order: Tensor | None = None,
        names: tuple[str, ...] = COMPONENTS,
    ) -> dict[str, Tensor]:
        planes = planes.contiguous(memory_format=torch.channels_last)
        features, skips = generators["short_range_order"].encode(planes)
        return {name: generators[name].decode(features, skips) for name in names}


class Clock(Callback):
    """A callback that records the processor time of every batch, including loading, and stops after `batches`."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.ticks: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Record the time."""
        self.ticks.append(time.process_time())
        if len(self.ticks) == self.batches:
            trainer.should_stop = True

    @property
    def seconds(self) -> float:
        """Minimum time of a batch without the first; other load on the machine can only lengthen it."""
        return min(late - early for early, late in zip(self.ticks, self.ticks[1:], strict=False))


class Schedule(CosineSchedule):
    """The recipe's learning-rate schedule for a given number of batches."""

    def __init__(self, batches: int, variant: Variant) -> None:
        super().__init__(
            warmup_batches=min(100, batches // 5),
            final_share=variant.final_share,
            hold_share=variant.hold_share,
        )
        self.batches = batches

    def _progress(self, trainer: lightning.Trainer, seen: int) -> float:
        return seen / self.batches


def build(variant: Variant, folder: str) -> tuple[DSFUNet, PlaneDataModule, LightningCLI]:
    """Build module and data of a variant, with its seed."""
    arguments = ["--config", str(ROOT / "configs" / "release.yaml"), f"--data.folder={folder}"]
    arguments += [f"--seed_everything={variant.seed}", *_PILOT, *variant.settings]
    cli = LightningCLI(DSFUNet, PlaneDataModule, args=arguments, run=False, save_config_callback=None)
    model = cli.model
    if variant.shared_encoder:
        settings = {
            name: getattr(model, name)
            for name in (
                "reconstruction_weight",
                "joint_step",
                "joint_weight",
                "gradient_clip",
                "average_decay",
            )
        }
        model = SharedEncoder(
            *model.generators.values(), model.generator_optimizer, channels_last=True, **settings
        )
    return model, cli.datamodule, cli


def train(variant: Variant, folder: str, batches: int) -> tuple[DSFUNet, PlaneDataModule, Clock]:
    """Train a variant for a number of batches."""
    module, planes, cli = build(variant, folder)
    clock = Clock(batches)
    cli.trainer.callbacks += [clock, Schedule(batches, variant)]
    cli.trainer.fit(module, datamodule=planes)
    return module, planes, clock


@torch.no_grad()
def score(module: DSFUNet, planes: PlaneDataModule) -> dict[str, float]:
    """Return the errors over validation planes, for the averaged and the live weights."""
    module.eval()
    result = {}
    for which, generators in (("averaged", module.averages), ("live", module.generators)):
        assert generators is not None
        for batch in planes.val_dataloader():
            for name, output in module._generate(generators, batch["input"]).items():
                module.errors.add(name, (output - batch[name]).square().mean(dim=(1, 2, 3)))
        result |= {f"{which}/{name}": float(value) for name, value in module.errors.summary().items()}
    return result


def seconds_a_batch(variants: Sequence[Variant], folder: str) -> dict[str, float]:
    """Measure the processor time of one batch of every variant [s], in turns."""
    seconds: dict[str, float] = {}
    for _ in range(_CALIBRATION_ROUNDS):
        for variant in variants:
            measured = train(variant, folder, _CALIBRATION_BATCHES)[2].seconds
            seconds[variant.name] = min(measured, seconds.get(variant.name, measured))
    return seconds


def table(results: dict[str, dict[str, float]], minutes: float) -> list[str]:
    """Format the results as Markdown."""
    lines = [
        "# What each part of the release recipe gains",
        "",
        "`python -m benchmarks.recipe`: each variant trains networks of half the width of an earlier release for"
        f" {minutes:g} minutes on one of {describe_machine()}. Errors are mean squared errors of the averaged weights"
        " in spread space, over 256 validation planes of species not in the training data. Each variant differs from"
        " the first in one respect; the one with another seed shows the effect of chance.",
        "",
        "| | samples | I_FF mean | I_SRO mean | I_FF median | I_SRO median |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for which, label in (("averaged", name), ("live", f"{name}, weights not averaged")):
            if which == "live" and name not in (VARIANTS[0].name, _CONSTANT):
                continue
            values = [
                result[f"{which}/{component}_mse{kind}"]
                for kind in ("", "_median")
                for component in COMPONENTS
            ]
            lines.append(
                f"| {label} | {result['samples']:.0f} | " + " | ".join(f"{v:.4f}" for v in values) + " |"
            )
    return lines


def main(args: Sequence[str] | None = None) -> int:
    """Time the batches, train the unfinished variants, and write and print the table."""
    parser = Parser(prog="python -m benchmarks.recipe", description=__doc__)
    parser.add_argument(
        "--folder",
        type=str,
        default="data/release",
        help="folder with the stores of configs/simulate/release.yaml",
    )
    parser.add_argument(
        "--minutes", type=PositiveFloat, default=6.0, help="processor time of each variant [min]"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"), help="folder for finished variants")
    options = parser.parse_args(args)
    for nothing_to_act_on in (
        ".*does not have many workers",
        ".*args parameter is intended",
        ".*isinstance.treespec",
    ):
        warnings.filterwarnings("ignore", message=nothing_to_act_on)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    calibration = options.work / "seconds_a_batch.json"
    if not calibration.exists():
        write_json(calibration, seconds_a_batch(VARIANTS, options.folder))
    seconds = json.loads(calibration.read_text(encoding="utf-8"))
    results = {}
    for number, variant in enumerate(VARIANTS):
        path = options.work / f"{number}.json"
        if not path.exists():
            batches = int(60 * options.minutes / seconds[variant.name])
            module, planes, _ = train(variant, options.folder, batches)
            write_json(path, {**score(module, planes), "samples": batches * planes.batch_size})
        results[variant.name] = json.loads(path.read_text(encoding="utf-8"))
    lines = table(results, options.minutes)
    write_page(OUT, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
