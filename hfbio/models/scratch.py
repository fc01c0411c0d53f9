"""Models that have learnt nothing yet, for pretraining. Trains none."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    EsmConfig,
    EsmForMaskedLM,
    EsmTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hfbio.errors import SettingError
from hfbio.models.catalogue import FAMILIES
from hfbio.models.load import LoadedBase, assemble

# Order of the ESM-2 vocabulary (fair-esm, alphabet "ESM-1b"): a token's index is its id.
ESM_TOKENS: Final = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
)
_SIZES: Final = {
    "esm": {
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "intermediate_size": 768,
        "max_position_embeddings": 1026,
    },
    "llama": {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 688,
        "max_position_embeddings": 1024,
    },
}
"""Settings of an architecture that a recipe may change, and what they are otherwise."""

ARCHITECTURES: Final = tuple(_SIZES)


def fresh(
    architecture: str, settings: Mapping[str, Any], *, name: str, rng: torch.Generator
) -> LoadedBase:
    """A model of random weights with its tokenizer, of a class that transformers itself has.

    ``esm`` is ESM-2 as published (rotary positions, its 33 tokens) with ``token_dropout`` off from
    the start, so that it can be shown any share of masks. ``llama`` is Llama with the same tokens,
    an unused one of which is the separator of infilling; its output layer is its embedding.

    Args:
        architecture: one of `ARCHITECTURES`.
        settings: sizes, in place of the small ones of hfbio's own models.
        name: what hfbio.json calls it.
        rng: source of the initial values.

    Raises:
        SettingError: an unknown architecture or size, or sizes that do not fit each other.
    """
    if architecture not in _SIZES:
        raise SettingError(
            f"architecture {architecture!r} is not one of: {', '.join(ARCHITECTURES)}"
        )
    known = _SIZES[architecture]
    if unknown := sorted(set(settings) - set(known)):
        raise SettingError(
            f"architecture {architecture!r} has no size {unknown[0]!r}; it has: {', '.join(known)}"
        )
    sizes = {**known, **settings}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=rng)))
        try:
            model, tokenizer = _MAKERS[architecture](sizes)
        except (StrictDataclassError, TypeError, ValueError, ZeroDivisionError) as error:
            raise SettingError(f"architecture {architecture!r}: {error}") from None
    return assemble(
        model,
        tokenizer,
        FAMILIES[architecture],
        name=name,
        revision=None,
        licence="Apache-2.0",
        check_loss=False,
    )


def _esm(sizes: Mapping[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    config = EsmConfig(
        vocab_size=len(ESM_TOKENS),
        pad_token_id=ESM_TOKENS.index("<pad>"),
        mask_token_id=ESM_TOKENS.index("<mask>"),
        layer_norm_eps=1e-5,
        position_embedding_type="rotary",
        token_dropout=False,
        emb_layer_norm_before=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **sizes,
    )
    return EsmForMaskedLM(config), _tokenizer(ESM_TOKENS)


def _llama(sizes: Mapping[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    config = LlamaConfig(
        vocab_size=len(ESM_TOKENS),
        bos_token_id=ESM_TOKENS.index("<cls>"),
        pad_token_id=ESM_TOKENS.index("<pad>"),
        eos_token_id=ESM_TOKENS.index("<eos>"),
        tie_word_embeddings=True,
        **sizes,
    )
    tokens = ["<sep>" if token == "<null_1>" else token for token in ESM_TOKENS]
    return LlamaForCausalLM(config), _tokenizer(tokens, sep_token="<sep>")


def _tokenizer(tokens: Sequence[str], **special: str) -> PreTrainedTokenizerBase:
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder, "vocab.txt")
        vocabulary.write_text("\n".join(tokens), encoding="utf-8")
        return EsmTokenizer(str(vocabulary), **special)


_MAKERS: Final = {"esm": _esm, "llama": _llama}
