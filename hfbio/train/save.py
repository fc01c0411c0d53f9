"""A finished run as a bundle on disk. Only the main process comes here."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hfbio.data.encode import tag_values
from hfbio.models import merge
from hfbio.record import AntibodyRecord
from hfbio.tokens import Tags

PACKAGES = ("hfbio", "torch", "transformers", "peft", "accelerate", "datasets", "immunum")


def save_weights(
    folder: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    state_dict: Mapping[str, Tensor] | None,
    *,
    carry_merged: bool,
) -> None:
    """Write adapter (or full model) and tokenizer into a run folder.

    Args:
        folder: the run folder.
        model: a PeftModel, or a plain model after full fine-tuning.
        tokenizer: with the condition tags.
        state_dict: gathered from all ranks; the model's own if ``None``.
        carry_merged: also write ``merged/``, a plain model for users of transformers alone;
            for bases that have no Hub id.
    """
    if isinstance(model, PreTrainedModel):
        model.save_pretrained(folder, state_dict=state_dict)
    else:
        # By default peft asks the Hub for the base's config to see whether rows were added; the
        # rows that were are in the adapter by themselves.
        model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's template, not about this run
    if carry_merged and not isinstance(model, PreTrainedModel):
        temporary = folder / "merged.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        merge(model).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        shutil.rmtree(folder / "merged", ignore_errors=True)
        os.replace(temporary, folder / "merged")


def lengths_by_tags(train: tuple[AntibodyRecord, ...], tags: Tags) -> dict[str, dict[str, int]]:
    """Chain lengths of the training split by tag values: ``IGH|human|IGHG`` -> length -> count."""
    lengths: dict[str, Counter[str]] = defaultdict(Counter)
    for record in train:
        row = "|".join(tags.describe(tag_values(record, tags.fields)).values())
        lengths[row][str(len(record.sequence_aa))] += 1
    return {row: dict(sorted(counts.items())) for row, counts in sorted(lengths.items())}


def package_versions() -> dict[str, str]:
    """Versions of what made the weights."""
    return {name: version(name) for name in PACKAGES}
