"""A tiny ESM-2 in the real format, for tests that load a model from a repo."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

# Order of the ESM-2 vocabulary (fair-esm, alphabet "ESM-1b"): a token's index is its id.
ESM_TOKENS = (
    *("<cls>", "<pad>", "<eos>", "<unk>"),
    *"LAGVSERTIDPKQNFYMHWCXBUZO.-",
    *("<null_1>", "<mask>"),
)


def tiny_esm_files() -> dict[str, bytes]:
    """Files of an `EsmForMaskedLM` of 33 tokens, 2 layers of 32 and random weights (seed 0).

    What `save_pretrained` of model and tokenizer writes, 0.1 MB in all: config.json,
    model.safetensors, vocab.txt and the tokenizer's settings. The same bytes at every call.
    """
    return dict(_files())


@cache
def _files() -> dict[str, bytes]:
    import torch
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    config = EsmConfig(
        vocab_size=len(ESM_TOKENS),
        pad_token_id=ESM_TOKENS.index("<pad>"),
        mask_token_id=ESM_TOKENS.index("<mask>"),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=1026,
        layer_norm_eps=1e-5,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        EsmForMaskedLM(config).save_pretrained(folder)
        vocabulary = Path(folder, "vocab.txt")
        vocabulary.write_text("\n".join(ESM_TOKENS))
        EsmTokenizer(str(vocabulary)).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
