"""Walk back from masks to residues in small steps. Never sees a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hfbio.errors import SettingError
from hfbio.sample.draw import Choose, chooser
from hfbio.sample.state import Sampler, State
from hfbio.tokens import TokenMap

ORDERS = ("ancestral", "entropy", "planned")


@dataclass(frozen=True)
class Unmask(Sampler):
    """Decide the open positions of a block in ``steps`` passes of the network.

    ``ancestral``: each position is decided at a step drawn beforehand, uniformly and
    independently. That is the reverse process of the ``diffusion`` objective with equal time
    steps (Sahoo et al. 2024, section 3.2.2: with ``k`` steps left, each open position with
    probability 1/k). Steps at which a chain has nothing to decide cost no pass.

    ``ancestral`` with ``remask`` > 0: a decided residue may go back to its mask, with
    ``remask`` times the largest probability that leaves the share of masks at every step as it
    was, ``min(1, (1 - s) / t)`` for shares ``t`` and ``s`` of decided residues before and after
    the step; open ones are decided so much more often (Wang et al. 2025, arXiv 2503.00307,
    section 3 and the schedule "rescale" of section 4.1). It can mend what an early step got wrong;
    of a model without error it asks more steps, as more is decided at a time: on a joint of two
    residues, known exactly, 8 steps end 0.054 from it in total variation with ``remask`` 0 and
    0.105 with 1. Every step costs a pass.

    ``entropy``: with ``k`` steps left the ``ceil(open / k)`` positions whose distribution has
    the least entropy are decided, so that the model's doubt comes last (Chang et al. 2022,
    MaskGIT, section 3.2, with entropy for confidence and a linear schedule).

    ``planned``: at every step all free positions are ranked by the probability that the model
    gives the residue there, the one drawn now or the one decided before; the least likely are
    masked (again), and their number falls evenly to none (Peng et al. 2025, arXiv 2502.03540,
    self-planning with a linear schedule and equal weight on old and new). It reads the model's
    output at residues it can see, which training must have scored: ``mlm`` does, ``diffusion``
    leaves there what the base had learnt.

    Under rules an order is settled before they are asked: they change what is drawn, not when.
    """

    kind: Literal["unmask"] = "unmask"
    order: Literal["ancestral", "entropy", "planned"] = "ancestral"
    steps: int = 32  # network passes, >= 1; more steps let residues see more of each other
    temperature: float = 1.0  # >= 0, finite; below 1 sharpens, 0 takes the most likely residue
    top_p: float = 1.0  # probability mass kept at each position, in (0, 1]
    remask: float = 0.0  # in [0, 1], of the largest possible; 0 decides once; ancestral order only

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise SettingError(f"order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        check_settings(self.steps, self.temperature, self.top_p)
        if not 0 <= self.remask <= 1:
            raise SettingError(f"remask must be in [0, 1], got {self.remask}")
        if self.remask and self.order != "ancestral":
            raise SettingError(
                f"remask belongs to the order ancestral, not {self.order}; leave it at 0, or use "
                "the order planned, which looks back by itself"
            )

    @property
    def looks_back(self) -> bool:
        """Whether a row with nothing open may go on."""
        return self.remask > 0  # what "planned" masks again is open, and its number only falls

    def passes(self, n_residues: int) -> int:
        """The most network passes that designs of ``n_residues`` can take."""
        return self.steps

    def chooser(self, state: State, logits: Tensor) -> Choose:
        """How open residues are drawn: tempered, then cut to the nucleus."""
        return chooser(logits, state.uniform(), self.temperature, self.top_p)

    def step(self, state: State, logits: Tensor, tokens: TokenMap) -> State:
        """Decide some open positions; the rest of ``ids`` is returned as it was, or masked again.

        Raises:
            ValueError: an open position shows a germline residue in place of a mask.
        """
        if (state.open & (state.germline >= 0)).any():
            raise ValueError(
                "unmask starts from masks, and a template shows its germline at free residues; "
                "use the sampler germline_walk, or a template without germline"
            )
        choose = self.chooser(state, logits)
        drawn = choose(..., tokens.allowed)
        due, again = None, torch.zeros_like(state.open)
        if self.order == "planned":
            chosen, again = self._surest(state, logits, drawn, tokens)
        elif self.order == "entropy":
            chosen = self._least_entropy(state, logits, tokens)
        elif self.remask:
            chosen, again = self._coins(state)
        else:
            due, chosen = soonest(state, self.steps)
        state = state.reopen(again, tokens.require_mask())
        return state.decide(chosen, state.lawful(chosen, drawn, choose, tokens), due)

    def done(self, state: State) -> bool:
        """All steps are taken, or nothing is open and nothing will be."""
        unfinished = state.free if self.looks_back else state.open
        return state.step >= self.steps or not bool(unfinished.any())

    def _least_entropy(self, state: State, logits: Tensor, tokens: TokenMap) -> Tensor:
        log_p = logits.float().masked_fill(~tokens.allowed, -torch.inf).log_softmax(dim=-1)
        entropy = -(log_p.exp() * log_p.clamp(min=-1e4)).sum(dim=-1)  # (B, L), in nats
        rank = entropy.masked_fill(~state.open, torch.inf).argsort(dim=-1).argsort(dim=-1)
        n_open = state.open.sum(dim=-1, keepdim=True)
        # Equal shares of what is left: ceil(open / steps left); the last step takes all.
        n_chosen = -(-n_open // (self.steps - state.step))
        return state.open & (rank < n_chosen)

    def _surest(
        self, state: State, logits: Tensor, drawn: Tensor, tokens: TokenMap
    ) -> tuple[Tensor, Tensor]:
        """``(B, L)`` bool each: open positions to decide, decided ones to mask again."""
        log_p = logits.float().masked_fill(~tokens.allowed, -torch.inf).log_softmax(dim=-1)
        shown = torch.where(state.open, drawn, state.ids)
        sure = log_p.gather(-1, shown.unsqueeze(-1)).squeeze(-1).masked_fill(~state.free, torch.inf)
        rank = sure.argsort(dim=-1, stable=True).argsort(dim=-1)
        n_free = state.free.sum(dim=-1, keepdim=True)
        masked = state.free & (rank < n_free * (self.steps - state.step - 1) // self.steps)
        return state.open & ~masked, ~state.open & masked

    def _coins(self, state: State) -> tuple[Tensor, Tensor]:
        """``(B, L)`` bool each: open positions to decide, decided ones to mask again."""
        before, after = state.step / self.steps, (state.step + 1) / self.steps  # shares decided
        back = self.remask * min(1.0, (1 - after) / before) if state.step else 0.0
        decide = (after - (1 - back) * before) / (1 - before)
        coin = state.uniform()
        return state.open & (coin < decide), state.free & ~state.open & (coin < back)


def soonest(state: State, steps: int) -> tuple[Tensor, Tensor]:
    """The open positions that the ancestral order decides next.

    Each position has its step, drawn uniformly at the first call; every row goes on to the
    next step at which it has something to decide.

    Args:
        state: draws from its generators if ``due`` is ``None``.
        steps: >= 1.

    Returns:
        ``(B, L)`` int64 step of each position in [0, ``steps``), and ``(B, L)`` bool, true
        where to decide now.
    """
    due = (state.uniform() * steps).long() if state.due is None else state.due
    first = due.masked_fill(~state.open, steps).amin(dim=1, keepdim=True)
    return due, state.open & (due == first)


def check_settings(steps: int, temperature: float, top_p: float) -> None:
    """Check what all samplers have in common.

    Raises:
        SettingError: a value is out of its range.
    """
    if steps < 1:
        raise SettingError(f"steps must be >= 1, got {steps}")
    if not 0 <= temperature < math.inf:
        raise SettingError(f"temperature must be >= 0 and finite, got {temperature}")
    if not 0 < top_p <= 1:
        raise SettingError(f"top_p must be in (0, 1], got {top_p}")
