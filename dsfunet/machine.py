"""The machine a number was measured on, in words, to stand beside the number."""

import os
import platform
from pathlib import Path

_PROCESSORS = Path("/proc/cpuinfo")


def describe_machine(device: str | None = None) -> str:
    """Such as "2 cores of Intel Xeon", with the GPU's name before it where `device` (as torch names it) is one."""
    cores = f"{os.cpu_count()} cores of {_processor()}"
    if device is None or not device.startswith("cuda"):
        return cores
    import torch

    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(device)}, {cores}"


def _processor() -> str:
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
