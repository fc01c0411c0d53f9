"""Absorbing-state diffusion back to the germline. Walking forward from it is a sampler's work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from hfbio.data.encode import IGNORE, Corrupted, Example
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class GermlineDiffusion:
    """Turn a share ``t`` of the residues back into their germline, predict what they were.

    Each residue turns into its absorbing state with probability ``t``, independently, ``t``
    uniform on (0, 1]. That state is the germline residue aligned to it, and the mask token
    where there is none (N and D regions), as in ``diffusion``. Nothing shows whether a germline
    residue is absorbed or true; so all that show their absorbing state are predicted.

    Given the germline, this is masked diffusion whose network cannot see all masks. The bound of
    ``diffusion`` holds for every network, so for this one too:

        E_t [ 1/t * sum over absorbed residues of -ln p(residue | shown) ]

    A residue that equals its germline is absorbed with probability ``t`` and looks the same if
    not. The average over that coin, given all else, is ``t * 1/t = 1``, which leaves

        E_t [   1/t * sum over absorbed residues other than their germline, or without one
              +   1 * sum over residues that equal their germline ]   of -ln p(residue | shown)

    divided by the ``n`` residues. At ``t = 1`` all weights are 1. Scoring the absorbed alone
    has the same expectation and more variance. A weight of ``1/t`` for all would not: the
    optimum for independent residues would then hold mutations ``ln(1/min_t) / (1 - min_t)``
    times too rare (in odds; 4.0 at the default).

    The loss bounds nats per residue *given the germline*: of the sampler ``germline_walk`` with
    many steps, and not comparable with the loss of ``diffusion``.

    Data: chains with a germline alignment; needs a mask token. A chain without any is corrupted
    and weighted exactly as by ``diffusion``.

    Source:
        The idea: Sanders et al. 2026, arXiv:2605.06720, abstract. The bound: Sahoo et al. 2024,
        equation 10 with alpha_t = 1 - t. The second form is derived here, by averaging over
        one coin (Rao-Blackwell); the tests compare it with all orders of absorption.
    """

    kind: Literal["germline"] = "germline"
    min_t: float = 0.02  # smallest share, in (0, 1): bounds the weight 1/t

    def __post_init__(self) -> None:
        if not 0 < self.min_t < 1:
            raise ValueError(f"min_t must be in (0, 1), got {self.min_t}")

    def corrupt(self, example: Example, tokens: TokenMap, rng: torch.Generator) -> Corrupted:
        """Draw ``t``, absorb residues. The numbers drawn are those that ``diffusion`` draws."""
        at = example.residues
        t = self.min_t + (1 - self.min_t) * torch.rand((), generator=rng).item()
        absorbed = torch.rand(len(at), generator=rng) < t
        truth, germline = example.input_ids[at], example.germline_ids[at]
        unmutated = truth == germline
        scored = absorbed | unmutated

        input_ids = example.input_ids.clone()
        shown = torch.where(germline >= 0, germline, tokens.require_mask())
        input_ids[at[absorbed]] = shown[absorbed]
        labels = torch.full_like(input_ids, IGNORE)
        labels[at[scored]] = truth[scored]
        weights = torch.full((len(input_ids),), 1 / t)
        weights[at[unmutated]] = 1.0
        return Corrupted(input_ids, labels, weights, denominator=float(len(at)))
