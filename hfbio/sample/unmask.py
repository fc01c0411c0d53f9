"""Walk back from masks to residues in small steps. Never sees a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hfbio.errors import SettingError
from hfbio.sample.draw import draw
from hfbio.sample.state import Rules, State, Template, begin
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class Unmask:
    """Decide the open positions of a block in ``steps`` passes of the network.

    ``ancestral``: each position is decided at a step drawn beforehand, uniformly and
    independently. That is the reverse process of the ``diffusion`` objective with equal time
    steps (Sahoo et al. 2024, section 3.2.2: with ``k`` steps left, each open position with
    probability 1/k). Steps at which a chain has nothing to decide cost no pass.

    ``entropy``: with ``k`` steps left the ``ceil(open / k)`` positions whose distribution has
    the least entropy are decided, so that the model's doubt comes last (Chang et al. 2022,
    MaskGIT, section 3.2, with entropy for confidence and a linear schedule).
    """

    causal: ClassVar[bool] = False

    kind: Literal["unmask"] = "unmask"
    order: Literal["ancestral", "entropy"] = "ancestral"
    steps: int = 32  # network passes, >= 1; more steps let residues see more of each other
    temperature: float = 1.0  # >= 0, finite; below 1 sharpens, 0 takes the most likely residue
    top_p: float = 1.0  # probability mass kept at each position, in (0, 1]

    def __post_init__(self) -> None:
        if self.order not in ("ancestral", "entropy"):
            raise SettingError(f"order must be 'ancestral' or 'entropy', got {self.order!r}")
        check_settings(self.steps, self.temperature, self.top_p)

    def passes(self, n_residues: int) -> int:
        """The most network passes that designs of ``n_residues`` can take."""
        return self.steps

    def begin(
        self,
        templates: Sequence[Template],
        rngs: Sequence[torch.Generator],
        tokens: TokenMap,
        rules: Rules | None = None,
    ) -> State:
        """Masks at every free residue; see `state.begin`."""
        return begin(templates, rngs, tokens, rules)

    def step(self, state: State, logits: Tensor, tokens: TokenMap) -> State:
        """Decide some open positions; the rest of ``ids`` is returned as it was.

        Raises:
            ValueError: an open position shows a germline residue in place of a mask.
        """
        if (state.open & (state.germline >= 0)).any():
            raise ValueError(
                "unmask starts from masks, and a template shows its germline at free residues; "
                "use the sampler germline_walk, or a template without germline"
            )
        drawn = draw(
            logits,
            state.uniform(),
            allowed=tokens.allowed,
            temperature=self.temperature,
            top_p=self.top_p,
        )
        if self.order == "ancestral":
            due, chosen = soonest(state, self.steps)
        else:
            due, chosen = None, self._least_entropy(state, logits, tokens)
        return state.decide(chosen, drawn, due)

    def done(self, state: State) -> bool:
        """All steps are taken, or nothing is open."""
        return state.step >= self.steps or not bool(state.open.any())

    def _least_entropy(self, state: State, logits: Tensor, tokens: TokenMap) -> Tensor:
        log_p = logits.float().masked_fill(~tokens.allowed, -torch.inf).log_softmax(dim=-1)
        entropy = -(log_p.exp() * log_p.clamp(min=-1e4)).sum(dim=-1)  # (B, L), in nats
        rank = entropy.masked_fill(~state.open, torch.inf).argsort(dim=-1).argsort(dim=-1)
        n_open = state.open.sum(dim=-1, keepdim=True)
        # Equal shares of what is left: ceil(open / steps left); the last step takes all.
        n_chosen = -(-n_open // (self.steps - state.step))
        return state.open & (rank < n_chosen)


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
