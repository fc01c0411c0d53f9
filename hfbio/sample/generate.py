"""Run a sampler against a network. The only file of this room that calls one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hfbio.rng import generator
from hfbio.sample.rules import Rules
from hfbio.sample.state import Sampler, State, Template
from hfbio.tokens import TokenMap


def generate(
    model: nn.Module,
    tokens: TokenMap,
    sampler: Sampler,
    template: Callable[[int, torch.Generator], Template],
    *,
    seed: int,
    block_size: int = 16,
    rules: Rules | None = None,
    watch: Callable[[State], None] | None = None,
) -> Iterator[Tensor]:
    """Designs 0, 1, 2, … without end, as ``(n,)`` int64 residue ids.

    Design ``i`` owns the generator ``(seed, i)``, and blocks are always made whole, with the
    same rows in the same places: so design ``i`` does not depend on how many are asked for,
    down to the rounding of a matrix product. A larger ``block_size`` is faster on a large
    device and changes that rounding, nothing else.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; its mode is not changed, so call
            ``eval()`` first.
        tokens: what its ids mean.
        sampler: how to walk back.
        template: the start of design ``i``; may draw from the design's generator.
        seed: >= 0.
        block_size: designs per network pass.
        rules: what may not be drawn; see `Rules` for the check that a finished design needs.
        watch: called with each intermediate state, for showing the walk.
    """
    device = next(model.parameters()).device
    first = 0
    while True:
        indices = range(first, first + block_size)
        rngs = [generator(seed, i) for i in indices]
        templates = [template(i, rng) for i, rng in zip(indices, rngs)]
        state = sampler.begin(templates, rngs, tokens, rules)
        while not sampler.done(state):
            with torch.inference_mode():
                logits = model(
                    input_ids=state.ids.to(device),
                    attention_mask=state.attention_mask.to(device),
                ).logits
            state = sampler.step(state, logits.float().cpu(), tokens)
            if watch is not None:
                watch(state)
        for row, made in zip(state.ids, templates):
            start = len(made.prefix)
            yield row[start : start + len(made.residue_ids)].clone()
        first += block_size
