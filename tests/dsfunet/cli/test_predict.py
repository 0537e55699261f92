"""`dsfunet predict` on a store and on files, in one process and in two."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dsfunet import Factorizer
from dsfunet.cli.main import main
from dsfunet.data.store import open_store
from dsfunet.networks.weights import load_release

pytestmark = [pytest.mark.filterwarnings("ignore:The .*_dataloader. does not have many workers")]

ROOT = Path(__file__).parents[3]
QUIET = ["--accelerator", "cpu", "--workers", "0", "--progress", "false", "--batch-size", "3"]


def read(folder: Path) -> list[np.ndarray]:
    return [np.load(folder / f"{name}.npy") for name in ("form_factor", "short_range_order")]


@pytest.fixture(scope="module")
def split(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predict") / "split"
    assert main(["predict", str(tiny_store / "validation.zarr"), "--out", str(out), *QUIET]) == 0
    return out


def test_planes_of_a_store_are_split_as_by_the_factorizer(split: Path, tiny_store: Path) -> None:
    store = open_store(tiny_store / "validation.zarr")
    samples = [store.sample(number) for number in range(len(store))]
    factorize = Factorizer.from_pretrained(device="cpu")
    expected = factorize(
        np.stack([each.scattering for each in samples]), np.stack([each.mask for each in samples])
    )
    for found, ours in zip(read(split), (expected.form_factor, expected.short_range_order), strict=True):
        assert found.shape == (8, 256, 256) and found.dtype == np.float16
        np.testing.assert_allclose(found, ours, atol=2e-3)
    record = json.loads((split / "planes.json").read_text(encoding="utf-8"))
    assert record["weights_sha256"] == load_release().digest
    assert [each["planes"] for each in record["files"]] == [8]


def test_planes_of_files_are_split_in_their_order(split: Path, tiny_store: Path, tmp_path: Path) -> None:
    store = open_store(tiny_store / "validation.zarr")
    planes = []
    for number in range(4):
        sample = store.sample(number)
        planes.append(np.where(sample.mask, 700.0 * sample.scattering, np.nan))
    np.save(tmp_path / "one.npy", planes[0])
    np.save(tmp_path / "three.npy", np.stack(planes[1:]).astype(np.float32))
    files = [str(tmp_path / "one.npy"), str(tmp_path / "three.npy")]
    assert main(["predict", *files, "--out", str(tmp_path / "out"), *QUIET]) == 0
    for found, expected in zip(read(tmp_path / "out"), read(split), strict=True):
        np.testing.assert_allclose(found, expected[:4], atol=2e-3)


@pytest.mark.slow
def test_two_processes_divide_the_planes(split: Path, tiny_store: Path, tmp_path: Path) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    out = tmp_path / "out"
    code = "from dsfunet.cli.main import run; run()"
    command = [sys.executable, "-c", code, "predict", str(tiny_store / "validation.zarr"), "--out", str(out)]
    processes = []
    for rank in range(2):
        ours = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
        ours |= {"LOCAL_RANK": str(rank), "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
        environment = {**os.environ, **ours, "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
        processes.append(subprocess.Popen([*command, *QUIET, "--devices", "2"], cwd=ROOT, env=environment))
    try:
        assert [each.wait(timeout=240) for each in processes] == [0, 0]
    finally:
        for each in processes:
            each.kill()
    for found, expected in zip(read(out), read(split), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_wrong_planes_are_one_sentence_and_leave_nothing(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "small.npy", np.ones((64, 64)))
    flat = np.random.default_rng(0).random((2, 256, 256))
    flat[1] = 1.0
    np.save(tmp_path / "flat.npy", flat)
    (tmp_path / "text.npy").write_text("planes")
    out = ["--out", str(tmp_path / "out"), *QUIET]
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for arguments, sentence in (
        (
            [str(tmp_path / "small.npy"), *out],
            "small.npy: an array of (64, 64) and type float64; expected planes",
        ),
        ([str(tmp_path / "text.npy"), *out], "text.npy: not a .npy file that can be read"),
        ([str(tmp_path / "no.zarr"), *out], "no.zarr: no such store"),
        (
            [str(tmp_path / "flat.npy"), *out],
            "flat.npy: plane number 1: the plane is 1.0 in every measured pixel",
        ),
        (
            [str(tmp_path / "flat.npy"), "--out", str(split), *QUIET],
            "exists already; give the name of a new folder",
        ),
        ([str(tmp_path / "flat.npy"), *out, "--accelerator", "gpu"], "--accelerator gpu: torch finds no GPU"),
    ):
        assert main(["predict", *arguments]) == 2
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
