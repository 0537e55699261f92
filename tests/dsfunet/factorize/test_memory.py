"""Memory: a plane of a volume larger than any, and a batch of many planes, take what one plane takes."""

import gc
import resource
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dsfunet.factorize import batch
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.jobs import Job, plan_jobs
from dsfunet.factorize.pipeline import Factorization, factorize_plane
from dsfunet.factorize.settings import FactorizeRequest, FactorizeSettings
from dsfunet.factorize.summary import Outcome
from dsfunet.inspection.describe import inspect
from dsfunet.io import MeasuredPlane, read_plane
from dsfunet.io.plane_lists import parse_plane_selection
from tests.dsfunet.batches import save_tiny_weights, write_volume

pytestmark = pytest.mark.slow

SIDE = 2000
PLANE_MB = 8 * SIDE**2 / 1e6  # of float64: 32 MB


def sparse(path: Path) -> Path:
    """32 GB of float32 in chunks, of which those about 0 0 0 were written, and the others take no room."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (SIDE,) * 3, "f4", chunks=(100, 100, 100), fillvalue=np.nan)
        data[900:1100, 900:1100, 900:1100] = 1.0
        file["format"], file["is_direct"] = "Yell 1.0", False
        file["lower_limits"], file["step_sizes"] = [-10.0] * 3, [0.01] * 3
        file["unit_cell"] = [6.0, 7.0, 8.0, 90.0, 100.0, 90.0]
    return path


def peaks_mb(work: Callable[[], object]) -> tuple[float, float]:
    """The most that Python and numpy held at a time, and the growth of the process beyond its largest so far [MB]."""
    gc.collect()
    unit = 1e6 if sys.platform == "darwin" else 1e3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    tracemalloc.start()
    try:
        work()
        traced = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    return traced, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit - before


HK0_AND_HHL = ["hk0", "hhl"]


@pytest.mark.parametrize("name", HK0_AND_HHL)
def test_a_plane_of_32_gigabytes_is_read_in_little_memory(tmp_path: Path, name: str) -> None:
    path = sparse(tmp_path / "v.h5")
    assert path.stat().st_size < 40e6

    def read() -> None:
        measured = read_plane(path, name)
        assert measured.intensity.shape == (SIDE, SIDE)
        assert np.isfinite(measured.intensity).sum() == 200**2 and measured.intensity[1000, 1000] == 1

    traced, grown = peaks_mb(read)
    # hk0: as read and as kept. hhl: a box of 8 million voxels, and the eight neighbours of a strip of pixels.
    most = 4 * PLANE_MB if name == "hk0" else 10 * PLANE_MB
    assert traced < most and grown < most + 100


@pytest.mark.parametrize("name", HK0_AND_HHL)
def test_it_is_described_in_little_memory_too(tmp_path: Path, name: str) -> None:
    path = sparse(tmp_path / "v.h5")
    found = []
    traced, grown = peaks_mb(lambda: found.append(inspect(path, name)))
    lines = dict(found[0].lines)
    assert "2000 x 2000 x 2000 voxels" in lines["volume"] and "99.0 % of the pixels" in lines["missing"]
    # Q of every pixel is three numbers.
    assert traced < 12 * PLANE_MB and grown < 12 * PLANE_MB + 100


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs the size of the process as Linux tells it"
)
def test_a_batch_keeps_no_planes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 planes a batch holds none of them, and the process is as large as after the first few."""
    paths = [tmp_path / f"{number}.h5" for number in range(15)]
    for path in paths:
        write_volume(path)
    request = FactorizeRequest(
        planes=parse_plane_selection("hk0,hk1"), settings=FactorizeSettings(lattice=False, passes=0)
    )
    jobs = plan_jobs(paths, tmp_path / "out", request)
    batch.make_folder(tmp_path / "out")
    factorizer = Factorizer.from_checkpoint(save_tiny_weights(tmp_path / "weights"), "cpu")
    alive: list[weakref.ref[object]] = []
    sizes: list[float] = []

    def watched(measured: MeasuredPlane, *others: Any) -> Factorization:
        found = factorize_plane(measured, *others)
        alive.extend(map(weakref.ref, (measured, found, found.result)))
        return found

    def record(_job: Job, outcome: Outcome) -> None:
        assert outcome.status == "done"
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * resource.getpagesize() / 1e6)

    monkeypatch.setattr(batch, "factorize_plane", watched)
    batch.run_jobs(jobs, batch.PlaneWorker(factorizer, request), 1, record)
    assert len(sizes) == 30 and len(alive) == 90
    assert not [each for each in alive if each() is not None]
    # A plane as the networks see it, and what is made of it, is some 5 MB: 24 of them would be 120 MB.
    assert max(sizes[6:]) - max(sizes[:6]) < 30


def test_a_result_does_not_keep_the_networks_intermediates(tmp_path: Path) -> None:
    """What a separation holds is its result and little else."""
    write_volume(tmp_path / "v.h5")
    factorizer = Factorizer.from_checkpoint(save_tiny_weights(tmp_path / "weights"), "cpu")
    measured = read_plane(tmp_path / "v.h5", "hk1")
    tracemalloc.start()
    try:
        for _ in range(8):
            factorize_plane(measured, factorizer=factorizer)  # caches fill, and stay as large
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        kept = [factorize_plane(measured, factorizer=factorizer) for _ in range(3)]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    size = sum(plane.nbytes for each in kept for plane in each.result.planes().values())
    assert held < 2 * size + 2e5
