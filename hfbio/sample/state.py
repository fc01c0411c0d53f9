"""What a sampler works on: a block of partly decided sequences. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from hfbio.data.encode import pad
from hfbio.tokens import TokenMap


class Rules(Protocol):
    """What may not be drawn."""

    def allowed(self, residues: Sequence[int], at: int) -> Tensor:
        """The residues that may stand at ``at``, as ``(20,)`` bool in the order of the alphabet.

        Args:
            residues: the whole chain as indices into `alphabet.RESIDUES`; -1 where nothing is
                decided.
            at: a place in ``residues``; what stands there does not matter.
        """
        ...


@dataclass(frozen=True)
class Template:
    """One design before it is made: prefix tokens, residues, and which residues are free.

    ``residue_ids`` holds the frozen residues; what stands at free positions does not matter.
    Until it is decided, a free residue shows its ``germline`` residue, or the mask token where
    that is -1.
    """

    prefix: tuple[int, ...]
    residue_ids: Tensor  # (n,) int64
    free: Tensor  # (n,) bool
    germline: Tensor | None = None  # (n,) int64 residue ids, -1 where there is none; all -1 if None

    def written(self, row: Tensor, tokens: TokenMap) -> Tensor:
        """``(n,)`` residue ids of a ``(L,)`` row that started from this template."""
        start = len(self.prefix)
        return row[start : start + len(self.residue_ids)]

    def chain(self, written: Tensor, tokens: TokenMap) -> Tensor:
        """The chain that ``written`` belongs to: itself."""
        return written


@dataclass(frozen=True)
class State:
    """A block of ``B`` sequences padded to ``L`` tokens; ``step`` counts finished steps."""

    ids: Tensor  # (B, L) int64; the germline residue or mask token at open positions
    open: Tensor  # (B, L) bool; residues not decided yet
    attention_mask: Tensor  # (B, L) int64
    germline: Tensor  # (B, L) int64; what open positions show, -1 for the mask token
    rngs: tuple[torch.Generator, ...]  # one per row, so that a row never depends on its block
    step: int = 0
    due: Tensor | None = None  # (B, L) int64; when each residue is decided, if that is settled
    rules: Rules | None = None  # what may not be drawn

    def decide(self, chosen: Tensor, drawn: Tensor, due: Tensor | None) -> State:
        """One step on: ``drawn`` stands at the ``(B, L)`` ``chosen`` positions, for good."""
        return replace(
            self,
            ids=torch.where(chosen, drawn, self.ids),
            open=self.open & ~chosen,
            step=self.step + 1,
            due=due,
        )

    def take(self, rows: Tensor) -> State:
        """The block with the sequences ``rows``, ``(B,)`` int64; each place keeps its generator."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[rows] for k, v in values.items() if isinstance(v, Tensor)})

    def uniform(self) -> Tensor:
        """``(B, L)`` float32 in [0, 1): every row from its own generator, 0 at its padding.

        A row draws as many numbers as it has tokens: how far its block is padded must not move
        its stream.
        """
        lengths = self.attention_mask.sum(dim=1).tolist()
        return pad([torch.rand(n, generator=rng) for n, rng in zip(lengths, self.rngs)], 0.0)


class Sampler(Protocol):
    """A way to decide the open positions, as a frozen dataclass that never sees a model."""

    causal: ClassVar[bool]  # for models that see what stands before a position alone

    def begin(
        self,
        templates: Sequence[Template],
        rngs: Sequence[torch.Generator],
        tokens: TokenMap,
        rules: Rules | None = None,
    ) -> State:
        """What the network is shown first."""
        ...

    def step(self, state: State, logits: Tensor, tokens: TokenMap) -> State:
        """Decide some open positions from ``(B, L, V)`` logits; frozen ones never change."""
        ...

    def done(self, state: State) -> bool:
        """Whether the block needs no further step."""
        ...


def begin(
    templates: Sequence[Template],
    rngs: Sequence[torch.Generator],
    tokens: TokenMap,
    rules: Rules | None = None,
) -> State:
    """Lay out a block: prefix, residues with germline or mask where free, stop token, padding."""
    rows, opens, germlines = [], [], []
    for template in templates:
        front = torch.tensor(template.prefix, dtype=torch.int64)
        germline = template.germline
        if germline is None:
            germline = torch.full_like(template.residue_ids, -1)
        blank = torch.where(germline >= 0, germline, tokens.require_mask())
        body = torch.where(template.free, blank, template.residue_ids)
        rows.append(torch.cat([front, body, torch.tensor([tokens.stop_id])]))
        fixed = torch.zeros(len(front), dtype=torch.bool)
        opens.append(torch.cat([fixed, template.free, torch.tensor([False])]))
        none = torch.full_like(front, -1)
        germlines.append(torch.cat([none, germline, torch.tensor([-1])]))
    return State(
        ids=pad(rows, tokens.pad_id),
        open=pad(opens, False),
        attention_mask=pad([torch.ones_like(row) for row in rows], 0),
        germline=pad(germlines, -1),
        rngs=tuple(rngs),
        rules=rules,
    )
