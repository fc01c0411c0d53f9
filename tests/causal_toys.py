"""Small causal models for the tests, with tokens that have a separator."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from toys import TOKENS, seeded
from transformers import LlamaConfig, LlamaForCausalLM

CAUSAL = replace(TOKENS, vocab_size=27, sep_id=26)


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    """Two layers of 16 with weights large enough that contexts matter."""
    config = LlamaConfig(
        vocab_size=CAUSAL.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        pad_token_id=CAUSAL.pad_id,
        bos_token_id=CAUSAL.start_id,
        eos_token_id=CAUSAL.stop_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() == 2:
                    weight.normal_(std=0.4)
            model.lm_head.weight.mul_(1.5)
    return model


class Recompute(nn.Module):
    """A causal model without cache: what it calls its past are the tokens, read anew each time."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, past_key_values, use_cache) -> SimpleNamespace:
        past = input_ids[:, :0] if past_key_values is None else past_key_values
        ids = torch.cat([past, input_ids], dim=1)
        assert attention_mask.shape == ids.shape
        logits = self.model(input_ids=ids).logits[:, past.shape[1] :]
        return SimpleNamespace(logits=logits, past_key_values=ids)


class Table(nn.Module):
    """Logits that depend on the last token and its position: no row can touch another."""

    def __init__(self, n_positions: int = 96, seed: int = 0) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        shape = (n_positions, CAUSAL.vocab_size, CAUSAL.vocab_size)
        self._logits = 2 * torch.randn(shape, generator=seeded(seed))
        self.fed: list[int] = []

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, past_key_values=None, use_cache=False
    ) -> SimpleNamespace:
        seen = past_key_values or 0
        self.fed.append(input_ids.shape[1])
        at = torch.arange(seen, seen + input_ids.shape[1])
        logits = self._logits[at, input_ids]
        return SimpleNamespace(logits=logits, past_key_values=seen + input_ids.shape[1])
