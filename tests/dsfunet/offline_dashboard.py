"""Reading of the files that W&B writes offline, to check what its dashboard would show."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_BLOCK, _HEADER = 32768, 7


def read_records(path: Path) -> list[Any]:
    """Read the records of a .wandb file, which W&B's own process may write a little later than the run ends."""
    deadline = time.monotonic() + 20
    while True:
        records = list(_parse(path.read_bytes()))
        ended = any(record.WhichOneof("record_type") == "exit" for record in records)
        if ended or time.monotonic() > deadline:
            return records
        time.sleep(0.05)


def _parse(data: bytes) -> Iterator[Any]:
    """Yield whole records: LevelDB's log format, after a header of seven bytes."""
    if len(data) < 7:
        return
    assert data[:4] == b":W&B"
    position, parts = 7, b""
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:  # the end of a block is filled up
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        position += _HEADER
        if position + length > len(data):  # still being written
            return
        parts += data[position : position + length]
        position += length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the logged values, one dictionary per step."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in read_records(path)
        if record.WhichOneof("record_type") == "history"
    ]


def read_settings(path: Path) -> dict[str, Any]:
    """Read the hyper-parameters of the run."""
    return {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in read_records(path)
        if record.WhichOneof("record_type") in ("config", "run")
        for item in (
            record.config if record.WhichOneof("record_type") == "config" else record.run.config
        ).update
    }


def read_identity(path: Path) -> tuple[str, str]:
    """Read the id and the name of the run."""
    [run] = [record.run for record in read_records(path) if record.WhichOneof("record_type") == "run"][:1]
    return run.run_id, run.display_name


def read_artifacts(path: Path) -> list[Any]:
    """Read the artifacts that would be sent."""
    requests = [
        record.request for record in read_records(path) if record.WhichOneof("record_type") == "request"
    ]
    sent = [
        each.log_artifact.artifact for each in requests if each.WhichOneof("request_type") == "log_artifact"
    ]
    kept = [
        record.artifact for record in read_records(path) if record.WhichOneof("record_type") == "artifact"
    ]
    return sent + kept
