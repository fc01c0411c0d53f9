"""How a bundle is loaded without hfbio, and what goes wrong there. Loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from hfbio.bundle import Manifest
from hfbio.card.example import common_conditions
from hfbio.card.front import on_hub
from hfbio.models.catalogue import FAMILIES


@dataclass(frozen=True)
class PlainLoad:
    """Code that needs transformers and peft alone; empty where there is none that works."""

    code: str
    start: str  # tag tokens a chain begins with; empty without condition tags
    replaces_start: bool  # they stand in place of the start token, not behind it
    trap: str = ""  # "tags" or "token_dropout": what a plain load does wrong unasked


def plain_load(manifest: Manifest, repo_id: str, *, merged: bool) -> PlainLoad:
    """What to write with transformers and peft.

    Args:
        manifest: of the bundle.
        repo_id: where it is.
        merged: there is a ``merged/`` beside the adapter.

    Source:
        For the traps of peft 0.21: peft#3649, and docs/finetune.md, measured in this project.
    """
    auto_class = FAMILIES[manifest.family].auto_class
    tags = manifest.tags
    start = " ".join(tags.prefix(tags.choose(common_conditions(manifest))))
    replaces = tags.style == "composite"
    if manifest.is_whole or merged:
        where = f'"{repo_id}"' + (', subfolder="merged"' if not manifest.is_whole else "")
        return PlainLoad(_transformers(auto_class, where), start, replaces)
    if not on_hub(manifest):
        return PlainLoad("", start, replaces)
    if start:
        return PlainLoad("", start, replaces, trap="tags")
    switched = manifest.family == "esm" and manifest.objective["kind"] != "mlm"
    options = ", token_dropout=False" if switched else ""
    code = (
        "from peft import AutoPeftModel\nfrom transformers import AutoTokenizer\n\n"
        f'model = AutoPeftModel.from_pretrained("{repo_id}"{options})\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{repo_id}")\n'
    )
    return PlainLoad(code, start, replaces, trap="token_dropout" if switched else "")


def _transformers(auto_class: str, where: str) -> str:
    return (
        f"from transformers import {auto_class}, AutoTokenizer\n\n"
        f"model = {auto_class}.from_pretrained({where})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({where})\n"
    )
