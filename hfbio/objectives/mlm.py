"""Masked language modelling. Does not choose which chains are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from hfbio.data.encode import IGNORE, Corrupted, Example
from hfbio.record import REGIONS
from hfbio.tokens import TokenMap

_CDRS = torch.tensor([name.startswith("cdr") for name in REGIONS])


@dataclass(frozen=True)
class MaskedLM:
    """Hide some residues, predict them (Devlin et al. 2019, section 3.1).

    Of the hidden residues 80 % become the mask token, 10 % a random residue (never a special
    token), 10 % stay as they are; all of them are scored. The loss is the mean nats of the
    scored residues.

    Data: any chain; needs a mask token. ``cdr_weight`` needs numbered chains,
    ``non_germline_weight`` a germline alignment: a residue without one weighs as if it were
    germline. Where both weights apply they multiply.
    Relation: ``diffusion`` is this with a mask share drawn anew for each chain and no
    replacements; use it when you want to sample from a blank.
    """

    kind: Literal["mlm"] = "mlm"
    fraction: float = 0.15  # of residues hidden, in (0, 1]; special tokens are never hidden
    cdr_weight: float = 1.0  # > 1 hides CDR residues more often; the total stays `fraction`
    non_germline_weight: float = 1.0  # > 1 hides residues other than their germline more often
    random_fraction: float = 0.1  # of hidden residues shown as a random residue
    keep_fraction: float = 0.1  # of hidden residues shown unchanged

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {self.fraction}")
        for name in ("cdr_weight", "non_germline_weight"):
            if not 0 < (weight := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be > 0 and finite, got {weight}")
        if not (
            self.random_fraction >= 0
            and self.keep_fraction >= 0
            and self.random_fraction + self.keep_fraction <= 1
        ):
            raise ValueError(
                "random_fraction and keep_fraction must be >= 0 and sum to at most 1, got "
                f"{self.random_fraction} and {self.keep_fraction}"
            )

    def corrupt(self, example: Example, tokens: TokenMap, rng: torch.Generator) -> Corrupted:
        """Hide ``round(fraction * n)`` of the ``n`` residues, at least one.

        A fixed number rather than a coin per residue: same expectation, less variance.
        """
        at = example.residues
        n_hidden = max(1, round(self.fraction * len(at)))
        preference = torch.ones(len(at))
        preference[_CDRS[example.region_ids[at]]] = self.cdr_weight
        germline = example.germline_ids[at]
        mutated = (germline >= 0) & (germline != example.input_ids[at])
        preference[mutated] *= self.non_germline_weight
        hidden = at[torch.multinomial(preference, n_hidden, generator=rng)]

        dice = torch.rand(n_hidden, generator=rng)
        replacement = torch.tensor(tokens.residue_ids)[
            torch.randint(len(tokens.residue_ids), (n_hidden,), generator=rng)
        ]
        shown = torch.where(dice < self.random_fraction, replacement, tokens.require_mask())
        shown = torch.where(dice >= 1 - self.keep_fraction, example.input_ids[hidden], shown)

        input_ids = example.input_ids.clone()
        input_ids[hidden] = shown
        labels = torch.full_like(input_ids, IGNORE)
        labels[hidden] = example.input_ids[hidden]
        weights = torch.ones(len(input_ids))
        return Corrupted(input_ids, labels, weights, denominator=float(n_hidden))
