"""What a run is computed on, in words that name a kind of machine and not the machine."""

import platform
from types import SimpleNamespace

import pytest
import torch
from runs import flags, make_split, metrics

from hfbio.bundle import read_manifest
from hfbio.train import finetune, read_config
from hfbio.train.hardware import _cpu_name, describe_hardware


def test_a_run_tells_its_hardware_time_and_processes(tmp_path):
    run = tmp_path / "run"
    words = flags(model="sapiens-vh", data=make_split(tmp_path), output_dir=run, max_steps=2)
    finetune(read_config(None, words))
    told, found = read_manifest(run).training, metrics(run)
    n_threads = torch.get_num_threads()
    core = "core" if n_threads == 1 else "cores"
    assert told["hardware"] == f"{n_threads} x {_cpu_name()} {core}"
    assert found["run"]["hardware"] == told["hardware"]
    assert platform.node() not in told["hardware"]
    assert (told["steps"], told["processes"]) == (2, 1)
    assert told["seconds"] == found["training"]["seconds"]


@pytest.mark.parametrize("n_gpus", [1, 4])
def test_an_accelerator_is_told_by_its_name(monkeypatch, n_gpus):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA H200 ({device})")
    config = SimpleNamespace(device=torch.device("cuda:0"), n_gpu=n_gpus, world_size=1)
    assert describe_hardware(config) == f"{n_gpus} x NVIDIA H200 (cuda:0)"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (
            "processor\t: 0\nmodel\t: 1\nmodel name\t: AMD EPYC  7B13\n\nprocessor\t: 1\n",
            "AMD EPYC 7B13",
        ),
        ("model name : Intel(R) Xeon(R) CPU @ 2.20GHz\n", "Intel(R) Xeon(R) CPU @ 2.20GHz"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", None),  # ARM
        ("model name\t:\n", None),
        (None, None),
    ],
)
def test_a_cpu_is_told_by_its_model_or_by_its_architecture(tmp_path, cpuinfo, name):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    assert _cpu_name(path) == (name or platform.processor() or platform.machine())
