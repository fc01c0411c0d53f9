"""All fillings of one or two open residues, most likely ones first by luck of the draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from hfbio.tokens import TokenMap

MOST_OPEN: Final = 2
"""Open residues up to which all fillings are asked for: 20 ** 2 of them."""

Ask = Callable[[Sequence[Sequence[int]]], Tensor]
"""Residue ids decided so far, one list a row, all of one length -> ``(rows, V)`` logits of the
next open residue."""


def fillings(
    ask: Ask,
    n_open: int,
    tokens: TokenMap,
    rng: torch.Generator,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    allowed: Callable[[Sequence[int]], Tensor] | None = None,
) -> list[tuple[int, ...]]:
    """Every filling that can be drawn, in the order of draws without replacement.

    Open residues are decided from left to right, ``p(a) p(b | a)``; temperature and top-p shape
    each factor as in `hfbio.sample.draw`. Adding independent Gumbel noise to the log-probabilities
    and sorting is drawing without replacement (Kool, van Hoof and Welling 2019, "Stochastic beams
    and where to find them", section 2.3). The first ``n`` of the list are the same for every ``n``.

    Args:
        ask: the model.
        n_open: open residues, 1 to `MOST_OPEN`.
        tokens: what its ids mean.
        rng: one number a filling, 20 ** ``n_open`` in all, whatever can be drawn.
        temperature: >= 0, finite; 0 leaves one filling.
        top_p: in (0, 1].
        allowed: residue ids decided so far -> ``(V,)`` bool of the next; all residues if ``None``.

    Returns:
        Token ids of each filling, left to right. At most 20 ** ``n_open``.
    """
    rows: list[tuple[int, ...]] = [()]
    log_p = torch.zeros(1, dtype=torch.float64)
    for _ in range(n_open):
        may = tokens.allowed.expand(len(rows), -1)
        if allowed is not None:
            may = may & torch.stack([allowed(row) for row in rows])
        step = shaped(ask(rows), may, temperature=temperature, top_p=top_p)  # (rows, V)
        ids = torch.tensor(tokens.residue_ids)
        log_p = (log_p.unsqueeze(1) + step[:, ids]).flatten()
        rows = [(*row, residue) for row in rows for residue in tokens.residue_ids]
    uniform = torch.rand(len(rows), generator=rng, dtype=torch.float64)
    gumbel = -(-uniform.clamp(min=1e-300).log()).log()
    order = (log_p + gumbel).argsort(descending=True, stable=True).tolist()
    return [rows[i] for i in order if log_p[i] > -torch.inf]


def shaped(logits: Tensor, allowed: Tensor, *, temperature: float, top_p: float) -> Tensor:
    """Log-probabilities that `hfbio.sample.draw` draws from, ``(rows, V)`` float64.

    A row that allows nothing has no filling: -inf everywhere.
    """
    restricted = logits.double().masked_fill(~allowed, -torch.inf)
    top = restricted.amax(dim=-1, keepdim=True)
    none = top == -torch.inf
    if temperature == 0:
        first = restricted.argmax(dim=-1, keepdim=True)
        p = torch.zeros_like(restricted).scatter(-1, first, 1.0)
    else:
        p = ((restricted - top.masked_fill(none, 0.0)) / temperature).softmax(dim=-1)
        ordered, ids = p.sort(dim=-1, descending=True)
        kept = torch.where(ordered.cumsum(dim=-1) - ordered < top_p, ordered, 0.0)
        p = torch.zeros_like(p).scatter(-1, ids, kept / kept.sum(dim=-1, keepdim=True))
    return p.log().masked_fill(none, -torch.inf)
