"""Walk forward from the germline by mutation. Never sees a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hfbio.sample.draw import Choose, draw
from hfbio.sample.state import Sampler, State
from hfbio.sample.unmask import check_settings, soonest
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class GermlineWalk(Sampler):
    """Decide the open positions of a block, which show their germline, in ``steps`` passes.

    The reverse process of the ``germline`` objective with equal time steps: each position is
    decided at a step drawn beforehand, uniformly and independently, as in the ancestral order of
    `Unmask` (Sahoo et al. 2024, section 3.2.2). Until then it shows its germline residue, or
    the mask token where it has none; decided, it may show the same residue, which the network
    cannot tell apart, here as in training. A position is decided once: it mutates at most once.

    Whether a residue mutates is always drawn with the model's own probability; ``temperature``
    and ``top_p`` shape what it mutates to. Most residues keep their germline with a probability
    above 0.9: a nucleus over all 20 would never mutate them. Positions without a germline residue
    are drawn as `Unmask` draws them. Templates without any give its designs.

    The network is not told ``t`` either; masks, where there are any, hint at it. Where chains
    differ in how much they are mutated, even the best network then lets walks differ less, and
    mutate a little too seldom.
    """

    kind: Literal["germline_walk"] = "germline_walk"
    steps: int = 32  # network passes, >= 1; more steps let mutations see more of each other
    temperature: float = 1.0  # >= 0, finite; below 1 sharpens, 0 takes the most likely mutation
    top_p: float = 1.0  # probability mass kept of the possible mutations, in (0, 1]

    def __post_init__(self) -> None:
        check_settings(self.steps, self.temperature, self.top_p)

    def passes(self, n_residues: int) -> int:
        """The most network passes that designs of ``n_residues`` can take."""
        return self.steps

    def chooser(self, state: State, logits: Tensor) -> Choose:
        """How open residues are drawn: whether they mutate first, then what to."""
        uniform = state.uniform()

        def choose(where: Any, allowed: Tensor) -> Tensor:
            return self._draw(logits[where], state.germline[where], uniform[where], allowed)

        return choose

    def step(self, state: State, logits: Tensor, tokens: TokenMap) -> State:
        """Decide some open positions; the rest of ``ids`` is returned as it was."""
        choose = self.chooser(state, logits)
        drawn = choose(..., tokens.allowed)
        due, chosen = soonest(state, self.steps)
        return state.decide(chosen, state.lawful(chosen, drawn, choose, tokens), due)

    def done(self, state: State) -> bool:
        """All steps are taken, or nothing is open."""
        return state.step >= self.steps or not bool(state.open.any())

    def _draw(self, logits: Tensor, germline: Tensor, uniform: Tensor, allowed: Tensor) -> Tensor:
        """``(...)`` ids of ``(..., V)`` logits; ``germline`` and ``uniform`` are ``(...)``.

        One number a position decides both whether and what to mutate to. A second number for some
        rows would move the stream of the others of their block.
        """
        aligned = (germline >= 0).unsqueeze(-1)
        own = F.one_hot(germline.clamp(min=0), logits.shape[-1]).bool() & aligned  # (..., V)
        p = logits.float().masked_fill(~allowed, -torch.inf).softmax(dim=-1)
        stay = (p * own).sum(dim=-1)  # 0 where there is no germline residue, or it is forbidden
        stays = uniform < stay
        # Given that it is at least `stay`, the number is uniform on [stay, 1).
        rest = ((uniform - stay) / (1 - stay)).masked_fill(stays, 0.0)
        others = allowed & ~own
        # Where rules leave the germline alone it stays, and any draw will do.
        others = torch.where(others.any(dim=-1, keepdim=True), others, allowed)
        drawn = draw(logits, rest, allowed=others, temperature=self.temperature, top_p=self.top_p)
        return torch.where(stays, germline, drawn)
