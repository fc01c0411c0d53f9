"""Chains while they are being made, as text. Asks no model and decides no residue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from hfbio.alphabet import UNKNOWN
from hfbio.sample.causal import CausalState
from hfbio.sample.reach import OPEN
from hfbio.sample.state import State
from hfbio.tokens import TokenMap

_OPEN: Final = -1  # no id


def partial(state: State | CausalState, tokens: TokenMap) -> list[str]:
    """Every row of a block as it stands: its residues, and ``_`` where one is open.

    Frozen residues are there from the start, so a row of a masked model always has the length of
    its design. An open residue is ``_`` whatever the network is shown there: a mask, or the
    germline that `GermlineWalk` starts from. What was decided may become open again: under
    `Gibbs`, and where `Unmask` looks back.

    A causal model writes from one end. Frozen residues ahead of it are shown, and ``_`` for each
    residue that is sure to come between them; a gap whose length the model chooses has one ``_``
    at least until it is closed. Without a scaffold the row is what is written so far. A chain that
    is written from its end is turned round.

    Rows are read and not changed, so that another thread may ask while the block goes on.

    Args:
        state: what ``watch`` is called with; row ``r`` is of design ``state.designs[r]``. Blocks
            are made whole, so the last one can hold designs that nobody asked for.
        tokens: of the model, ``model.base.token_map``.

    Returns:
        One text a row; a pair as ``HEAVY:LIGHT``.
    """
    if isinstance(state, CausalState):
        rows = zip(state.templates, state.ids, state.ended)
        return [
            _text(t.so_far(t.written(ids, tokens).tolist(), over, tokens), tokens)
            for t, ids, over in rows
        ]
    shown = state.ids.masked_fill(state.open, _OPEN).tolist()
    first = (state.open | torch.isin(state.ids, torch.tensor(tokens.residue_ids))).int().argmax(1)
    last = state.attention_mask.sum(dim=1) - 1  # the stop token
    return [
        _text(ids[start:stop], tokens)
        for ids, start, stop in zip(shown, first.tolist(), last.tolist())
    ]


def _text(ids: Sequence[int], tokens: TokenMap) -> str:
    # Between the ends of a chain there is nothing but residues, separators and what is open.
    return tokens.decode(torch.tensor(ids, dtype=torch.int64)).replace(UNKNOWN, OPEN)
