"""Bundles for the tests: small, real, made as a run makes them."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path

import torch
from runs import antibody_esm_files

from hfbio.bundle import MANIFEST, Manifest, write_manifest
from hfbio.model import AntibodyModel, load
from hfbio.models import (
    AdapterConfig,
    LoadedBase,
    add_tags,
    attach,
    for_objective,
    load_base,
    merge,
)
from hfbio.models.verify import TRASTUZUMAB_VH
from hfbio.rng import generator
from hfbio.tokens import Tags

TAGS = Tags.from_rows(
    "composite",
    {
        "locus": ["IGH"] * 4,
        "species": ["human", "human", "mouse", "human"],
        "isotype": ["IGHG", "IGHM", "IGHM", ""],
    },
)
LENGTHS = {
    "IGH|human|IGHG": {"120": 3, "121": 1},
    "IGH|human|IGHM": {"115": 1},
    "IGH|mouse|IGHM": {"117": 2},
    "IGH|human|*": {"119": 1},
}


def manifest_of(base: LoadedBase, tags: Tags = TAGS, **changes) -> Manifest:
    """hfbio.json of a run on ``base``."""
    return Manifest(
        **{
            "base": base.name,
            "base_revision": base.revision,
            "family": base.family.model_type,
            "base_license": base.licence,
            "method": "lora",
            "objective": {"kind": "diffusion", "min_t": 0.02},
            "tags": tags,
            "lengths": LENGTHS,
            "sampler": {"kind": "unmask", "order": "entropy", "steps": 3, "temperature": 0.7},
            "data": {},
            "training": {},
            "versions": {},
            **changes,
        }
    )


def disturb(model: torch.nn.Module, strength: float) -> None:
    """Stands for training: moves what LoRA and the tags start from, or every weight a little."""
    low_rank = any("lora_B" in name for name, _ in model.named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:  # starts at zero, so that nothing would change
                weight.normal_(std=0.05 * strength, generator=generator(2))
            elif "trainable_tokens_delta" in name:
                weight += strength * torch.randn(weight.shape, generator=generator(3))
            elif not low_rank:
                weight += 0.02 * strength * torch.randn(weight.shape, generator=generator(4))


def make_bundle(
    folder: Path, base: str = "sapiens-vh", method: str = "lora", strength: float = 1.0
) -> None:
    """A base with tags and weights that say something, as a run would save them."""
    plain = for_objective(load_base(base), "diffusion")
    tags = Tags(plain.tag_style, TAGS.values, TAGS.seen)
    tagged = add_tags(plain, tags)
    model = attach(tagged, AdapterConfig(method=method, r=2), rng=generator(1))
    disturb(model, strength)
    kept = {} if method == "full" else {"save_embedding_layers": False}
    model.save_pretrained(folder, **kept)
    tagged.tokenizer.save_pretrained(folder)
    write_manifest(folder, manifest_of(tagged, tags, method=method))


def merged(bundle: Path, target: Path, base: str | None = None) -> Path:
    """The bundle with its adapter folded into whole weights, as ``hfbio push --merge`` has it."""
    model = load(bundle, base=base)
    merge(model.model).save_pretrained(target)
    model.base.tokenizer.save_pretrained(target)
    write_manifest(target, dataclasses.replace(model.manifest, method="full"))
    return target


def logits(model: AntibodyModel, sequence: str = TRASTUZUMAB_VH, **conditions: str) -> torch.Tensor:
    """``(L, 20)`` of a chain with every seventh residue hidden, under tags."""
    tokens = model.base.token_map
    ids = tokens.encode(sequence)
    ids[::7] = tokens.require_mask()
    prefix = torch.tensor(model.prompt.ids(model.tags.choose(conditions)))
    row = torch.cat([prefix, ids, torch.tensor([tokens.stop_id])])[None]
    with torch.no_grad():
        found = model.model(input_ids=row, attention_mask=torch.ones_like(row)).logits
    return found[0, len(prefix) : -1, list(tokens.residue_ids)]


def local_base(folder: Path) -> Path:
    """A folder with a tiny ESM-2 that is better than a guess, and that nobody else has."""
    folder.mkdir(parents=True)
    for name, content in antibody_esm_files().items():
        (folder / name).write_bytes(content)
    return folder


def edited(folder: Path, target: Path, **changes) -> Path:
    """A copy of a bundle with other values in hfbio.json."""
    shutil.copytree(folder, target)
    raw = json.loads((target / MANIFEST).read_text())
    (target / MANIFEST).write_text(json.dumps({**raw, **changes}))
    return target


TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
"""Sizes of a network that learns one chain in a second."""


def new_model(folder: Path, architecture: str, **settings):
    """A model trained from nothing on two sources by `hfbio.train.pretrain`, in ``folder``/mini.

    Sixty steps at a high rate: it predicts the framework of trastuzumab better than a guess.
    """
    from runs import flags, make_split

    from hfbio.train import pretrain, read_config

    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    proteins = folder / "some.fasta"
    chains = ("".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=90)) for _ in range(40))
    proteins.write_text("".join(f">p{i}\n{chain}\n" for i, chain in enumerate(chains)))
    words = flags(
        **{
            "architecture": architecture,
            "architecture_kwargs": json.dumps(TINY),
            "objective": "infill" if architecture == "llama" else "diffusion",
            "method": "full",
            "sources": json.dumps({str(make_split(folder)): 0.75, f"proteins:{proteins}": 0.25}),
            "tags": ["locus", "isotype"],
            "max_residues": 130,
            "max_steps": 60,
            "learning_rate": 2e-2,
            "output_dir": folder / "mini",
            "sampler_kwargs": json.dumps({} if architecture == "llama" else {"steps": 2}),
        }
        | settings
    )
    return pretrain(read_config(None, words))
