"""Run a sampler against a network, block by block. Draws no residue of a design itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hfbio.rng import generator
from hfbio.sample.causal import Causal, CausalTemplate
from hfbio.sample.contrast import Contrast
from hfbio.sample.guide import Flock, Guide
from hfbio.sample.network import reader
from hfbio.sample.rules import Rules
from hfbio.sample.state import Sampler, State, Template
from hfbio.tokens import TokenMap


def generate(
    model: nn.Module,
    tokens: TokenMap,
    sampler: Sampler | Causal,
    template: Callable[[int, torch.Generator], Template | CausalTemplate],
    *,
    seed: int,
    block_size: int = 16,
    rules: Rules | None = None,
    contrast: Contrast | None = None,
    guide: Guide | None = None,
    watch: Callable[[Any], None] | None = None,
) -> Iterator[Tensor]:
    """What is written of designs 0, 1, 2, … without end, as ``(n,)`` int64 ids.

    For a masked sampler these are the residues; for a causal one what stands behind the prompt,
    without its end. ``chain`` of the template makes the whole chain of it.

    Design ``i`` owns the generator ``(seed, i)``, and blocks are always made whole, with the
    same rows in the same places: so design ``i`` does not depend on how many are asked for,
    down to the rounding of a matrix product. A larger ``block_size`` is faster on a large
    device and changes that rounding, nothing else.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; its mode is not changed, so call
            ``eval()`` first. A causal one must take and return ``past_key_values``.
        tokens: what its ids mean.
        sampler: how to walk back, or on.
        template: the start of design ``i``; may draw from the design's generator. Causal ones need
            prompts of one length.
        seed: >= 0.
        block_size: rows per network pass. A guide takes ``particles`` rows a design, all in one
            pass, and at least one design.
        rules: what may not be drawn.
        contrast: a second pass at each step, to depart from.
        guide: a score to steer by; particle ``k`` owns the generator ``(seed, i, k)``.
        watch: called with the `State` or `CausalState` of a block after each step, for showing the
            walk (`hfbio.sample.partial`). Its ``designs`` tell which design a row is of. With a
            guide the rows are particles, and the design becomes one of them.

    Raises:
        SettingError: the guide, contrast or template cannot be used.
    """
    run = _Run(model, tokens, sampler, rules, contrast, watch)
    first = 0
    n_designs = block_size if guide is None else max(1, block_size // guide.particles)
    while True:
        indices = range(first, first + n_designs)
        rngs = [generator(seed, i) for i in indices]
        starts = [template(i, rng) for i, rng in zip(indices, rngs)]
        if guide is None:
            rows = run.block(starts, rngs, tuple(indices))
        else:
            places = range(guide.particles)
            own = [generator(seed, i, k) for i in indices for k in places]
            copies = [start for start in starts for _ in places]
            designs = tuple(i for i in indices for _ in places)
            rows = run.block(copies, own, designs, Flock(guide, rngs))
        for row, start in zip(rows, starts):
            yield start.written(row, tokens).clone()
        first += n_designs


@dataclass(frozen=True)
class _Run:
    """What all blocks have in common."""

    model: nn.Module
    tokens: TokenMap
    sampler: Any
    rules: Rules | None
    contrast: Contrast | None
    watch: Callable[[Any], None] | None

    def block(
        self,
        templates: Sequence[Any],
        rngs: Sequence[torch.Generator],
        designs: tuple[int, ...],
        flock: Flock | None = None,
    ) -> Tensor:
        """``(designs, L)`` ids of a finished block; with a flock, of the particles it picked."""
        sampler, tokens = self.sampler, self.tokens
        state = replace(sampler.begin(templates, rngs, tokens, self.rules), designs=designs)
        read = reader(self.model, tokens, templates, causal=sampler.causal, contrast=self.contrast)
        while not sampler.done(state):
            logits = read(state)
            if flock is not None and not sampler.causal and flock.due(state.step):
                clean = _completed(state, logits, tokens, sampler)
                going = state.free if sampler.looks_back else state.open
                flock.weigh(self._sequences(templates, clean))
                rows = flock.resample(going.any(dim=1))
                state, logits = state.take(rows), logits[rows]
            state = sampler.step(state, logits, tokens)
            if self.watch is not None:
                self.watch(state)
        if flock is None:
            return state.ids
        flock.weigh(self._sequences(templates, state.ids))
        return state.ids[flock.pick()]

    def _sequences(self, templates: Sequence[Any], ids: Tensor) -> list[str]:
        tokens = self.tokens
        chains = (t.chain(t.written(row, tokens), tokens) for t, row in zip(templates, ids))
        return [tokens.decode(chain) for chain in chains]


def _completed(state: State, logits: Tensor, tokens: TokenMap, sampler: Sampler) -> Tensor:
    """``(B, L)`` ids with what the sampler would draw now at every open position."""
    choose = sampler.chooser(state, logits)
    drawn = state.lawful(state.open, choose(..., tokens.allowed), choose, tokens)
    return torch.where(state.open, drawn, state.ids)
