"""`python -m benchmarks.inference`: time how fast planes are factorised.

It times one plane with loaded weights, the planes of a volume through `dsfunet factorize`, and the networks alone by
batch size, compared with the paper's generators (random weights, same precision). Writes benchmarks/inference.md and
prints it.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dsfunet.command_parser import Parser
from dsfunet.environment import describe_code, describe_machine
from dsfunet.errors import InputError
from dsfunet.factorize.batch import available_cores
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.pipeline import factorize_plane
from dsfunet.factorize.settings import FactorizeSettings
from dsfunet.files import replacing
from dsfunet.io import MeasuredPlane, read_plane, write_result
from dsfunet.networks import Pix2PixGenerator
from dsfunet.planes.preprocessing import PIXELS
from dsfunet.planes.resampling import to_network_grid, to_user_grid

OUT = Path(__file__).parent / "inference.md"
EXAMPLE = Path(__file__).parents[1] / "examples" / "cresol_benzene.h5"
_COMMAND = "from dsfunet.cli.main import run; run()"


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        device: cpu, or cuda to run the networks and the command on a GPU.
        size: number of voxels along each axis of the volume.
        planes: number of layers to factorise.
        rounds: number of repeats of each timing of one plane.
        batches: batch sizes for the networks alone.
        out: Markdown file to write.
    """

    device: str = "cpu"
    size: int = 256
    planes: int = 256
    rounds: int = 7
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    out: str = str(OUT)


@dataclass(frozen=True)
class Timing:
    """Minimum and median wall time, and mean processor time of all threads [s]."""

    least: float
    median: float
    processor: float

    @classmethod
    def of(cls, work: Callable[[], Any], rounds: int, device: str = "cpu") -> "Timing":
        """Run the work once to warm up, then time it `rounds` times."""
        work()
        walls, before = [], time.process_time()
        for _ in range(rounds):
            start = time.perf_counter()
            work()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            walls.append(time.perf_counter() - start)
        return cls(min(walls), median(walls), (time.process_time() - before) / rounds)

    def row(self, name: str, unit: float = 1e3) -> str:
        """Format a table row [ms]."""
        return (
            f"| {name} | {unit * self.least:.0f} | {unit * self.median:.0f} | {unit * self.processor:.0f} |"
        )


def one_plane(settings: Settings, factorizer: Factorizer) -> list[str]:
    """Time the steps of factorising the example's hk1, 257 x 257 pixels on an oblique grid."""
    measured = read_plane(EXAMPLE, "hk1")
    without_axes = MeasuredPlane(to_network_grid(measured)[0])
    found = factorize_plane(measured, factorizer=factorizer)
    assert found.lattice.startswith("used")
    shown, plane = to_network_grid(measured)
    answer = found.result.form_factor[:PIXELS, :PIXELS].copy()
    works: dict[str, Callable[[], Any]] = {
        "**networks alone** (`--lattice false`)": lambda: factorize_plane(
            measured, FactorizeSettings(lattice=False), factorizer
        ),
        "**lattice mode**, with known cell and axes": lambda: factorize_plane(
            measured, factorizer=factorizer
        ),
        "**lattice search**, 256 x 256 pixels without axes": lambda: factorize_plane(
            without_axes, factorizer=factorizer
        ),
        "read the plane": lambda: read_plane(EXAMPLE, "hk1"),
        "resample it to the networks' grid": lambda: to_network_grid(measured),
        "run both networks once": lambda: factorizer(shown),
        "resample one plane back (4 of them in lattice mode)": lambda: to_user_grid(
            answer, plane, measured.grid
        ),
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "result.nxs"
        works["write the result"] = lambda: write_result(path, found.result)
        with threadpool_limits(1, user_api="blas"):  # as in the command
            timings = {
                name: Timing.of(work, settings.rounds, settings.device) for name, work in works.items()
            }
        size = path.stat().st_size
    slowest = max(list(timings.values())[:3], key=lambda each: each.least)
    return [
        "## One plane after loading",
        "",
        f"Plane hk1 of the example (257 x 257 pixels, oblique, 32 % missing; the result has {size / 1e6:.1f} MB), on"
        f" {torch.get_num_threads()} threads. The first three rows include both resamplings and the product.",
        "",
        "| | minimum [ms] | median [ms] | processor time [ms] |",
        "|---|---|---|---|",
        *(timing.row(name) for name, timing in timings.items()),
        "",
        f"Target: under 300 ms on two cores. The slowest of the three modes has a minimum of {1e3 * slowest.least:.0f}"
        f" ms and a median of {1e3 * slowest.median:.0f} ms.",
    ]


def write_volume(path: Path, size: int) -> None:
    """Write a hexagonal volume, smooth times periodic, with counting noise and a tenth of its voxels missing."""
    rng = np.random.default_rng(0)
    h = np.linspace(-8, 8, size, endpoint=False)
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file["lower_limits"] = np.full(3, h[0])
        file["step_sizes"] = np.full(3, h[1] - h[0])
        file["unit_cell"] = np.array([8.4, 8.4, 8.4, 90.0, 90.0, 120.0])
        file["is_direct"] = False
        data = file.create_dataset("data", (size, size, size), np.float32)
        for number, each in enumerate(h):
            k, l = np.meshgrid(h, h, indexing="ij")  # noqa: E741
            smooth = np.exp(-(each**2 + k**2 + l**2) / 40) * (
                1 + 0.5 * np.cos(0.9 * each + 0.6 * k + 0.4 * l)
            )
            order = 1 + 0.3 * (
                np.cos(2 * np.pi * each) + np.cos(2 * np.pi * k) + np.cos(2 * np.pi * (each + k))
            )
            counts = rng.poisson(300 * smooth * np.maximum(order, 0)).astype(np.float32)
            counts[(rng.random((size // 8, size // 8)) < 0.1).repeat(8, 0).repeat(8, 1)] = np.nan
            data[number] = counts


def whole_volume(settings: Settings) -> list[str]:
    """Time the layers of a volume through the command as a user runs it, including the start of Python."""
    step = 16 / settings.size
    layers = ((np.arange(settings.planes) - settings.planes // 2) * step).tolist()
    rows, spent = [], []
    with TemporaryDirectory() as folder:
        volume = Path(folder) / "volume.h5"
        write_volume(volume, settings.size)
        megabytes = volume.stat().st_size / 1e6
        # Let Python keep its byte code, as in every start but the first, in a folder that is removed afterwards.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        warm_up = ["factorize", str(volume), "--out", str(Path(folder) / "warm"), "--planes", "hk0"]
        subprocess.run(
            [sys.executable, "-c", _COMMAND, *warm_up, "--device", settings.device],
            capture_output=True,
            env=environment,
            check=False,
        )
        for name, options, share in (
            ("**default**, one worker per core", [], 1),
            ("one worker, a quarter of the layers", ["--workers", "1"], 4),
            ("repeated: all results exist already", [], 1),
        ):
            out = Path(folder) / ("out" if not options else "one")
            chosen = layers[::share]
            words = ["factorize", str(volume), "--out", str(out), "--device", settings.device, *options]
            words += ["--planes", ", ".join(f"h k {layer:g}" for layer in chosen)]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", _COMMAND, *words],
                capture_output=True,
                text=True,
                env=environment,
                check=False,
            )
            wall = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode:
                raise InputError(
                    f"dsfunet factorize: ended with status {done.returncode}; {done.stderr[-500:]}"
                )
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            spent.append(processor)
            rows.append(
                f"| {name} | {wall:.1f} | {len(chosen) / wall:.1f} | {processor:.1f}"
                f" | {processor / available_cores():.1f} |"
            )
    each = (spent[0] - spent[-1]) / settings.planes  # the last run does everything but the planes
    whole = spent[-1] + 256 * each
    return [
        f"## {settings.planes} layers of a volume through `dsfunet factorize`",
        "",
        f"{settings.size}^3 voxels, hexagonal, float32 ({megabytes:.0f} MB), counting noise, a tenth missing. Every"
        " layer is factorised in lattice mode, resampled in both directions and written as NeXus. The times include"
        " starting Python, loading weights, reading, writing and the summary.",
        "",
        "| | wall time [s] | planes per second | processor time [s] | processor time / cores [s] |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Target: 256 planes in under 60 s on two cores. The last column is the time that an otherwise idle machine"
        f" would need. A plane takes {each:.2f} s of processor time and the start {spent[-1]:.1f} s, so 256 planes take"
        f" {whole:.0f} s, or {whole / available_cores():.0f} s on {available_cores()} otherwise idle cores.",
    ]


def operations(networks: Sequence[nn.Module], plane: torch.Tensor) -> float:
    """Count the operations of convolutions and matrix products for one plane through each network [FLOP]."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        for network in networks:
            _pass(network, plane)
    return float(counter.get_total_flops())


def _pass(network: nn.Module, planes: torch.Tensor) -> torch.Tensor:
    channels = int(network.in_channels)  # type: ignore[arg-type]
    answer: torch.Tensor = network(planes[:, :channels])
    return answer


def ceiling(device: str) -> float:
    """Measure the speed of a large matrix product in float32 [FLOP/s]."""
    one, other = (torch.rand(2048, 2048, device=device) for _ in range(2))
    timing = Timing.of(lambda: one @ other, 5, device)
    return 2 * 2048**3 / timing.least


def networks_alone(settings: Settings, factorizer: Factorizer) -> list[str]:
    """Time both networks by batch size, and the paper's networks for comparison."""
    torch.manual_seed(0)
    device = settings.device
    ours = [factorizer.generators.form_factor, factorizer.generators.short_range_order]
    papers: list[nn.Module] = [Pix2PixGenerator().to(device).eval() for _ in range(2)]
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    best = ceiling(device)
    rows = []
    for name, networks in (("release", ours), ("paper's, random weights", papers)):
        parameters = sum(each.numel() for network in networks for each in network.parameters())
        plane = torch.rand(1, 3, PIXELS, PIXELS, device=device) * 2 - 1
        work = operations(networks, plane)
        for batch in settings.batches:
            planes = plane.expand(batch, -1, -1, -1)
            if networks is ours:
                planes = planes.contiguous(memory_format=torch.channels_last)

            def run(networks: Sequence[nn.Module] = networks, planes: torch.Tensor = planes) -> None:
                with torch.inference_mode():
                    for network in networks:
                        _pass(network, planes)

            timing = Timing.of(run, max(settings.rounds // 2, 2), device)
            speed = batch * work / timing.least
            rows.append(
                f"| {name} | {parameters / 1e6:.1f} | {work / 1e9:.1f} | {batch} | {batch / timing.least:.1f}"
                f" | {1e3 * timing.processor / batch:.0f} | {speed / 1e9:.0f} | {100 * speed / best:.0f} % |"
            )
    weights = sum(4e-6 * each.numel() for network in ours for each in network.parameters())
    floor = operations(ours, plane) + operations(ours[:1], plane)
    return [
        "## The networks alone, compared with the paper's",
        "",
        f"Both generators, float32 (TF32 off), {PIXELS} x {PIXELS} pixels, planes in memory on {device}. The ceiling is"
        f" a product of two 2048 x 2048 matrices, {best / 1e9:.0f} GFLOP/s.",
        "",
        "| networks | M parameters | GFLOP per plane | batch | planes per second | processor time [ms per plane]"
        " | GFLOP/s | of the ceiling |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "A plane in lattice mode, where the form-factor network runs twice, needs at least"
        f" {floor / 1e9:.1f} GFLOP, or {1e3 * floor / best:.0f} ms at the ceiling. Its memory traffic (0.3 MB read,"
        f" 1.2 MB written, {weights:.0f} MB of weights) takes a millisecond or two.",
    ]


def main(args: Sequence[str] | None = None) -> int:
    """Measure, and write and print the tables."""
    parser = Parser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_class_arguments(Settings)
    settings = Settings(**parser.parse_args(args).as_dict())
    factorizer = Factorizer.from_pretrained(settings.device)
    lines = [
        "# How long it takes to factorise a plane",
        "",
        f"On {describe_machine(settings.device)}, torch {torch.__version__}, dsfunet {describe_code()}, load"
        f" {os.getloadavg()[0]:.1f} at the start. If the load exceeds the number of cores, other programs lengthen the"
        " wall times, and processor times are more reliable.",
        "`python -m benchmarks.inference` makes these tables again; use `--device cuda` on a GPU, where none of this"
        " has been run yet.",
        "",
    ]
    for part in (
        one_plane(settings, factorizer),
        networks_alone(settings, factorizer),
        whole_volume(settings),
    ):
        lines += [*part, ""]
    lines.insert(5, f"Load {os.getloadavg()[0]:.1f} at the end.")
    with replacing(Path(settings.out)) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
