"""`python -m benchmarks.volume_sizes`: time and memory of `dsfunet factorize --volume` on volumes of growing size.

The F alloy of `tests.virtual_crystals` is measured on cubes of voxels with 20 in a reciprocal unit and written in
Yell's layout. Each cube is factorised by a process of its own with its centring stated, from the file to the result.
The floor beside it is what any program must do: read the intensities once and write eight arrays of the same size. It
is timed as a plain copy of these arrays to the same disk, without compression. Writes benchmarks/volume_sizes.md and
prints it.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np

from benchmarks.pages import write_page
from dsfunet.command_parser import Parser, run_script
from dsfunet.environment import describe_machine
from dsfunet.errors import InputError
from dsfunet.factorize.volume import VolumeSettings, factorize_volume
from tests.virtual_volumes import measure_volume

OUT = Path(__file__).parent / "volume_sizes.md"
_CRYSTAL, _STEP, _COUNTS = "F alloy", 1 / 20, 500.0
_ARRAYS = 8  # form factor, order, their uncertainties, product, residual, input, mask


@dataclass(frozen=True)
class Row:
    """What one volume took.

    Attributes:
        count: voxels along each axis.
        seconds: wall time.
        memory: largest resident memory of the process [bytes].
        floor: time of reading and writing alone [s].
        chi_squared: of the fit.
    """

    count: int
    seconds: float
    memory: float
    floor: float
    chi_squared: float


def write_cube(path: Path, count: int) -> None:
    """Measure a cube of the crystal and write it in Yell's layout."""
    reach = _STEP * (count // 2)
    volume = measure_volume(_CRYSTAL, 0, (reach,) * 3, (_STEP,) * 3, _COUNTS)
    a, b, c, beta = volume.correlations.crystal.cell
    with h5py.File(path, "w") as file:
        file["format"] = "Yell 1.0"
        file.create_dataset("data", data=volume.counts.astype(np.float32), chunks=(16, 64, 64))
        file["lower_limits"] = [axis[0] for axis in volume.axes]
        file["step_sizes"] = np.full(3, _STEP)
        file["unit_cell"] = [a, b, c, 90.0, beta, 90.0]
        file["is_direct"] = 0


def _factorize(path: Path, output: Path) -> tuple[float, float, float]:
    start = time.perf_counter()
    found = factorize_volume(path, output, VolumeSettings(centring="F"))
    seconds = time.perf_counter() - start
    return seconds, 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, found.fit.chi_squared


def _copy(path: Path, output: Path) -> float:
    start = time.perf_counter()
    with h5py.File(path) as file, h5py.File(output, "w") as copy:
        data = file["data"]
        arrays = [copy.create_dataset(f"{number}", data.shape, data.dtype) for number in range(_ARRAYS)]
        for first in range(0, len(data), 16):
            block = data[first : first + 16]
            for each in arrays:
                each[first : first + 16] = block
    return time.perf_counter() - start


def measure(count: int) -> Row:
    """Factorise one cube in a process of its own."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.h5"
        with context.Pool(1) as pool:
            pool.apply(write_cube, (path, count))
        with context.Pool(1) as pool:
            seconds, memory, chi_squared = pool.apply(_factorize, (path, Path(folder) / "cube.nxs"))
        floor = _copy(path, Path(folder) / "copy.h5")
    return Row(count, seconds, memory, floor, chi_squared)


def page(rows: Sequence[Row]) -> list[str]:
    """Format the page."""
    lines = [
        "# Size of volumes",
        "",
        "Written by `python -m benchmarks.volume_sizes`, whose text says what was measured.",
        "",
        f"Machine: {describe_machine('cpu')}.",
        "",
        "| voxels | time [s] | most memory [GB] | reading and writing alone [s] | chi-squared |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.count} x {row.count} x {row.count} | {row.seconds:.0f} | {row.memory / 1e9:.2f} |"
            f" {row.floor:.1f} | {row.chi_squared:.3f} |"
        )
    return lines


def main(args: Sequence[str] | None = None) -> int:
    """Factorise the cubes, and write and print the page."""
    parser = Parser(prog="python -m benchmarks.volume_sizes", description=__doc__)
    parser.add_argument("--counts", type=list[int], default=[129, 257, 501], help="voxels along each axis")
    options = parser.parse_args(args)
    if min(options.counts, default=0) < 41:
        raise InputError("--counts: expected 41 or more voxels along each axis")
    rows = []
    for count in options.counts:
        rows.append(measure(count))
        print(f"{count}: {rows[-1].seconds:.0f} s", file=sys.stderr)
    write_page(OUT, page(rows))
    return 0


if __name__ == "__main__":
    run_script(main, "benchmarks.volume_sizes")
