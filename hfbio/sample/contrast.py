"""Strengthen what a prompt, or training, adds to a model. Calls no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hfbio.data.encode import pad
from hfbio.errors import SettingError
from hfbio.sample.state import State

FLOOR = -1e4
"""Least log-probability that is compared, in nats: what both sides rule out stays ruled out."""


@dataclass(frozen=True)
class Contrast:
    """Draw from what the model says, carried on from what another pass over the same chain says.

        log p = log p_other + weight (log p_own - log p_other) + constant

    With the own prompt naming conditions and the other leaving them open this is classifier-free
    guidance (Ho and Salimans 2022, equation 6, with log-probabilities for scores; their ``w`` is
    ``weight - 1``). With ``untuned`` the other pass is the base without its adapter.
    """

    weight: float  # 1 is the own side alone, 0 the other; above 1 carries on beyond the own
    prefix: tuple[int, ...]  # start token and tags that the other pass is shown
    untuned: bool = False  # the other pass runs with the adapter switched off

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise SettingError(
                f"the weight of a contrast must be >= 0 and finite, got {self.weight}"
            )
        if not self.prefix:
            raise ValueError("the other pass needs a prefix")

    def combine(self, own: Tensor, other: Tensor) -> Tensor:
        """``(..., V)`` float32 log-probabilities up to a constant, from two sets of logits."""
        own_p = own.float().log_softmax(dim=-1).clamp(min=FLOOR)
        other_p = other.float().log_softmax(dim=-1).clamp(min=FLOOR)
        return torch.lerp(other_p, own_p, self.weight)  # exact at 0 and 1

    def shown(self, state: State, starts: Sequence[int], pad_id: int) -> tuple[Tensor, Tensor]:
        """What the other pass reads: the block behind its own prefix.

        Args:
            state: ``(B, L)``; not changed.
            starts: tokens of the own prefix, per row.
            pad_id: fills up.

        Returns:
            ``(B, M)`` int64 ids and attention mask.
        """
        front = torch.tensor(self.prefix, dtype=torch.int64)
        lengths = state.attention_mask.sum(dim=1).tolist()
        rows = [
            torch.cat([front, ids[start:stop]])
            for ids, start, stop in zip(state.ids, starts, lengths)
        ]
        return pad(rows, pad_id), pad([torch.ones_like(row) for row in rows], 0)

    def aligned(self, own: Tensor, other: Tensor, state: State, starts: Sequence[int]) -> Tensor:
        """``(B, L, V)`` logits of the other pass in the places of the own; own ones elsewhere."""
        result = own.clone()
        lengths = state.attention_mask.sum(dim=1).tolist()
        for row, (start, stop) in enumerate(zip(starts, lengths)):
            first = len(self.prefix)
            result[row, start:stop] = other[row, first : first + stop - start]
        return result
