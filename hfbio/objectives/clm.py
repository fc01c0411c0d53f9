"""Next-token prediction. Drawing the next token is the samplers' work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from hfbio.data.encode import IGNORE, Corrupted, Example
from hfbio.errors import SettingError
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class CausalLM:
    """Predict each residue from those before it, and where the chain ends.

    By the chain rule the sum over a chain is ``-ln p(chain)``, its end included: an exact
    likelihood, where ``diffusion`` has a bound. Condition tags stand in front and are given.

    ``reverse`` learns chains from their last residue to their first: the tokens of a chain as a
    whole turn round, so that it begins with the stop token and ends with the start token.
    ``both`` tosses a coin for each chain; which token comes first tells the model which way it
    goes (the scheme of ProGen2, Nijkamp et al. 2023, section 2).

    Data: any chain. Needs a causal model.
    Relation: ``infill`` is this for chains with gaps; ``diffusion`` predicts in any order.
    """

    kind: Literal["clm"] = "clm"
    direction: Literal["forward", "reverse", "both"] = "forward"

    def __post_init__(self) -> None:
        if self.direction not in ("forward", "reverse", "both"):
            raise SettingError(
                f"direction must be forward, reverse or both, got {self.direction!r}"
            )

    def corrupt(self, example: Example, tokens: TokenMap, rng: torch.Generator) -> Corrupted:
        """Nothing is hidden; the label of each position is the token after it."""
        reverse = self.direction == "reverse"
        if self.direction == "both":
            reverse = bool(torch.rand((), generator=rng) < 0.5)
        input_ids = turn_round(example, tokens) if reverse else example.input_ids
        return next_tokens(input_ids, given=int(example.residues[0]))


def turn_round(example: Example, tokens: TokenMap) -> torch.Tensor:
    """``(L,)`` ids of the chain from last residue to first, stop token before the tags.

    Tags stay in front and in their order. Where one token holds all tags and the start token
    (`hfbio.tokens.Tags`, style composite), it stays as it is: then the direction does not show,
    and ``both`` is refused.

    Raises:
        SettingError: a chain that does not begin with the start token.
    """
    ids, first = example.input_ids, int(example.residues[0])
    if ids[0] != tokens.start_id:
        raise SettingError("reversed chains need a start token, which composite tags replace")
    ends = torch.tensor([tokens.stop_id]), torch.tensor([tokens.start_id])
    return torch.cat([ends[0], ids[1:first], ids[first:-1].flip(0), ends[1]])


def next_tokens(
    input_ids: torch.Tensor, given: int, unscored: torch.Tensor | None = None
) -> Corrupted:
    """Each token from position ``given`` on as the label of the one before it.

    Args:
        input_ids: ``(L,)`` int64.
        given: > 0, number of tokens in front that nobody has to predict.
        unscored: ``(L,)`` bool, further tokens that nobody has to predict.
    """
    wanted = input_ids.clone()
    wanted[:given] = IGNORE
    if unscored is not None:
        wanted[unscored] = IGNORE
    labels = torch.cat([wanted[1:], torch.tensor([IGNORE])])
    n_scored = int((labels != IGNORE).sum())
    return Corrupted(input_ids, labels, torch.ones(len(labels)), denominator=float(n_scored))
