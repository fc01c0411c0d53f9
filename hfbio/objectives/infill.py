"""Filling gaps of any length with a causal model. Drawing what fills them is the samplers' work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import torch
from torch import Tensor

from hfbio.data.encode import Corrupted, Example
from hfbio.errors import SettingError
from hfbio.objectives.clm import next_tokens
from hfbio.record import REGIONS
from hfbio.tokens import TokenMap

_CDRS: Final = torch.tensor([name.startswith("cdr") for name in REGIONS])
Span = tuple[int, int]
"""First token of a gap, and the first one after it."""


@dataclass(frozen=True)
class Infill:
    """Cut spans out of a chain, and predict them behind it.

        start tags A <mask> B <mask> C <sep> span <sep> span stop

    One mask token stands for a span of any length, so the model chooses the length itself.
    (Shuai, Ruffolo and Gray 2023, IgLM, after Donahue, Lee and Liang 2020, "Enabling language
    models to fill in the blanks"; there one span, ended by another token.) Every residue is
    predicted once: those around the gaps from what stands before them, those in the gaps from the
    whole rest as well. Masks are given.

    A share ``whole`` of the chains has no gap and no separator, as in ``clm``, so that one model
    writes new chains and fills gaps. Other chains have one to ``max_spans`` gaps. A gap is a whole
    region with probability ``by_region``, else up to ``longest`` residues anywhere. Gaps that
    touch become one.

    Data: any chain; ``by_region`` needs numbered chains, all of a protein is one region. Needs a
    causal model whose tokenizer has a mask and a separator token.
    Relation: ``whole = 1`` is ``clm``.
    """

    kind: Literal["infill"] = "infill"
    whole: float = 0.25  # share of chains without gaps, in [0, 1]
    by_region: float = 0.5  # share of gaps that are a region, in [0, 1]
    cdr_weight: float = 3.0  # > 0; how much more often a region is a CDR than a framework
    max_spans: int = 3  # gaps of one chain, >= 1; their number is drawn evenly
    longest: int = 24  # residues of a gap that is no region, >= 1; its length is drawn evenly

    def __post_init__(self) -> None:
        for name in ("whole", "by_region"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise SettingError(f"{name} must be in [0, 1], got {share}")
        if not 0 < self.cdr_weight < math.inf:
            raise SettingError(f"cdr_weight must be > 0 and finite, got {self.cdr_weight}")
        for name in ("max_spans", "longest"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be >= 1, got {getattr(self, name)}")

    def corrupt(self, example: Example, tokens: TokenMap, rng: torch.Generator) -> Corrupted:
        """Draw gaps, move what was in them behind the separator."""
        if torch.rand((), generator=rng) < self.whole:
            return next_tokens(example.input_ids, given=int(example.residues[0]))
        return cut_out(example, self._spans(example, rng), tokens)

    def _spans(self, example: Example, rng: torch.Generator) -> list[Span]:
        regions = runs(example)
        weights = torch.tensor(
            [
                self.cdr_weight if bool(_CDRS[example.region_ids[start]]) else 1.0
                for start, _ in regions
            ]
        )
        found = []
        for _ in range(int(torch.randint(1, self.max_spans + 1, (), generator=rng))):
            if torch.rand((), generator=rng) < self.by_region:
                found.append(regions[int(torch.multinomial(weights, 1, generator=rng))])
            else:
                found.append(self._anywhere(example, rng))
        return _joined(found)

    def _anywhere(self, example: Example, rng: torch.Generator) -> Span:
        """Residues of one chain: a gap never reaches over a separator of two chains."""
        at = example.residues
        start = int(torch.randint(len(at), (), generator=rng))
        n = int(torch.randint(1, self.longest + 1, (), generator=rng))
        stop = start + 1
        while stop < min(start + n, len(at)) and at[stop] == at[stop - 1] + 1:
            stop += 1
        return int(at[start]), int(at[stop - 1]) + 1


def runs(example: Example) -> list[Span]:
    """The regions of a chain as spans of tokens, in order; empty regions are left out."""
    ids = torch.cat([torch.tensor([-1]), example.region_ids, torch.tensor([-1])])
    edges = ((ids[1:] != ids[:-1]).nonzero().squeeze(1)).tolist()
    return [(a, b) for a, b in pairwise(edges) if example.region_ids[a] >= 0]


def cut_out(example: Example, spans: list[Span], tokens: TokenMap) -> Corrupted:
    """The chain with ``spans`` behind it, every residue scored once.

    Args:
        example: one chain.
        spans: ordered, not touching each other, residues alone; at least one.
        tokens: needs mask and separator.

    Raises:
        SettingError: the tokenizer has no mask or no separator token.
    """
    ids = example.input_ids
    mask, sep = torch.tensor([tokens.require_mask()]), torch.tensor([tokens.require_separator()])
    shown: list[Tensor] = []
    behind: list[Tensor] = []
    last = 0
    for start, stop in spans:
        shown += [ids[last:start], mask]
        behind += [sep, ids[start:stop]]
        last = stop
    input_ids = torch.cat([*shown, ids[last:-1], *behind, ids[-1:]])
    # A mask in the place of the first residue is given like all masks.
    given = int(example.residues[0])
    return next_tokens(input_ids, given, unscored=input_ids == mask)


def _joined(spans: list[Span]) -> list[Span]:
    """In order, with spans that touch or overlap made one."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found
