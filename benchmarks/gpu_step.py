"""`python -m benchmarks.gpu_step`: time the parts of a training step of configs/release_gpu.yaml on a GPU.

It times the forward and backward passes by batch size and memory format, and the optimizer step, plain and recorded as
a CUDA graph (`dsfunet.training.cuda_graphs`). With `--store` it also times batches from the GPU's memory
(`dsfunet.data.gpu_resident`). Writes benchmarks/gpu_step.md and prints it.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import yaml
from jsonargparse.typing import PositiveInt
from timm.optim.muon import Muon
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import build
from dsfunet.command_parser import Parser
from dsfunet.data.dataset import PlaneDataset
from dsfunet.data.gpu_resident import ResidentPlanes
from dsfunet.environment import describe_machine
from dsfunet.files import replacing
from dsfunet.planes.preprocessing import COMPONENTS, PIXELS
from dsfunet.training.cuda_graphs import GraphSteps
from dsfunet.training.losses import reconstruction_loss, squared_error_loss

OUT = Path(__file__).parent / "gpu_step.md"
RELEASE = Path(__file__).parents[1] / "configs" / "release_gpu.yaml"


def milliseconds(work: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the mean wall time of one call [ms], including waiting for the device, after four calls to warm up."""
    synchronise = torch.cuda.synchronize if device != "cpu" else lambda: None
    for _ in range(4):  # the fourth call records the CUDA graph
        work()
    synchronise()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronise()
    return 1e3 * (time.perf_counter() - start) / repeats


class Step:
    """The recipe's networks, a batch of random planes, and the parts of a training step."""

    def __init__(self, device: str, samples: int, channels_last: bool = False) -> None:
        torch.manual_seed(0)
        model = yaml.safe_load(RELEASE.read_text(encoding="utf-8"))["model"]
        self.device = device
        self.networks = nn.ModuleList(build(model[f"{name}_generator"]) for name in COMPONENTS).to(device)
        settings = model["generator_optimizer"]["init_args"]
        self.optimizer = Muon(self.networks.parameters(), **settings)
        self.planes = 2 * torch.rand(samples, 3, PIXELS, PIXELS, device=device) - 1
        self.planes[:, 1] = (self.planes[:, 1] > -0.6).float()
        self.truth = 2 * torch.rand(samples, 1, PIXELS, PIXELS, device=device) - 1
        if channels_last:
            self.networks.to(memory_format=torch.channels_last)
            self.planes = self.planes.contiguous(memory_format=torch.channels_last)

    def gradients(self) -> None:
        """Run both networks forwards and backwards in bfloat16."""
        self.networks.zero_grad()
        losses: list[Tensor] = []
        for network in self.networks:
            with torch.autocast(self.device, torch.bfloat16):
                output = network(self.planes[:, : int(network.in_channels)])
            losses += [reconstruction_loss(output, self.truth), 6 * squared_error_loss(output, self.truth)]
        torch.stack(losses).sum().backward()


def measure(device: str, batch_sizes: Sequence[int], repeats: int, store: str | None) -> list[str]:
    """Measure and return the lines of the table, in Markdown."""
    lines = ["| | batch | ms | planes a second |", "|---|---|---|---|"]
    for samples in batch_sizes:
        for channels_last in (False, True):
            step = Step(device, samples, channels_last)
            taken = milliseconds(step.gradients, device, repeats)
            name = "forwards and backwards" + (", channels last" if channels_last else "")
            lines.append(f"| {name} | {samples} | {taken:.1f} | {1e3 * samples / taken:.0f} |")
    step = Step(device, 1)
    step.gradients()
    lines.append(f"| optimizer step (Muon) | | {milliseconds(step.optimizer.step, device, repeats):.1f} | |")
    if device != "cpu":
        run: Any = SimpleNamespace(optimizers=[step.optimizer], device=torch.device(device))
        GraphSteps().on_train_start(run, run)
        taken = milliseconds(step.optimizer.step, device, repeats)
        lines.append(f"| optimizer step (Muon), recorded as a CUDA graph | | {taken:.1f} | |")
    if store is not None:
        dataset = PlaneDataset(Path(store), augment=True)
        start = time.perf_counter()
        resident = ResidentPlanes(dataset, torch.device(device), progress=False)
        rate = len(resident) / (time.perf_counter() - start)
        for samples in batch_sizes:
            visits = list(range(min(samples, len(resident))))
            taken = milliseconds(lambda visits=visits: resident.__getitems__(visits), device, repeats)
            lines.append(
                f"| batch from the device's memory | {len(visits)} | {taken:.1f} | {1e3 * len(visits) / taken:.0f} |"
            )
        lines.append(f"| loading planes from shards into that memory | | | {rate:.0f} |")
    return lines


def operations() -> float:
    """Count the convolutions and matrix products of a plane, forwards and backwards through both networks [GFLOP]."""
    step = Step("cpu", 1)
    with FlopCounterMode(display=False) as counter:
        step.gradients()
    return float(counter.get_total_flops()) / 1e9


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write and print the table."""
    parser = Parser(prog="python -m benchmarks.gpu_step", description=__doc__)
    parser.add_argument("--device", type=str, default="cuda", help="cuda or cpu")
    parser.add_argument(
        "--batch_sizes", type=list[PositiveInt], default=[128, 256, 512], help="numbers of planes per batch"
    )
    parser.add_argument("--repeats", type=PositiveInt, default=8, help="number of timed calls")
    parser.add_argument(
        "--store", type=str, default=None, help="store of training planes for batches, such as train.zarr"
    )
    options = parser.parse_args(args)
    torch.backends.cudnn.benchmark = True
    lines = [
        "# A training step of the release recipe on a GPU",
        "",
        f"On {describe_machine(options.device)}, torch {torch.__version__}, bfloat16; wall time, including"
        " waiting for the GPU.",
        "`python -m benchmarks.gpu_step` makes this table again.",
        "",
        *measure(options.device, options.batch_sizes, options.repeats, options.store),
        "",
        f"A plane takes {operations():.1f} GFLOP forwards and backwards through both networks.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    with replacing(OUT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
