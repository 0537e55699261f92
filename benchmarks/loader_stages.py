"""What `benchmarks.loader` measures: the loader from shards and live, the stages of a sample, and a training step.

A module of its own, because worker processes import the main module again, and Lightning takes long to import.
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

import google_crc32c
import numpy as np
import torch
import yaml
from numcodecs.blosc import Blosc  # type: ignore[import-untyped]
from torch import Tensor
from torch.utils.data import default_collate

from dsfunet.data.datamodule import PlaneDataModule
from dsfunet.data.dataset import PlaneDataset, SampleSource
from dsfunet.data.expansion import BatchMaker, PackedPlanes
from dsfunet.data.loaders import stop_workers
from dsfunet.data.store import Store, open_store
from dsfunet.environment import describe_machine
from dsfunet.networks import SpectralUNet
from dsfunet.networks.inputs import select_inputs
from dsfunet.planes.preprocessing import COMPONENTS, network_input, spread
from dsfunet.planes.turns import rotate_and_flip
from dsfunet.training.losses import joint_product_loss, reconstruction_loss
from simulate.live import SimulatedPlanes

RELEASE = Path(__file__).parents[1] / "configs" / "release.yaml"
BATCH_SIZE = 8  # of the timed training step
LOADER_BATCH = 64
LIVE_PLANES = 128
"""Number of live planes in an epoch."""
CPU = torch.device("cpu")


def milliseconds(work: Callable[[int], Any], numbers: Sequence[int]) -> float:
    """Return the mean processor time of one call [ms], after three calls to warm up."""
    for number in numbers[:3]:
        work(number)
    start = time.process_time()
    for number in numbers:
        work(number)
    return 1e3 * (time.process_time() - start) / len(numbers)


def time_floor(source: Store, number: int) -> dict[str, float]:
    """Time what no reader of these stores can leave out: checking and decoding the bytes of a sample in memory [ms]."""
    stored = source.stored(number)
    arrays = [stored.form_factor, stored.short_range_order, stored.packed_mask, stored.scattering]
    codec = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    pairs = [(codec.encode(each), np.empty_like(each)) for each in arrays if each is not None]

    def decode(_: int) -> None:
        for content, out in pairs:
            google_crc32c.value(content)
            codec.decode(content, out)

    def copy(_: int) -> None:
        for (_, out), values in zip(pairs, (each for each in arrays if each is not None), strict=True):
            np.copyto(out, values)

    size = sum(len(content) for content, _ in pairs) / 1e6
    return {
        f"floor: checksums and LZ4 of its {size:.2f} MB, in memory": milliseconds(decode, range(200)),
        "floor: copying what is decoded": milliseconds(copy, range(200)),
    }


def stages(source: Store, zarr_array: Any, numbers: Sequence[int]) -> dict[str, float]:
    """Time the stages of one sample in this process [ms]."""
    sample = source.sample(numbers[0])
    planes = np.stack([sample.scattering, sample.clean, sample.form_factor, sample.short_range_order])
    dataset = PlaneDataset(source, augment=True)
    packed = PackedPlanes(dataset).__getitem__
    batch, maker = default_collate([packed(number) for number in numbers[:BATCH_SIZE]]), BatchMaker(CPU)
    whole = [numbers[begin : begin + LOADER_BATCH] for begin in range(0, len(numbers), LOADER_BATCH)]
    in_batches = milliseconds(
        lambda number: PackedPlanes(dataset).__getitems__(whole[number]), range(len(whole))
    )
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
        "**training sample as stored**, in batches, which workers send to the device": in_batches
        * len(whole)
        / len(numbers),
        **time_floor(source, numbers[0]),
        "expand a sample on this CPU (on a GPU, on the GPU)": expanded / BATCH_SIZE,
    }


def count_opens(store: Path) -> tuple[int, int] | None:
    """Count how often a process opens a file of the store in its first and in its second epoch; None without strace."""
    if shutil.which("strace") is None:
        return None
    code = (
        "import sys; from dsfunet.data.dataset import PlaneDataset; from dsfunet.data.expansion import PackedPlanes\n"
        "planes = PackedPlanes(PlaneDataset(sys.argv[1], True, harder_masks=0.5))\n"
        "for number in range(2 * len(planes)):\n"
        "    if number == len(planes): open(sys.argv[2], 'w').close()\n"
        "    planes[number]"
    )
    with tempfile.TemporaryDirectory() as folder:
        trace, mark = Path(folder) / "trace", Path(folder) / "second_epoch"
        traced = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", str(trace)]
        subprocess.run([*traced, sys.executable, "-c", code, str(store), str(mark)], check=True)
        lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    place = next(number for number, line in enumerate(lines) if str(mark) in line)
    first, second = (sum(f'"{store}' in line for line in part) for part in (lines[:place], lines[place:]))
    return first, second


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


def loader_speed(module: PlaneDataModule, epochs: int) -> tuple[float, float, float]:
    """Measure the training loader over whole epochs, after a first one.

    Returns:
        Samples per second, processor time of the workers for a sample [ms], and seconds until the first batch.
    """
    # As in a training, where planes of a store are sent as they are stored.
    trainer: Any = SimpleNamespace(world_size=1, global_rank=0, fit_loop=SimpleNamespace(batch_idx=-1))
    module.trainer = trainer
    module.setup("fit")
    loader = module.train_dataloader()
    start = time.perf_counter()
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    for _ in batches:
        pass
    workers, samples = loader._iterator, epochs * len(loader) * LOADER_BATCH
    start, before = time.perf_counter(), worker_seconds(workers)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch + 1)  # type: ignore[attr-defined]
        for _ in loader:
            pass
    spent = 1e3 * (worker_seconds(workers) - before) / samples
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


def measure(folder: Path, recipe: Path, epochs: int, steps: int) -> list[str]:
    """Measure and return the lines of the tables, in Markdown."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = (folder / "train.zarr").resolve()
    store = open_store(path)
    numbers = np.random.default_rng(0).permutation(len(store))[: 4 * LOADER_BATCH].tolist()
    parts = stages(store, store.array("form_factor"), numbers)
    start = time.perf_counter()
    live = SimulatedPlanes(str(recipe), samples=LIVE_PLANES, sets_folder=str(folder), progress=False)
    live.population()
    sets = time.perf_counter() - start
    drawn = milliseconds(live.sample, [len(store) + number for number in numbers[:100]])
    opens = count_opens(path)
    loads, rows = [os.getloadavg()[0]], []
    for name, source, times, counts in (("shards", store, epochs, (0, 1, 2)), ("live", live, 1, (0, 1))):
        for workers in counts:
            module = PlaneDataModule(
                str(folder), LOADER_BATCH, workers=workers, augment=True, source=source, validation_samples=8
            )
            speed, spent, first = loader_speed(module, times)
            stop_workers()
            cost = f"{spent:.2f}" if workers and spent == spent else ""
            rows.append(f"| {name} | {workers} | {speed:.0f} | {cost} | {first:.1f} |")
            loads.append(os.getloadavg()[0])
    module = PlaneDataModule(str(folder), BATCH_SIZE, workers=0, validation_samples=BATCH_SIZE)  # in float32
    module.setup("validate")
    trained = training_speed(next(iter(module.val_dataloader())), device, steps)
    return [
        "# Speed of the loader, compared with training",
        "",
        f"On {describe_machine(device)}; load {min(loads):.1f} to {max(loads):.1f}.",
        "`python -m benchmarks.loader` makes these tables again, in three minutes on two busy cores.",
        f"Planes of 256 x 256 follow {recipe.name}, in batches of {LOADER_BATCH}; the store has {len(store)} of them",
        f"in shards of {store.block}, all in the page cache.",
        "",
        "| source | workers | samples per second | workers, ms of processor per sample | seconds to first batch |",
        "|---|---|---|---|---|",
        *rows,
        f"| **training step of configs/release.yaml, {device}** | | **{trained:.1f}** | | |",
        "",
        "Samples per second are by the wall clock and depend on what else the machine does; processor time hardly",
        "does. At 1 ms of it, a worker process that has a core to itself makes 1,000 samples per second. With zero",
        "workers the training process itself loads the samples and cannot train meanwhile.",
        "",
        "| stage, in one process | processor time, ms per sample |",
        "|---|---|",
        *(f"| {name} | {value:.2f} |" for name, value in parts.items()),
        f"| simulating a sample instead | {drawn:.2f} |",
        "",
        *describe_opens(opens, len(store)),
        f"A sample as stored has {packed_bytes(store) / 1e6:.2f} MB when it is decoded, in float32 1.31 MB.",
        "",
        f"Live planes first need the Monte Carlo sets: {sets:.1f} s here, read from `sets_folder`.",
    ]


def describe_opens(opens: tuple[int, int] | None, samples: int) -> list[str]:
    """Describe how often files of a store of some samples were opened in two epochs."""
    if opens is None:
        return ["strace is not installed here, so how often files are opened was not counted."]
    first, second = opens
    return [
        f"In its first epoch a process opens files of this store {first} times, {first / samples:.3f} times a sample;",
        f"in its second epoch {second} times (strace).",
    ]
