"""Draw tokens from logits. Deterministic: the caller brings the random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Choose = Callable[[Any, Tensor], Tensor]
"""``choose(where, allowed)``: the ids at an index of a block, drawn from the ``allowed`` ones."""


def chooser(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Choose:
    """A draw that can be repeated at some places of a block, with the same random numbers.

    Args:
        logits: ``(B, L, V)``.
        uniform: ``(B, L)``.
        temperature: as for `draw`.
        top_p: as for `draw`.
    """

    def choose(where: Any, allowed: Tensor) -> Tensor:
        return draw(
            logits[where], uniform[where], allowed=allowed, temperature=temperature, top_p=top_p
        )

    return choose


def draw(
    logits: Tensor,
    uniform: Tensor,
    *,
    allowed: Tensor,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Tensor:
    """One token per position by inversion of the cumulative distribution.

    Restrict, then temper, then truncate: truncating first lets special tokens use up the
    nucleus. Taking the random numbers as an argument lets each design own its generator while
    the arithmetic runs over the whole block. ``logits`` is not modified.

    Args:
        logits: ``(..., V)`` float, unnormalised, in nats.
        uniform: ``(...)`` float32 in [0, 1), one number per position.
        allowed: ``(V,)`` or ``(..., V)`` bool, at least one true per position.
        temperature: >= 0, finite; 0 takes the largest.
        top_p: probability mass kept at each position, in (0, 1].

    Returns:
        ``(...)`` int64 token ids.

    Raises:
        ValueError: a position allows nothing, or a number is out of its range.

    Source:
        Holtzman et al. 2020, section 3.1 (top-p).
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be >= 0 and finite, got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}")
    if not allowed.any(dim=-1).all():
        raise ValueError("allowed forbids every token at some position")
    restricted = logits.float().masked_fill(~allowed, -torch.inf)
    if temperature == 0:
        return restricted.argmax(dim=-1)
    # From the top downwards: dividing by a tiny temperature may then overflow to -inf alone.
    below_top = restricted - restricted.amax(dim=-1, keepdim=True)
    ordered, ids = (below_top / temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    cumulative = ordered.cumsum(dim=-1)
    # The smallest set that reaches top_p: keep a token if the mass before it is below top_p.
    kept = torch.where(cumulative - ordered < top_p, ordered, 0.0)
    cumulative = kept.cumsum(dim=-1)
    target = uniform.unsqueeze(-1) * cumulative[..., -1:]
    rank = (cumulative <= target).sum(dim=-1, keepdim=True)
    last = (kept > 0).sum(dim=-1, keepdim=True) - 1  # rounding may push the target past the end
    return ids.gather(-1, rank.minimum(last)).squeeze(-1)
