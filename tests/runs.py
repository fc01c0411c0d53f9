"""Small fine-tuning runs for the tests: data, settings, launchers, what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from antibodies import HEAVY, heavy_with, random_cdr3s
from safetensors.torch import load_file

REPO = Path(__file__).parent.parent
RECIPE = str(REPO / "recipes" / "finetune.py")
N_CHAINS = 36  # 30 to train on: not a multiple of the 8 chains of a step

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ACCELERATE = ("accelerate.commands.launch", "--main_process_port", "0", "--config_file")


def make_split(folder: Path, n_chains: int = N_CHAINS) -> Path:
    """A split folder of heavy chains that differ in CDR3, half of them IgG, half IgM."""
    from hfbio.data import import_table, split_table

    rows = (
        f"s{i},{heavy_with(cdr3)},IGH,human,{('IGHG1', 'IGHM')[i % 2]}\n"
        for i, cdr3 in enumerate(random_cdr3s(n_chains))
    )
    source = folder / "chains.csv"
    source.write_text("sequence_id,sequence_aa,locus,species,c_call\n" + "".join(rows))
    import_table([source], folder / "table.parquet", progress=False)
    split_table(folder / "table.parquet", folder / "split", by="clone")
    return folder / "split"


def flags(**settings: object) -> list[str]:
    """Command-line flags of a short run, with ``settings`` in place of its own; none for None."""
    short = {
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "eval_mask_draws": 1,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": "true",
    }
    words = []
    for name, value in (short | settings).items():
        if value is None:
            continue
        words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return words


def launch(
    launcher: Sequence[str],
    arguments: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    timeout: float = 200,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m LAUNCHER ARGUMENTS`` offline, unless ``environment`` says otherwise."""
    known = environment or {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *launcher, *arguments],
        env={**known, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def adapter(folder: Path) -> dict:
    """Tensors of the adapter that a run or checkpoint saved."""
    return load_file(folder / "adapter_model.safetensors")


def metrics(folder: Path) -> dict:
    """metrics.json of a finished run."""
    return json.loads(folder.joinpath("metrics.json").read_text())


def losses(folder: Path) -> list[float]:
    """Training loss of each step of a finished run."""
    return [row["loss"] for row in metrics(folder)["training"]["log"] if "loss" in row]


def furthest(one: dict, other: dict) -> float:
    """The largest difference between two sets of tensors, which must have the same names."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def antibody_esm_files() -> dict[str, bytes]:
    """`tiny_esm_files`, with an output bias that makes it better than a guess at antibodies."""
    import torch
    from safetensors.torch import load, save
    from tiny import ESM_TOKENS, tiny_esm_files

    from hfbio.alphabet import RESIDUES

    files = tiny_esm_files()
    weights = load(files["model.safetensors"])
    shares = torch.tensor([HEAVY.count(token) / len(HEAVY) for token in ESM_TOKENS])
    seen = torch.tensor([token in RESIDUES for token in ESM_TOKENS])
    weights["lm_head.bias"] = torch.where(seen, (shares + 0.005).log(), -20.0)
    return files | {"model.safetensors": save(weights, {"format": "pt"})}
