"""Weights of a whole model, as full fine-tuning or a merge leaves them. Reads no adapter.

The network is always built from a config that was checked, never from the file beside the
weights: that one may ask for any amount of memory, for quantization, or for kernels to download.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Final

from transformers import PreTrainedModel

from hfbio.errors import AdapterMismatch, UnknownModel
from hfbio.models.catalogue import Family
from hfbio.models.load import LoadedBase
from hfbio.models.untrusted import read_header, read_object, read_tensors
from hfbio.models.verify import check_weights

CONFIG: Final = "config.json"
FULL_WEIGHTS: Final = "model.safetensors"

_SHAPE: Final = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings", "type_vocab_size", "vocab_size"),
)


def require_same_shape(path: Path, loaded: LoadedBase) -> None:
    """A saved model's config.json tells of a network like the base with its tags.

    Raises:
        BundleError: ``path`` is not a JSON object.
        AdapterMismatch: another architecture, or other sizes.
    """
    raw = read_object(path)
    for name in _SHAPE:
        expected = getattr(loaded.model.config, name, None)
        if raw.get(name, expected) != expected:
            raise AdapterMismatch(
                f"{path} tells of another shape than that of {loaded.name} with "
                f"{len(loaded.tag_ids)} tags: {name} is {raw[name]!r:.80}, not {expected}"
            )


def read_full(path: Path, like: PreTrainedModel, family: Family) -> PreTrainedModel:
    """A model shaped like ``like`` with the weights in ``path``; nothing else is allocated.

    Args:
        path: model.safetensors.
        like: only its class, config and shapes are used; it may lie on the meta device.
        family: which weights may be absent.

    Returns:
        The model in evaluation mode, on the CPU, with the type of ``like``'s weights.

    Raises:
        BundleError: not a safetensors file of finite numbers.
        AdapterMismatch: weights that are missing, unknown or of another shape.
    """
    header = read_header(path)
    # Names cannot be compared: transformers writes some (ESM's) other than it has them.
    known = [*like.parameters(), *like.buffers()]
    shapes = {tuple(tensor.shape) for tensor in known}
    odd = [name for name, entry in header.items() if entry.shape not in shapes]
    most = sum(tensor.numel() for tensor in [*like.state_dict().values(), *like.buffers()])
    total = sum(math.prod(entry.shape) for entry in header.values())
    # What is missing would be allocated and made up, however much a config.json asks for.
    fewest = sum(weight.numel() for weight in like.parameters()) // 2
    if odd or not fewest <= total <= most:
        raise AdapterMismatch(
            f"{path}: {len(odd)} weights are of another shape than any of "
            f"{type(like).__name__}, and all have {total:,} numbers where it has {most:,}: "
            + ", ".join(f"{name:.100}" for name in sorted(odd)[:5])
        )
    try:
        model, report = type(like).from_pretrained(
            None,
            config=copy.deepcopy(like.config),
            state_dict=read_tensors(path, header),
            dtype=like.dtype,
            output_loading_info=True,
        )
        check_weights(str(path), report["missing_keys"], report["unexpected_keys"], family=family)
    except (RuntimeError, ValueError, UnknownModel) as error:  # shapes in the wrong places, names
        raise AdapterMismatch(f"{path} does not fit its base: {error!s:.2000}") from None
    return model.eval()
