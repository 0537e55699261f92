"""`python -m benchmarks.loader`: samples per second of the loader, from shards and live, compared with training.

It reads existing stores (`--folder`), simulates planes of a recipe, and trains the networks of configs/release.yaml.
Writes benchmarks/loader.md and prints it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from jsonargparse.typing import PositiveInt
from torch import Tensor
from torch.utils.data import default_collate

from dsfunet.command_parser import Parser
from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import PlaneDataset, SampleSource
from dsfunet.data.expansion import BatchMaker, PackedPlanes
from dsfunet.data.store import open_store
from dsfunet.environment import describe_machine
from dsfunet.files import replacing
from dsfunet.networks import SpectralUNet
from dsfunet.networks.inputs import select_inputs
from dsfunet.planes.preprocessing import COMPONENTS, network_input, spread
from dsfunet.planes.turns import rotate_and_flip
from dsfunet.training.losses import joint_product_loss, reconstruction_loss
from simulate.live import SimulatedPlanes

OUT = Path(__file__).parent / "loader.md"
RELEASE = Path(__file__).parents[1] / "configs" / "release.yaml"
BATCH_SIZE = 8  # of the timed training step
LOADER_BATCH = 64
CPU = torch.device("cpu")


def milliseconds(work: Callable[[int], Any], numbers: Sequence[int]) -> float:
    """Return the mean processor time of one call [ms], after three calls to warm up."""
    for number in numbers[:3]:
        work(number)
    start = time.process_time()
    for number in numbers:
        work(number)
    return 1e3 * (time.process_time() - start) / len(numbers)


def stages(source: SampleSource, zarr_array: Any, numbers: Sequence[int]) -> dict[str, float]:
    """Time the stages of one sample in this process [ms]."""
    sample = source.sample(numbers[0])
    planes = np.stack([sample.scattering, sample.clean, sample.form_factor, sample.short_range_order])
    dataset = PlaneDataset(source, augment=True)
    packed = PackedPlanes(dataset).__getitem__
    batch, maker = default_collate([packed(number) for number in numbers[:BATCH_SIZE]]), BatchMaker(CPU)
    expanded = milliseconds(lambda number: maker.make(batch), numbers[:20])
    return {
        "read and decode a sample from shards: three arrays, checksums, clean plane": milliseconds(
            source.sample, numbers
        ),
        "for comparison: one of the three arrays with zarr-python": milliseconds(
            lambda number: zarr_array[number], numbers
        ),
        "augment: rotate, flip and copy": milliseconds(
            lambda number: np.ascontiguousarray(rotate_and_flip(planes, 1 + number % 7)), numbers
        ),
        "mask, normalise and spread the input": milliseconds(
            lambda number: network_input(sample.scattering, sample.mask), numbers
        ),
        "spread the three targets": milliseconds(lambda number: spread(planes[1:]), numbers),
        "whole training sample in float32, as from sources other than stores": milliseconds(
            dataset.__getitem__, numbers
        ),
        "**training sample as stored**, which workers send to the device": milliseconds(packed, numbers),
        "expand a sample on this CPU (on a GPU, on the GPU)": expanded / BATCH_SIZE,
    }


def opens_per_sample(store: Path, samples: int) -> float | None:
    """Return how often a process opens a file of the store for a sample, in a whole run; None without strace."""
    if shutil.which("strace") is None:
        return None
    code = (
        "import sys; from dsfunet.data.dataset import PlaneDataset; from dsfunet.data.expansion import PackedPlanes\n"
        "planes = PackedPlanes(PlaneDataset(sys.argv[1], True, harder_masks=0.5))\n"
        "for number in range(int(sys.argv[2])): planes[number]"
    )
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        traced = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", str(trace)]
        subprocess.run([*traced, sys.executable, "-c", code, str(store), str(samples)], check=True)
        lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    return sum(str(store) in line for line in lines) / samples


def worker_seconds(iterator: Any) -> float:
    """Return the processor time of all workers of a loader so far [s]; not a number where the system does not tell."""
    try:
        ticks = [
            Path(f"/proc/{worker.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
            for worker in getattr(iterator, "_workers", [])
        ]
    except OSError:
        return float("nan")
    return sum(int(each) for pair in ticks for each in pair) / os.sysconf("SC_CLK_TCK")


def loader_speed(module: PlaneDataModule, batches: int) -> tuple[float, float, float]:
    """Measure the training loader.

    Returns:
        Steady samples per second, processor time of the workers for a sample [ms], and seconds until the first batch.
    """
    # As in a training, where planes of a store are sent as they are stored.
    trainer: Any = SimpleNamespace(world_size=1, global_rank=0, fit_loop=SimpleNamespace(batch_idx=-1))
    module.trainer = trainer
    module.setup("fit")
    loader = module.train_dataloader()
    start = time.perf_counter()
    iterator = iter(loader)
    next(iterator)
    first = time.perf_counter() - start
    # Workers have prepared batches by now; skip these and time the following ones.
    for _ in range(2 * max(module.workers, 1)):
        next(iterator)
    start, before = time.perf_counter(), worker_seconds(iterator)
    for _ in range(batches):
        next(iterator)
    samples = batches * LOADER_BATCH
    spent = 1e3 * (worker_seconds(iterator) - before) / samples
    return samples / (time.perf_counter() - start), spent, first


def training_speed(batch: dict[str, Tensor], device: str, steps: int) -> float:
    """Return the samples per second of the release configuration's step: both generators, L1 and joint loss, AdamW.

    The step runs without weight averaging and without Lightning, so this is an upper bound on what a loader must
    supply.
    """
    torch.manual_seed(0)
    model = yaml.safe_load(RELEASE.read_text(encoding="utf-8"))["model"]
    networks = [SpectralUNet(**model[f"{name}_generator"]["init_args"]).to(device) for name in COMPONENTS]
    for network in networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1.2e-3, betas=(0.9, 0.98))
    batch = {name: each.to(device) for name, each in batch.items()}
    planes = batch["input"].contiguous(memory_format=torch.channels_last)
    truths = batch["form_factor"], batch["short_range_order"]

    def step() -> None:
        outputs = [network(select_inputs(network, planes)) for network in networks]
        losses = [reconstruction_loss(output, truth) for output, truth in zip(outputs, truths, strict=True)]
        loss = losses[0] + losses[1] + 0.1 * joint_product_loss(*outputs, *truths)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    with waiting_for(device):
        step()
    start = time.perf_counter()
    with waiting_for(device):
        for _ in range(steps):
            step()
    return steps * len(planes) / (time.perf_counter() - start)


def packed_bytes(source: SampleSource) -> int:
    """Return the size of a sample as it is sent to the device [bytes]."""
    return sum(each.nbytes for each in PackedPlanes(PlaneDataset(source, augment=False))[0].values())


@contextmanager
def waiting_for(device: str) -> Iterator[None]:
    """Run a block and wait until a GPU has finished its work."""
    yield
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure(folder: Path, recipe: Path, batches: int, steps: int) -> list[str]:
    """Measure and return the lines of the tables, in Markdown."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    store = open_store(folder / "train.zarr")
    numbers = np.random.default_rng(0).permutation(len(store))[:200].tolist()
    parts = stages(store, store.array("form_factor"), numbers)
    start = time.perf_counter()
    live = SimulatedPlanes(str(recipe), sets_folder=str(folder), progress=False)
    live.population()
    sets = time.perf_counter() - start
    drawn = milliseconds(live.sample, [len(store) + number for number in numbers])
    opens = opens_per_sample(folder / "train.zarr", len(store))
    rows = []
    for name, source, counts in (("shards", store, (0, 1, 2)), ("live", live, (0, 1, 2))):
        for workers in counts:
            module = PlaneDataModule(
                str(folder), LOADER_BATCH, workers=workers, augment=True, source=source, validation_samples=8
            )
            speed, spent, first = loader_speed(module, batches)
            cost = f"{spent:.2f}" if workers and spent == spent else ""
            rows.append(f"| {name} | {workers} | {speed:.0f} | {cost} | {first:.1f} |")
    module = PlaneDataModule(str(folder), BATCH_SIZE, workers=0, validation_samples=BATCH_SIZE)  # in float32
    module.setup("validate")
    trained = training_speed(next(iter(module.val_dataloader())), device, steps)
    machine = describe_machine(device)
    return [
        "# Speed of the loader, compared with training",
        "",
        f"On {machine}, wall time, load {os.getloadavg()[0]:.1f}; batches of {LOADER_BATCH} planes of 256 x 256.",
        "`python -m benchmarks.loader` makes these tables again.",
        f"Planes follow {recipe.name}; the store has {len(store)} of them in shards of {store.block}.",
        "",
        "| source | workers | samples per second | workers, ms of processor per sample | seconds to first batch |",
        "|---|---|---|---|---|",
        *rows,
        f"| **training step of configs/release.yaml, {device}** | | **{trained:.1f}** | | |",
        "",
        "With zero workers the training process itself loads the samples and cannot train meanwhile. Speeds depend on",
        "what else the machine does, processor time hardly: at 1 ms a worker makes 1,000 samples per second.",
        "",
        "| stage, in one process | processor time, ms per sample |",
        "|---|---|",
        *(f"| {name} | {value:.2f} |" for name, value in parts.items()),
        f"| simulating a sample instead | {drawn:.2f} |",
        "",
        "An epoch of this store in one process opens a file of it"
        f" {'an unknown number of' if opens is None else f'{opens:.3f}'} times a sample (strace).",
        f"A sample as stored has {packed_bytes(store) / 1e6:.2f} MB, in float32 1.31 MB.",
        "",
        f"Live planes first need the Monte Carlo sets: {sets:.1f} s here, read from `sets_folder`.",
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write and print the tables."""
    parser = Parser(prog="python -m benchmarks.loader", description=__doc__)
    parser.add_argument(
        "--folder", type=str, default="data/release", help="folder with train.zarr and validation.zarr"
    )
    parser.add_argument(
        "--recipe", type=str, default="configs/simulate/release.yaml", help="recipe of the live planes"
    )
    parser.add_argument("--batches", type=PositiveInt, default=20, help="number of timed batches per loader")
    parser.add_argument("--steps", type=PositiveInt, default=10, help="number of timed training steps")
    parser.add_argument("--out", type=str, default=str(OUT), help="Markdown file to write")
    options = parser.parse_args(args)
    lines = measure(Path(options.folder), Path(options.recipe), options.batches, options.steps)
    with replacing(Path(options.out)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
