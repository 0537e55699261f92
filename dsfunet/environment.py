"""The machine a number was measured on and the code that made it, in words, to stand beside the number."""

import functools
import os
import platform
import subprocess
from pathlib import Path

from dsfunet._version import __version__

_PROCESSORS = Path("/proc/cpuinfo")


def describe_machine(device: str | None = None) -> str:
    """Such as "2 cores of Intel Xeon", with the GPU's name before it where `device` (as torch names it) is one."""
    cores = f"{os.cpu_count()} cores of {_processor()}"
    if device is None or not device.startswith("cuda"):
        return cores
    import torch

    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(device)}, {cores}"


@functools.cache  # what runs is what was there at the start
def describe_code() -> str:
    """Such as "0.1.0", or "0.1.0 at 1a2b3c4d" in a checkout, "with changes" where files differ from the commit."""
    folder = Path(__file__).parents[1]
    if not (folder / ".git").exists():
        return __version__
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for arguments in (("rev-parse", "--short=8", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):  # no git, or a checkout that is not ours
        return __version__
    return f"{__version__} at {commit}{' with changes' if changes else ''}"


def _processor() -> str:
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
