"""What a run is computed on, in words for hfbio.json and cards. Chooses no device."""

from __future__ import annotations

import platform
from collections import Counter
from itertools import chain
from pathlib import Path

import torch
import torch.distributed
from transformers import TrainingArguments


def describe_hardware(config: TrainingArguments) -> str:
    """``"8 x NVIDIA H200"`` or ``"2 x AMD EPYC 7B13 cores"``: devices over all processes.

    Of a CPU it counts the threads that torch computes with. Every process must call it. It tells
    the kind of a machine, never its name.
    """
    if config.device.type == "cpu":
        own = [f"{_cpu_name()} core"] * torch.get_num_threads()
    else:
        # More than one where one process drives several, as the Trainer's DataParallel does.
        own = [_accelerator_name(config.device)] * config.n_gpu
    everyone = [own] * config.world_size
    if config.world_size > 1:
        torch.distributed.all_gather_object(everyone, own)
    counts = Counter(chain.from_iterable(everyone))
    return ", ".join(
        f"{count} x {name}{'s' if name.endswith(' core') and count > 1 else ''}"
        for name, count in sorted(counts.items())
    )


def _accelerator_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    return f"{platform.machine()} {device.type}"  # such as arm64 mps


def _cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model that Linux tells; elsewhere, and on most ARM, the architecture alone."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return " ".join(value.split())
    return platform.processor() or platform.machine()
