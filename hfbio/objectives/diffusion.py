"""Absorbing-state discrete diffusion in continuous time. Walking back is the samplers' work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from hfbio.data.encode import IGNORE, Corrupted, Example
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class Diffusion:
    """Hide a share ``t`` of the residues, with ``t`` uniform on (0, 1], predict them all.

    Each residue turns into the mask token with probability ``t``, independently. With the
    linear schedule the negative evidence lower bound of a chain of ``n`` residues is

        E_t [ 1/t * sum over hidden residues of -ln p(residue | shown) ]

    so each hidden residue weighs ``1/t`` and the sum is divided by ``n``: the loss is an upper
    bound on nats per residue (Sahoo et al. 2024, "Simple and effective masked diffusion
    language models", equation 10 with alpha_t = 1 - t; the same bound is in Shi et al. 2024).

    Data: any chain; needs a mask token. Relation: ``mlm`` is one fixed ``t``.
    """

    kind: Literal["diffusion"] = "diffusion"
    min_t: float = 0.02  # smallest share, in (0, 1): bounds the weight 1/t

    def __post_init__(self) -> None:
        if not 0 < self.min_t < 1:
            raise ValueError(f"min_t must be in (0, 1), got {self.min_t}")

    def corrupt(self, example: Example, tokens: TokenMap, rng: torch.Generator) -> Corrupted:
        """Draw ``t``, hide residues. A chain in which none was hidden adds 0 nats, as it must."""
        at = example.residues
        t = self.min_t + (1 - self.min_t) * torch.rand((), generator=rng).item()
        hidden = at[torch.rand(len(at), generator=rng) < t]
        input_ids = example.input_ids.clone()
        input_ids[hidden] = tokens.require_mask()
        labels = torch.full_like(input_ids, IGNORE)
        labels[hidden] = example.input_ids[hidden]
        weights = torch.full((len(input_ids),), 1 / t)
        return Corrupted(input_ids, labels, weights, denominator=float(len(at)))
