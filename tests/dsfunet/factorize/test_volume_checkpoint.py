"""An interrupted factorisation of a volume goes on from its checkpoint, and ends as if it had not stopped."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsfunet.cli.main import main
from dsfunet.errors import InputError, PassingError, may_pass
from dsfunet.factorize.checkpoint import CentringChoice, Checkpoint
from dsfunet.factorize.signals import exit_on_termination
from dsfunet.factorize.volume import VolumeFactorization, VolumeSettings, factorize_volume
from dsfunet.io.volume_results import read_correlations
from tests.dsfunet.factorize.test_volume import _write_yell
from tests.virtual_volumes import measure_volume

_SETTINGS = VolumeSettings(centring="P")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = measure_volume("P alloy", 1, (1.5, 1.5, 1.5), (1 / 8, 1 / 8, 1 / 8), 2000.0)
    return _write_yell(tmp_path_factory.mktemp("volume") / "alloy.h5", found.counts, lower=-1.5, step=1 / 8)


def _stop_at(stage: str, how: Callable[[], None]) -> Callable[[str, float], None]:
    """Return a progress that stops the fit in the middle of a stage."""

    def progress(found: str, share: float) -> None:
        if found == stage and share > 0.2:
            how()

    return progress


def _interrupt() -> None:
    raise KeyboardInterrupt


def _factorize(volume: Path, output: Path, **options: object) -> VolumeFactorization:
    return factorize_volume(volume, output, _SETTINGS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", ["both factors", "writing"])
def test_an_interrupted_run_ends_as_if_it_had_not_stopped(volume: Path, tmp_path: Path, stage: str) -> None:
    output = tmp_path / "alloy.nxs"
    with pytest.raises(KeyboardInterrupt):
        _factorize(volume, output, progress=_stop_at(stage, _interrupt))
    assert [path.name for path in tmp_path.iterdir()] == ["alloy.nxs.checkpoint"]
    rounds: list[float] = []
    found = _factorize(
        volume, output, progress=lambda name, share: rounds.append(share) if name == "both factors" else None
    )
    assert f"an earlier run was interrupted; going on from {output}.checkpoint" in found.notes
    assert len(rounds) < 5 or min(rounds) > 0.2  # the rounds before were not done again
    assert [path.name for path in tmp_path.iterdir()] == ["alloy.nxs"]
    whole = _factorize(volume, tmp_path / "whole.nxs")
    assert np.array_equal(whole.fit.alphas, found.fit.alphas)
    assert np.array_equal(read_correlations(output).covariance, whole.fit.covariance)


def test_a_full_disk_leaves_a_checkpoint(volume: Path, tmp_path: Path) -> None:
    def fill_disk() -> None:
        raise PassingError("alloy.nxs: the file cannot be written (No space left on device)")

    with pytest.raises(InputError) as failed:
        _factorize(volume, tmp_path / "alloy.nxs", progress=_stop_at("writing", fill_disk))
    assert may_pass(failed.value)
    assert [path.name for path in tmp_path.iterdir()] == ["alloy.nxs.checkpoint"]


def test_a_queue_that_ends_the_job_leaves_a_checkpoint(volume: Path, tmp_path: Path) -> None:
    terminate = _stop_at("both factors", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stopped, exit_on_termination():
        _factorize(volume, tmp_path / "alloy.nxs", progress=terminate)
    assert stopped.value.code == 143
    assert (tmp_path / "alloy.nxs.checkpoint").is_file()


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_not_used(volume: Path, tmp_path: Path) -> None:
    output = tmp_path / "alloy.nxs"
    with pytest.raises(KeyboardInterrupt):
        _factorize(volume, output, progress=_stop_at("both factors", _interrupt))
    path = tmp_path / "alloy.nxs.checkpoint"
    content = path.read_bytes()
    other = factorize_volume(volume, output, VolumeSettings(centring="P", seed=1))
    assert any("is the checkpoint of other data, settings or another version" in note for note in other.notes)
    assert not path.exists()
    path.write_bytes(content[: len(content) // 2])
    again = _factorize(volume, output)
    assert any(f"{path} is damaged" in note for note in again.notes)
    assert not path.exists()


def test_the_command_says_how_to_go_on(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "alloy.nxs"
    monkeypatch.setattr("dsfunet.cli.volume._Bar.show", staticmethod(_stop_at("both factors", _interrupt)))
    assert main(["factorize", str(volume), "--volume", "--centring", "P", "-o", str(output)]) == 130
    assert f"the same command goes on from {output}.checkpoint" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["factorize", str(volume), "--volume", "--centring", "P", "-o", str(output)]) == 0
    assert "note: an earlier run was interrupted; going on from" in capsys.readouterr().out


def test_bad_input_leaves_no_checkpoint(tmp_path: Path) -> None:
    file = _write_yell(tmp_path / "alloy.h5", np.ones((33, 33, 33)), lower=-0.25, step=1 / 64)
    with pytest.raises(InputError, match="expected at least one along each axis"):
        _factorize(file, tmp_path / "alloy.nxs")
    assert [path.name for path in tmp_path.iterdir()] == ["alloy.h5"]


def test_a_checkpoint_is_written_as_time_passes(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a.nxs", {"voxels": "1"}, seconds=0.0)
    checkpoint.keep_centring(CentringChoice("F", "data", ("found",)))
    assert Checkpoint(tmp_path / "a.nxs", {"voxels": "1"}).centring == CentringChoice("F", "data", ("found",))
    assert Checkpoint(tmp_path / "a.nxs", {"voxels": "2"}).centring is None
