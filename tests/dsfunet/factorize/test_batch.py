"""`dsfunet factorize` of many files: what fails leaves the rest alone, what is there is not made again."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsfunet.cli.main import main
from dsfunet.factorize import batch
from dsfunet.factorize.factorizer import Factorizer
from dsfunet.factorize.jobs import Job
from dsfunet.factorize.shared_factorizer import SharedFactorizer
from dsfunet.factorize.summary import Outcome, Summary
from dsfunet.io import read_result
from dsfunet.plotting.notebook import components_html, result_html
from tests.dsfunet.batches import save_tiny_weights, write_volume


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_weights(tmp_path_factory.mktemp("batch") / "weights")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three volumes, the second of them damaged."""
    paths = [tmp_path / f"{name}.h5" for name in ("first", "second", "third")]
    for number, path in enumerate(paths):
        write_volume(path, number + 1.0)
    paths[1].write_bytes(paths[1].read_bytes()[:2500])
    return paths


def factorize(files: list[Path], out: Path, weights: Path, *options: str) -> int:
    words = [*map(str, files), "--out", str(out), "--weights", str(weights), "--device", "cpu", *options]
    return main(["factorize", *words])


def statuses(out: Path) -> dict[str, str]:
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return {Path(each["output"]).stem: each["status"] for each in content["planes"]}


@pytest.mark.slow
def test_one_damaged_file_of_three(
    files: list[Path], tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert factorize(files, out, weights, "--planes", "hk0,hk1", "--png") == 1
    made = {
        f"{stem}_{plane}.{end}"
        for stem in ("first", "third")
        for plane in ("hk0", "hk1")
        for end in ("nxs", "png")
    }
    assert {path.name for path in out.iterdir()} == made | {"summary.json"}
    said = capsys.readouterr()
    assert "4 done, 2 failed" in said.out
    lines = said.err.splitlines()
    beginning = f"dsfunet: {files[1]}: the HDF5 file cannot be read"
    assert len(lines) == 2 and all(line.startswith(beginning) for line in lines)

    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert content["counts"] == {"done": 4, "skipped": 0, "failed": 2, "waiting": 0}
    assert content["ended"] == "finished" and content["settings"]["planes"] == "hk0,hk1"
    for each in content["planes"]:
        if each["status"] == "failed":
            assert "truncated" in each["error"] and each["r_factor"] is None
            continue
        result = read_result(each["output"])
        assert each["r_factor"] == pytest.approx(float(result.process["r_factor"]), rel=1e-6)
        assert each["missing"] == 0.0 and each["seconds"] > 0 and each["lattice"]
        assert str(result.grid and result.grid.name) == each["plane"]


@pytest.mark.slow
def test_what_is_there_is_skipped_until_something_changes(
    files: list[Path], tmp_path: Path, weights: Path
) -> None:
    good, out = [files[0], files[2]], tmp_path / "out"
    assert factorize(good, out, weights, "--plane", "hk1") == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.nxs")}
    first = json.loads((out / "summary.json").read_text(encoding="utf-8"))["planes"]

    assert factorize(good, out, weights, "--plane", "hk1", "--workers", "1") == 0
    assert set(statuses(out).values()) == {"skipped"}
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.nxs")} == before
    again = json.loads((out / "summary.json").read_text(encoding="utf-8"))["planes"]
    for one, other in zip(first, again, strict=True):  # what is known of a plane is told anyway
        known = "r_factor", "missing", "lattice", "verdict"
        assert {name: one[name] for name in known} == {name: other[name] for name in known}

    for redone, change in (
        ({"first_hk1": "done", "third_hk1": "skipped"}, lambda: os.utime(files[0], ns=(1, 1))),
        ({"first_hk1": "skipped", "third_hk1": "done"}, lambda: write_volume(files[2], 9.0)),
        ({"first_hk1": "done", "third_hk1": "skipped"}, (out / "first_hk1.nxs").unlink),
        (
            {"first_hk1": "done", "third_hk1": "skipped"},
            lambda: (out / "first_hk1.nxs").write_text("no result"),
        ),
    ):
        change()
        assert factorize(good, out, weights, "--plane", "hk1") == 0
        assert statuses(out) == redone
    for options in (["--lattice", "false"], ["--redo", "--lattice", "false"]):
        assert factorize(good, out, weights, "--plane", "hk1", *options) == 0
        assert set(statuses(out).values()) == {"done"}


@pytest.mark.slow
def test_other_weights_make_results_anew(files: list[Path], tmp_path: Path, weights: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    torch.manual_seed(0)
    assert factorize(files[:1], out, weights, "--plane", "hk1") == 0
    save_tiny_weights(other)
    names = ("form_factor", "short_range_order")
    files_of = [other / f"{name}.safetensors" for name in names]
    first, second = (path.read_bytes() for path in files_of)
    files_of[0].write_bytes(second)
    files_of[1].write_bytes(first)
    assert factorize(files[:1], out, other, "--plane", "hk1") == 0
    assert statuses(out) == {"first_hk1": "done"}


@pytest.mark.parametrize(
    ("bad", "code"),
    [(["second"], 2), (["second", "third"], 1), (["third"], 0)],
)
def test_exit_codes(files: list[Path], tmp_path: Path, weights: Path, bad: list[str], code: int) -> None:
    chosen = [file for file in files if file.stem in bad]
    assert factorize(chosen, tmp_path / "out", weights, "--plane", "hk1", "--lattice", "false") == code


def test_a_summary_elsewhere(files: list[Path], tmp_path: Path, weights: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "told.json"
    assert factorize(files[:1], out, weights, "--plane", "hk1", "--summary", str(path)) == 0
    assert json.loads(path.read_text(encoding="utf-8"))["counts"]["done"] == 1
    assert [each.name for each in out.iterdir()] == ["first_hk1.nxs"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "first.h5"], "this is a file; expected a folder"),
        (["-o", "x.nxs"], "use --out FOLDER instead"),
        (["--out", "out", "--planes", "hk0,no"], "no"),
        (["--out", "out", "--weights", "nowhere"], "nowhere"),
    ],
)
def test_batches_that_cannot_begin(
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["factorize", "first.h5", "third.h5", *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said
    assert not list(tmp_path.rglob("*.nxs"))


def test_either_a_file_or_a_folder_for_results(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["-o", "x.nxs", "--out", "y"], ["-o", "x.nxs", "--summary", "s.json"]):
        assert main(["factorize", "first.h5", *options]) == 2
        assert "--out FOLDER" in capsys.readouterr().err


def make_jobs(folder: Path, count: int) -> list[Job]:
    return [Job(folder / f"{number}.h5", None, folder / f"{number}.nxs") for number in range(count)]


def stops_at(number: int, error: BaseException) -> Callable[[Job], Outcome]:
    def work(job: Job) -> Outcome:
        if job.file.stem == str(number):
            raise error
        return Outcome("done", 0.1, 0.0, "used", 0.2)

    return work


def test_a_batch_that_dies_leaves_a_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    jobs = make_jobs(tmp_path, 6)
    summary = Summary(jobs, path, {})
    with pytest.raises(RuntimeError, match="out of luck"):
        batch.run_batch(jobs, stops_at(3, RuntimeError("out of luck")), 1, summary)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["ended"] == "stopped by an error"
    assert [each["status"] for each in content["planes"]] == ["done"] * 3 + ["waiting"] * 3
    assert summary.exit_code == 1


def test_a_summary_is_there_while_the_batch_goes_on(tmp_path: Path) -> None:
    """What a process killed outright leaves behind: written at the first plane, whole."""
    path = tmp_path / "summary.json"
    jobs = make_jobs(tmp_path, 3)
    seen: list[dict[str, Any]] = []

    def work(job: Job) -> Outcome:
        if path.exists():
            seen.append(json.loads(path.read_text(encoding="utf-8")))
        return Outcome("done")

    batch.run_batch(jobs, work, 1, Summary(jobs, path, {}))
    assert seen[-1]["ended"] is None and seen[-1]["counts"]["done"] >= 1


def test_ctrl_c_keeps_what_is_done(
    files: list[Path], tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt comes while the first outcome is recorded; the plane that was begun by then is finished."""
    out = tmp_path / "out"
    monkeypatch.setattr(batch.tqdm, "update", interrupt_once())
    code = factorize([files[0], files[2]], out, weights, "--planes", "hk0,hk1", "--workers", "1")
    assert code == 130
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert content["ended"] == "interrupted"
    assert content["counts"] == {"done": 1, "skipped": 0, "failed": 0, "waiting": 3}
    assert [path.name for path in out.glob("*.nxs")] == ["first_hk0.nxs"]


def interrupt_once() -> Callable[..., None]:
    told: list[bool] = []

    def update(_bar: object, _count: int = 1) -> None:
        if not told:
            told.append(True)
            raise KeyboardInterrupt

    return update


def test_threads_share_the_networks_in_batches(weights: Path) -> None:
    """Eight threads at once: the same answers as one by one, and fewer batches than planes."""
    alone = Factorizer.from_checkpoint(weights, "cpu")
    shared = SharedFactorizer(alone, batch_size=4)
    rng = np.random.default_rng(0)
    planes = rng.random((8, 256, 256))
    answers: dict[int, np.ndarray] = {}
    with shared._network_lock:  # all of them wait before the first gets through
        threads = [
            threading.Thread(target=lambda n=n: answers.update({n: shared(planes[n]).form_factor}))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        while len(shared._waiting) < 8:
            threading.Event().wait(0.01)
    for thread in threads:
        thread.join()
    assert sum(shared.batches) == 8 and shared.batches[0] == 4 and max(shared.batches) == 4
    for number, plane in enumerate(planes):
        np.testing.assert_allclose(answers[number], alone(plane).form_factor, rtol=0, atol=1e-5)


def test_what_goes_wrong_in_a_shared_batch_reaches_every_thread(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedFactorizer(Factorizer.from_checkpoint(weights, "cpu"), batch_size=4)

    def fails(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Factorizer, "_infer", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        shared(np.random.default_rng(0).random((256, 256)))
    assert not shared._waiting


@pytest.mark.slow
def test_a_result_as_html(files: list[Path], tmp_path: Path, weights: Path) -> None:
    out = tmp_path / "out"
    assert factorize(files[:1], out, weights, "--plane", "hk1") == 0
    result = read_result(out / "first_hk1.nxs")
    page = result_html(result)
    assert page.count("data:image/png;base64,iVBORw0KGgo") == 1  # how every PNG begins
    assert f"{100 * float(result.process['r_factor']):.1f} %" in page
    assert (
        "plane hk1" in page
        and str(result.process["weights_sha256"])[:12] in page
        and "0.0 % of the pixels" in page
    )


@pytest.mark.slow
def test_components_as_html(weights: Path) -> None:
    factorizer = Factorizer.from_checkpoint(weights, "cpu")
    planes = np.random.default_rng(0).random((2, 256, 256))
    planes[:, :64] = np.nan
    page = components_html(factorizer(planes))
    assert page.count("data:image/png;base64,iVBORw0KGgo") == 1
    assert "2; the first is drawn" in page and "25.0 % of the pixels" in page and "lattice" not in page
    assert "lattice" in components_html(factorizer(planes[0], lattice="find"))


def test_dashes_are_understood(files: list[Path], tmp_path: Path, weights: Path) -> None:
    assert factorize(files[:1], tmp_path / "out", weights, "--plane", "hk1", "--batch-size", "2") == 0
    content = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert content["settings"]["batch_size"] == 2


def test_layers_are_those_of_each_file(files: list[Path], tmp_path: Path, weights: Path) -> None:
    """A file that does not say which layers it has is one failure; the others give theirs."""
    out = tmp_path / "out"
    assert (
        factorize(files[:2], out, weights, "--planes", "hk:all; [1 1 0] [0 0 1]", "--lattice", "false") == 1
    )
    found = statuses(out)
    assert found.pop("second_hk_all_1_1_0_0_0_1") == "failed"
    assert {name: status for name, status in found.items() if "_hk" in name} == {
        "first_hk0": "done",
        "first_hk1": "done",
    }
    assert len(found) == 3


def test_values_that_begin_with_a_minus(tmp_path: Path, weights: Path) -> None:
    write_volume(tmp_path / "volume.h5")
    options = ("--plane", "-1kl", "--mask-value", "-1,65535", "--laue", "-1", "--redo")
    assert factorize([tmp_path / "volume.h5"], tmp_path / "out", weights, *options) == 2
    [plane] = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["planes"]
    assert plane["plane"] == "-1kl" and "66 pixels" in plane["error"]
