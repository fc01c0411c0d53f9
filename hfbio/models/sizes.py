"""How large a network a config.json may ask for. Builds none that takes memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel

from hfbio.models.catalogue import Family

MAX_COUNTS: Final = {  # largest values; ESM-2 15B has 5,120 and 48 and 40 and 20,480
    "hidden_size": 8192,
    "intermediate_size": 32_768,
    "max_position_embeddings": 65_536,
    "num_attention_heads": 128,
    "num_hidden_layers": 128,
    "num_key_value_heads": 128,
    "head_dim": 8192,
    "type_vocab_size": 16,
    "vocab_size": 65_536,
}


def count_in_range(name: str, value: Any) -> bool:
    """Whether ``value`` is a whole number from 1 to `MAX_COUNTS` of ``name``."""
    return type(value) is int and 1 <= value <= MAX_COUNTS[name]


def odd_count(raw: Mapping[str, Any]) -> str:
    """The first size in ``raw`` that is out of range; empty if all that are there are in range."""
    return next(
        (n for n in MAX_COUNTS if raw.get(n) is not None and not count_in_range(n, raw[n])), ""
    )


def shapes_alone(family: Family, config: PretrainedConfig) -> PreTrainedModel:
    """The network that ``config`` describes, on the meta device: shapes, and no memory."""
    with torch.device("meta"):
        return getattr(transformers, family.auto_class).from_config(config)
