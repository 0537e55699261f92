"""Descriptions of the machine and of the code version, to record with results."""

import functools
import os
import platform
import subprocess
from pathlib import Path

from dsfunet._version import __version__

_PROCESSORS = Path("/proc/cpuinfo")


def describe_processor() -> str:
    """Return the architecture and the number of cores, such as "x86_64, 2 cores"."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


def describe_machine(device: str | None = None) -> str:
    """Return a text such as "2 cores of Intel Xeon", preceded by the GPU's name if `device` is one of torch's GPUs."""
    cores = f"{os.cpu_count()} cores of {_processor()}"
    if device is None or not device.startswith("cuda"):
        return cores
    import torch

    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(device)}, {cores}"


@functools.cache  # the running code is that of the start, whatever changes on disk later
def describe_code() -> str:
    """Return the version, such as "0.1.0", in a checkout with its commit: "0.1.0 at 1a2b3c4d with changes".

    In a container without a checkout, the commit is that of the variable `DSFUNET_COMMIT`.
    """
    folder = Path(__file__).parents[1]
    if not (folder / ".git").exists():
        given = os.environ.get("DSFUNET_COMMIT")
        return f"{__version__} at {given[:8]}" if given else __version__
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for arguments in (("rev-parse", "--short=8", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):  # there is no git, or the checkout belongs to another user
        return __version__
    return f"{__version__} at {commit}{' with changes' if changes else ''}"


def _processor() -> str:
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
