"""The weights that a run saves. Only one process comes here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hfbio.models import LoadedBase, merge, restore


def save_weights(
    folder: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    state_dict: Mapping[str, Tensor] | None,
) -> None:
    """Write adapter (or full model) and tokenizer into a checkpoint or bundle.

    Args:
        folder: where to.
        model: a PeftModel, or a plain model in full fine-tuning.
        tokenizer: with the condition tags.
        state_dict: gathered from all ranks; the model's own if ``None``.
    """
    if isinstance(model, PreTrainedModel):
        model.save_pretrained(folder, state_dict=state_dict)
    else:
        # By default peft asks the Hub for the base's config to see whether rows were added; the
        # rows that were are in the adapter by themselves.
        model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's template, not about this run


def save_merged(folder: Path, base: LoadedBase) -> None:
    """Write ``merged/``, a plain model for users of transformers alone, from a saved adapter.

    Args:
        folder: where `save_weights` wrote an adapter. It is read back, since the model in
            training may be spread over ranks.
        base: loaded afresh and prepared as for training; used up.
    """
    merge(restore(base, folder)).save_pretrained(folder / "merged")
    base.tokenizer.save_pretrained(folder / "merged")
