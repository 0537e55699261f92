"""`python -m benchmarks.training`: time a training iteration, compared with the published loop in plain PyTorch.

All variants run in one process, in turns, from the same initial weights. Writes benchmarks/training.md and prints it.
On a GPU: `python -m benchmarks.training --device cuda --batch_size 64`.
"""

import copy
import ctypes
import gc
import importlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as lightning
import torch
import yaml
from jsonargparse.typing import PositiveInt
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published_loop import ADAM, PublishedLoop, layer_by_layer
from dsfunet.command_parser import Parser
from dsfunet.environment import describe_machine
from dsfunet.files import replacing
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS
from dsfunet.training.module import DSFUNet, JointStep

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "training.md"

# For each name the configurations that define the generators and the discriminators.
NETWORKS = {
    "paper": ("paper", "paper"),
    "release": ("release", None),
    "release with discriminators": ("release", "paper"),
}
Arithmetic = Literal["float32", "tf32", "bf16"]


@dataclass(frozen=True)
class Setting:
    """One way to run an iteration, and its label in the table.

    `joint_step` is that of `DSFUNet`, or None to run the published loop. `networks_as_drawn` runs the networks layer by
    layer, as in the paper's figure.
    """

    name: str
    joint_step: JointStep | None = "separate"
    networks_as_drawn: bool = False
    fused_adam: bool = True
    channels_last: bool = False
    arithmetic: Arithmetic = "float32"
    compiled: bool = False


PUBLISHED_LOOP = Setting("published loop", None, networks_as_drawn=True)
SETTINGS_ON_ANY_DEVICE = (
    PUBLISHED_LOOP,
    Setting("published loop, our networks", None),
    Setting("separate, Adam not fused", fused_adam=False),
    Setting("separate"),
    Setting("separate, channels last", channels_last=True),
    Setting("fused", "fused"),
    Setting("fused, channels last", "fused", channels_last=True),
)
SETTINGS_ON_GPU = (
    Setting("published loop, TF32", None, networks_as_drawn=True, arithmetic="tf32"),
    Setting("separate, channels last, TF32", channels_last=True, arithmetic="tf32"),
    Setting("separate, channels last, bf16", channels_last=True, arithmetic="bf16"),
    Setting("separate, channels last, bf16, compiled", channels_last=True, arithmetic="bf16", compiled=True),
    Setting("fused, channels last, TF32", "fused", channels_last=True, arithmetic="tf32"),
    Setting("fused, channels last, bf16", "fused", channels_last=True, arithmetic="bf16"),
    Setting(
        "fused, channels last, bf16, compiled", "fused", channels_last=True, arithmetic="bf16", compiled=True
    ),
)


@dataclass
class Bench:
    """The device, and the networks and one batch in its memory."""

    device: str
    generators: dict[str, nn.Module]
    discriminators: dict[str, nn.Module]
    batch: dict[str, Tensor]
    modules: dict[str, DSFUNet] = field(default_factory=dict)

    def clock(self) -> float:
        """Return processor time of all threads or, on a GPU, wall time after waiting for the GPU [s]."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


class Clock(Callback):
    """A callback that records the time of every batch [s]; in the first one the optimizers create their state."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._start = self.clock()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop the clock and record the time."""
        self.seconds.append(self.clock() - self._start)


def build(config: dict[str, Any]) -> nn.Module:
    """Build the network of a `class_path` with its `init_args`."""
    module, _, name = config["class_path"].rpartition(".")
    network: nn.Module = getattr(importlib.import_module(module), name)(**config.get("init_args", {}))
    return network


def prepare(networks: str, device: str, samples: int) -> Bench:
    """Build the networks of a name in `NETWORKS`, and a batch of random planes."""
    torch.manual_seed(0)
    parts = []
    for config, role in zip(NETWORKS[networks], ("generator", "discriminator"), strict=True):
        model = yaml.safe_load((ROOT / "configs" / f"{config}.yaml").read_text())["model"] if config else None
        parts.append(
            {name: build(model[f"{name}_{role}"]).to(device) for name in COMPONENTS} if model else {}
        )
    channels = {"input": 2, "clean": 1, "form_factor": 1, "short_range_order": 1}
    batch = {
        name: 2 * torch.rand(samples, c, PIXELS, PIXELS, device=device) - 1 for name, c in channels.items()
    }
    return Bench(device, *parts, batch)


def run(bench: Bench, setting: Setting, batch: dict[str, Tensor], repeats: int) -> list[float]:
    """Return the times of `repeats` iterations [s], after one that is not timed."""
    # Set these explicitly because their defaults differ between versions of torch.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = setting.arithmetic == "tf32"
    if setting.joint_step is None:
        form = layer_by_layer if setting.networks_as_drawn else copy.deepcopy
        parts = (bench.generators, bench.discriminators)
        loop = PublishedLoop(*({name: form(network) for name, network in part.items()} for part in parts))
        seconds = []
        for _ in range(1 + repeats):
            start = bench.clock()
            loop.iterate(batch)
            seconds.append(bench.clock() - start)
        return seconds[1:]
    clock = Clock(bench.clock)
    trainer = lightning.Trainer(
        accelerator="cpu" if bench.device == "cpu" else "gpu",
        devices=1,
        precision="bf16-mixed" if setting.arithmetic == "bf16" else "32-true",
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches: Any = [batch] * (1 + repeats)
    trainer.fit(_module(bench, setting), DataLoader(batches, batch_size=None), DataLoader(batches))
    return clock.seconds[1:]


def _module(bench: Bench, setting: Setting) -> DSFUNet:
    # Keep a compiled module for all rounds, because compiling takes minutes.
    if setting.name in bench.modules:
        return bench.modules[setting.name]
    adam = partial(ADAM, fused=setting.fused_adam)
    parts = [*bench.generators.values(), adam, adam, *bench.discriminators.values()]
    assert setting.joint_step is not None
    module = DSFUNet(
        *copy.deepcopy(parts), joint_step=setting.joint_step, channels_last=setting.channels_last
    )
    if setting.compiled:
        for network in (*module.generators.values(), *module.discriminators.values()):
            network.compile()
        bench.modules[setting.name] = module
    return module


def count_flops(bench: Bench, setting: Setting) -> int:
    """Count the operations of convolutions and matrix products of one iteration [FLOP], from a batch of one plane."""
    first = {name: values[:1] for name, values in bench.batch.items()}
    with FlopCounterMode(display=False) as counter:
        run(bench, setting, first, 0)
    return int(counter.get_total_flops()) * len(bench.batch["input"])


def peak_memory(device: str, work: Callable[[], Any]) -> float:
    """Return the peak memory that work takes beyond what is in use before [GB]; NaN if it cannot be measured."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not forget.exists():
        work()
        return float("nan")
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # return freed memory to the system, or the work could use it unnoticed
    forget.write_text("5")  # Linux: reset the high-water mark

    def kilobytes(name: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))

    before = kilobytes("VmRSS")
    work()
    return (kilobytes("VmHWM") - before) * 1024 / 1e9


def ceiling(bench: Bench, arithmetic: Arithmetic) -> float:
    """Measure the speed of a large matrix product on the same device and threads [FLOP/s]."""
    size = 2048 if bench.device == "cpu" else 8192
    torch.backends.cuda.matmul.allow_tf32 = arithmetic == "tf32"
    kind = torch.bfloat16 if arithmetic == "bf16" else torch.float32
    square = torch.rand(size, size, device=bench.device).to(kind)
    seconds = []
    for _ in range(8):
        start = bench.clock()
        square @ square
        seconds.append(bench.clock() - start)
    return 2 * size**3 / min(seconds)


def measure(networks: str, device: str, samples: int, rounds: int, repeats: int) -> list[str]:
    """Measure one choice of networks, and return the lines of its table in Markdown."""
    bench = prepare(networks, device, samples)
    settings = SETTINGS_ON_ANY_DEVICE if device == "cpu" else (*SETTINGS_ON_ANY_DEVICE, *SETTINGS_ON_GPU)
    if NETWORKS[networks][0] != "paper" and not bench.discriminators:
        settings = tuple(each for each in settings if each.name != "published loop, our networks")
    flops: dict[Any, int] = {}
    for each in settings:
        kind = (each.joint_step, each.networks_as_drawn)
        if kind not in flops:
            flops[kind] = count_flops(bench, each)
    ceilings = {kind: ceiling(bench, kind) for kind in {each.arithmetic for each in settings}}
    seconds: dict[str, list[float]] = {each.name: [] for each in settings}
    memory: dict[str, float] = {}
    for _ in range(rounds):
        for each in settings:
            measured = peak_memory(
                device, lambda each=each: seconds[each.name].extend(run(bench, each, bench.batch, repeats))
            )
            memory[each.name] = max(measured, memory.get(each.name, 0.0))
    ceilings = {kind: max(value, ceiling(bench, kind)) for kind, value in ceilings.items()}
    parameters = sum(
        p.numel()
        for n in (*bench.generators.values(), *bench.discriminators.values())
        for p in n.parameters()
    )
    lines = [
        f"## Networks: {networks}",
        "",
        f"{parameters / 1e6:.1f} M parameters in total, batches of {samples}; {rounds} rounds of {repeats} timed"
        " iterations each, in turns. Ceilings: "
        + ", ".join(f"{value / 1e9:.0f} GFLOP/s in {kind}" for kind, value in sorted(ceilings.items()))
        + ".",
        "",
        "| | s per iteration, minimum | median | speed-up | GFLOP | GFLOP/s | of the ceiling | memory [GB] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in settings:
        least = min(seconds[each.name])
        work = flops[each.joint_step, each.networks_as_drawn]
        lines.append(
            f"| {each.name} | {least:.3f} | {statistics.median(seconds[each.name]):.3f}"
            f" | {min(seconds[PUBLISHED_LOOP.name]) / least:.2f} | {work / 1e9:.0f} | {work / least / 1e9:.0f}"
            f" | {work / least / ceilings[each.arithmetic]:.0%} | {memory[each.name]:.2f} |"
        )
    return [*lines, ""]


def preface(device: str, threads: int, note: str) -> list[str]:
    """Return the introduction to the tables, in Markdown."""
    clock = "processor time of all threads" if device == "cpu" else "wall time, including waiting for the GPU"
    return [
        "# Time of a training iteration, compared with the published loop",
        "",
        f"Planes of 256 x 256 pixels on {describe_machine(device)}, CPU threads: {threads}, torch {torch.__version__};"
        f" {clock}. {note}".rstrip(),
        "`python -m benchmarks.training` makes these tables again.",
        "",
        "* **published loop**: benchmarks/published_loop.py, plain PyTorch written from the paper's description. For"
        " each component it takes a step of the generator and one of the discriminator, then the joint step with both"
        " outputs computed again. It uses four Adam optimizers, float32, and networks that run layer by layer as in the"
        " paper's figure. A test checks that it gives the same weights as `separate` after the same batches.",
        "* **published loop, our networks**: the same loop with the networks of `dsfunet.networks`. The difference to"
        " the first row is due to the networks; the differences of the following rows are due to the training step.",
        "* **separate**: `DSFUNet.training_step` in a Trainer, with the steps and losses of the paper and the same"
        " results except for rounding. Adam is the fused version of torch unless stated otherwise.",
        "* **fused**: a different algorithm. The joint loss is part of the generators' step, so that there is one step"
        " where the paper takes two, with outputs computed twice. **TF32** and **bf16** change the arithmetic; the"
        " other options change neither algorithm nor arithmetic.",
        "",
        "The speed-up compares minimum times with the published loop in float32. FLOPs are those of convolutions and"
        " matrix products, counted in a real iteration; the ceiling is a large matrix product in the same arithmetic."
        " Memory is the peak beyond the initial weights and the batch.",
        "",
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write and print the tables."""
    parser = Parser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    parser.add_argument("--batch_size", type=PositiveInt, default=2, help="planes per batch")
    parser.add_argument(
        "--networks", type=list[str], default=list(NETWORKS), help="names of the networks to measure"
    )
    parser.add_argument("--rounds", type=PositiveInt, default=2, help="number of turns of each setting")
    parser.add_argument("--repeats", type=PositiveInt, default=2, help="number of timed iterations per turn")
    parser.add_argument("--threads", type=PositiveInt, default=1, help="number of CPU threads")
    parser.add_argument("--note", type=str, default="", help="note on the machine for the report")
    options = parser.parse_args(args)
    for nothing_to_act_on in (".*does not have many workers", ".*isinstance.treespec", "GPU available but"):
        warnings.filterwarnings("ignore", message=nothing_to_act_on)
    torch.set_num_threads(options.threads)
    lines = preface(options.device, options.threads, options.note)
    for networks in options.networks:
        lines += measure(networks, options.device, options.batch_size, options.rounds, options.repeats)
    with replacing(OUT) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
