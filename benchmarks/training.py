"""`python -m benchmarks.training`: the time of a training iteration beside a plain twin of the published loop.

Both in one process, in turns, on the same starting weights. Writes benchmarks/training.md and prints it. On a GPU:
`python -m benchmarks.training --device cuda --batch_size 64`.
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

from benchmarks.published_loop import ADAM, PublishedLoop, plain
from dsfunet.command_parser import Parser
from dsfunet.environment import describe_machine
from dsfunet.files import replacing
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS
from dsfunet.training.module import DSFUNet, JointStep

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "training.md"

# Networks by name: the configuration they are of, and the one that the discriminators are of.
NETWORKS = {
    "paper": ("paper", "paper"),
    "release": ("release", None),
    "release with discriminators": ("release", "paper"),
}
Arithmetic = Literal["float32", "tf32", "bf16"]


@dataclass(frozen=True)
class Setting:
    """One way to run an iteration: `joint_step` None is the twin; `networks_as_drawn` runs them layer by layer."""

    name: str
    joint_step: JointStep | None = "separate"
    networks_as_drawn: bool = False
    fused_adam: bool = True
    channels_last: bool = False
    arithmetic: Arithmetic = "float32"
    compiled: bool = False


TWIN = Setting("twin", None, networks_as_drawn=True)
SETTINGS_ON_ANY_DEVICE = (
    TWIN,
    Setting("twin's loop on our networks", None),
    Setting("separate, Adam not fused", fused_adam=False),
    Setting("separate"),
    Setting("separate, channels last", channels_last=True),
    Setting("fused", "fused"),
    Setting("fused, channels last", "fused", channels_last=True),
)
SETTINGS_ON_GPU = (
    Setting("twin, TF32", None, networks_as_drawn=True, arithmetic="tf32"),
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
    """What is measured on: device, networks and one batch, in the device's memory."""

    device: str
    generators: dict[str, nn.Module]
    discriminators: dict[str, nn.Module]
    batch: dict[str, Tensor]
    modules: dict[str, DSFUNet] = field(default_factory=dict)

    def clock(self) -> float:
        """Seconds: processor time of all threads or, on a GPU, wall time when all that was asked for is done."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


class Clock(Callback):
    """Times of the batches of a fit [s], the first left out: in it an optimizer makes its state."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._start = self.clock()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop it."""
        self.seconds.append(self.clock() - self._start)


def build(config: dict[str, Any]) -> nn.Module:
    """The network of a `class_path` and its `init_args`."""
    module, _, name = config["class_path"].rpartition(".")
    network: nn.Module = getattr(importlib.import_module(module), name)(**config.get("init_args", {}))
    return network


def prepare(networks: str, device: str, samples: int) -> Bench:
    """Networks of a name in `NETWORKS`, and a batch of so many planes without any meaning."""
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
    """Times of so many iterations [s], after one that is not timed."""
    # What these are in a fresh process differs between versions of torch.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = setting.arithmetic == "tf32"
    if setting.joint_step is None:
        form = plain if setting.networks_as_drawn else copy.deepcopy
        parts = (bench.generators, bench.discriminators)
        twin = PublishedLoop(*({name: form(network) for name, network in part.items()} for part in parts))
        seconds = []
        for _ in range(1 + repeats):
            start = bench.clock()
            twin.iterate(batch)
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
    # Kept from round to round where it is compiled: that takes minutes.
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
    """Operations of convolutions and matrix products of one iteration, counted on a batch of one plane."""
    first = {name: values[:1] for name, values in bench.batch.items()}
    with FlopCounterMode(display=False) as counter:
        run(bench, setting, first, 0)
    return int(counter.get_total_flops()) * len(bench.batch["input"])


def peak_memory(device: str, work: Callable[[], Any]) -> float:
    """The most memory that work takes beyond what is held before [GB]; NaN where the system does not tell."""
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
        libc.malloc_trim(0)  # or what is freed but not given back would be there to take
    forget.write_text("5")  # Linux: the high-water mark starts again from here

    def kilobytes(name: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))

    before = kilobytes("VmRSS")
    work()
    return (kilobytes("VmHWM") - before) * 1024 / 1e9


def ceiling(bench: Bench, arithmetic: Arithmetic) -> float:
    """FLOP/s of a large matrix product on the device and threads of the iterations."""
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
    """The table for one choice of networks, in Markdown, a line an entry."""
    bench = prepare(networks, device, samples)
    settings = SETTINGS_ON_ANY_DEVICE if device == "cpu" else (*SETTINGS_ON_ANY_DEVICE, *SETTINGS_ON_GPU)
    if NETWORKS[networks][0] != "paper" and not bench.discriminators:
        settings = tuple(each for each in settings if each.name != "twin's loop on our networks")
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
        f"{parameters / 1e6:.1f} M parameters in all, batches of {samples}; {rounds} rounds of {repeats} timed"
        " iterations each, in turns. Ceilings: "
        + ", ".join(f"{value / 1e9:.0f} GFLOP/s in {kind}" for kind, value in sorted(ceilings.items()))
        + ".",
        "",
        "| | s an iteration, least | median | speed-up | GFLOP | GFLOP/s | of the ceiling | memory [GB] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in settings:
        least = min(seconds[each.name])
        work = flops[each.joint_step, each.networks_as_drawn]
        lines.append(
            f"| {each.name} | {least:.3f} | {statistics.median(seconds[each.name]):.3f}"
            f" | {min(seconds[TWIN.name]) / least:.2f} | {work / 1e9:.0f} | {work / least / 1e9:.0f}"
            f" | {work / least / ceilings[each.arithmetic]:.0%} | {memory[each.name]:.2f} |"
        )
    return [*lines, ""]


def preface(device: str, threads: int, note: str) -> list[str]:
    """What the tables say, in Markdown."""
    clock = "processor time of all threads" if device == "cpu" else "wall time, the GPU waited for"
    return [
        "# A training iteration beside the published loop's",
        "",
        f"256 x 256 planes on {describe_machine(device)}, {threads} threads of the CPU, torch {torch.__version__};"
        f" {clock}. {note}".rstrip(),
        "`python -m benchmarks.training` makes these tables again.",
        "",
        "* **twin**: benchmarks/published_loop.py, plain PyTorch from the paper's description: for each component a"
        " step of the generator and one of the discriminator, then the joint step with both outputs computed again;"
        " four Adams, float32, the networks layer by layer as the paper draws them. A test holds that after the same"
        " batches it has the weights that `separate` has.",
        "* **twin's loop on our networks**: the same loop on the networks as `dsfunet.networks` runs them. What lies"
        " between this line and the first is our networks' doing, what lies below it the training step's.",
        "* **separate** is `DSFUNet.training_step` in a Trainer, to the paper's letter: as many steps on the same"
        " losses, the same results but for rounding. Adam is torch's own fused one unless the line says otherwise.",
        "* **fused** changes the algorithm: the joint loss joins the generators' step, one step where the paper takes"
        " two on outputs computed twice. **TF32** and **bf16** change the arithmetic. All other words change neither.",
        "",
        "Speed-up is of the least times, to the twin's in float32. FLOPs are those of convolutions and matrix"
        " products, counted on the real iteration; the ceiling is a large matrix product in the line's arithmetic."
        " Memory is what an iteration takes at most beyond the starting weights and the batch.",
        "",
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, write the tables, print them."""
    parser = Parser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    parser.add_argument("--batch_size", type=PositiveInt, default=2, help="planes a batch")
    parser.add_argument("--networks", type=list[str], default=list(NETWORKS), help="which networks")
    parser.add_argument("--rounds", type=PositiveInt, default=2, help="how often each setting has its turn")
    parser.add_argument("--repeats", type=PositiveInt, default=2, help="iterations timed in a turn")
    parser.add_argument("--threads", type=PositiveInt, default=1, help="threads of the CPU")
    parser.add_argument("--note", type=str, default="", help="a sentence on the machine, for the report")
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
