"""Make a bundled base of a finished pretraining run.

    python recipes/ship.py runs/hfbio-mini hfbio-mini

Writes hfbio/models/weights/ALIAS: config, weights in bfloat16 (half the size; loaded, they are
float32 again), tokenizer, hfbio.json, metrics.json, the card with its figures, and NOTICE.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from hfbio.bundle import read_manifest, write_json, write_manifest
from hfbio.card import read_metrics, write_card
from hfbio.models import catalogue
from hfbio.sample import build

_KEPT = (
    *("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    "vocab.txt",
)
_NOTICE = """{alias}: weights trained by hfbio's recipe `{alias}` (Apache-2.0), from nothing.

Training data: the human proteins of UniProtKB/Swiss-Prot (CC BY 4.0, The UniProt Consortium), as
promb carries them, and antibody chains that GenAIRR simulated from germline genes. README.md beside
this file tells of both, and of what the germline genes' own terms say.
"""


def main() -> None:
    """Copy, convert and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("alias")
    parser.add_argument(
        "--earlier_seconds", type=float, default=0, help="of legs before the run was resumed"
    )
    parser.add_argument(
        "--sampler_kwargs", type=json.loads, help="JSON, in place of what the run was saved with"
    )
    options = parser.parse_args()
    folder = Path(catalogue.__file__).parent / "weights" / options.alias
    folder.mkdir(parents=True, exist_ok=True)
    for name in _KEPT:
        if (options.run / name).is_file():
            shutil.copyfile(options.run / name, folder / name)
    manifest = dataclasses.replace(read_manifest(options.run), method="scratch")
    seconds = manifest.training["seconds"] + options.earlier_seconds
    training = {**manifest.training, "seconds": seconds}
    sampler = manifest.sampler
    if options.sampler_kwargs:
        sampler = dataclasses.asdict(build(options.sampler_kwargs))
    write_manifest(folder, dataclasses.replace(manifest, training=training, sampler=sampler))
    metrics = read_metrics(options.run)
    metrics["run"]["method"] = "scratch"
    metrics["training"]["seconds"] = seconds
    write_json(folder / "metrics.json", metrics)
    weights = load_file(options.run / "model.safetensors")
    halved = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    save_file(halved, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "NOTICE").write_text(_NOTICE.format(alias=options.alias), encoding="utf-8")
    write_card(folder, f"hfbio/{options.alias}", example=None)


if __name__ == "__main__":
    main()
