"""What a sampler works on: a block of partly decided sequences. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.data.encode import pad
from hfbio.errors import SettingError
from hfbio.sample.draw import Choose
from hfbio.sample.rules import Rules
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class Template:
    """One design before it is made: prefix tokens, residues, and which residues are free.

    ``residue_ids`` holds the frozen residues; what stands at free positions does not matter.
    Until it is decided, a free residue shows its ``germline`` residue, or the mask token where
    that is -1. A sampler that walks from chain to chain shows ``start`` there instead.
    """

    prefix: tuple[int, ...]
    residue_ids: Tensor  # (n,) int64
    free: Tensor  # (n,) bool
    germline: Tensor | None = None  # (n,) int64 residue ids, -1 where there is none; all -1 if None
    start: Tensor | None = None  # (n,) int64 residue ids; only those at free residues matter

    def written(self, row: Tensor, tokens: TokenMap) -> Tensor:
        """``(n,)`` residue ids of a ``(L,)`` row that started from this template."""
        start = len(self.prefix)
        return row[start : start + len(self.residue_ids)]

    def chain(self, written: Tensor, tokens: TokenMap) -> Tensor:
        """The chain that ``written`` belongs to: itself."""
        return written

    def designed(self, written: Tensor, tokens: TokenMap) -> Tensor:
        """``(n,)`` bool, true at the residues of the chain that were free."""
        return self.free


@dataclass(frozen=True)
class State:
    """A block of ``B`` sequences padded to ``L`` tokens; ``step`` counts finished steps."""

    ids: Tensor  # (B, L) int64; the germline residue or mask token at open positions
    open: Tensor  # (B, L) bool; residues not decided yet
    free: Tensor  # (B, L) bool; what was open at the start: no other position ever changes
    attention_mask: Tensor  # (B, L) int64
    germline: Tensor  # (B, L) int64; what open positions show, -1 for the mask token
    rngs: tuple[torch.Generator, ...]  # one per row, so that a row never depends on its block
    step: int = 0
    due: Tensor | None = None  # (B, L) int64; when each residue is decided, if that is settled
    rules: Rules | None = None  # what may not be drawn
    designs: tuple[int, ...] = ()  # which design each row belongs to; of a guide several rows do

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
        taken: dict[str, Any] = {k: v[rows] for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **taken)

    def reopen(self, positions: Tensor, mask_id: int) -> State:
        """The ``(B, L)`` ``positions``, free ones, show the mask again and are open."""
        ids = self.ids.masked_fill(positions, mask_id)
        return replace(self, ids=ids, open=self.open | positions)

    def lawful(self, chosen: Tensor, drawn: Tensor, choose: Choose, tokens: TokenMap) -> Tensor:
        """``drawn``, with the ``chosen`` positions drawn again where the rules forbid a residue.

        Two positions of one step may complete a motif together, so they are decided one after
        another along the chain, each from the residues that those before it leave: an exact draw
        from the conditional distributions under the rules. Where they leave none, ``drawn`` stays
        and `Rules.broken` will tell. Without rules ``drawn`` is returned, at no cost.

        Args:
            chosen: ``(B, L)`` bool, open positions.
            drawn: ``(B, L)`` int64, what would be drawn without rules.
            choose: draws with the same random numbers as for ``drawn``.
            tokens: what ids mean.
        """
        if self.rules is None:
            return drawn
        drawn = drawn.clone()
        chains = _indices(self.ids, tokens).masked_fill(self.open, -1).tolist()
        residue_ids = torch.tensor(tokens.residue_ids)
        for row, at in chosen.nonzero().tolist():  # row by row, first to last position
            allowed = self.rules.allowed(chains[row], at)
            if allowed.any() and not allowed.all():
                mask = torch.zeros_like(tokens.allowed)
                mask[residue_ids[allowed]] = True
                drawn[row, at] = choose((row, at), mask)
            chains[row][at] = tokens.residue_ids.index(int(drawn[row, at]))
        return drawn

    def uniform(self) -> Tensor:
        """``(B, L)`` float32 in [0, 1): every row from its own generator, 0 at its padding.

        A row draws as many numbers as it has tokens: how far its block is padded must not move
        its stream.
        """
        lengths = self.attention_mask.sum(dim=1).tolist()
        return pad([torch.rand(n, generator=rng) for n, rng in zip(lengths, self.rngs)], 0.0)


class Sampler(Protocol):
    """A way to decide the open positions, as a frozen dataclass that never sees a model."""

    causal: ClassVar[bool] = False  # for models that see what stands before a position alone

    @property
    def looks_back(self) -> bool:
        """Whether a row with nothing open may go on."""
        return False

    def begin(
        self,
        templates: Sequence[Template],
        rngs: Sequence[torch.Generator],
        tokens: TokenMap,
        rules: Rules | None = None,
    ) -> State:
        """What the network is shown first: `begin`."""
        return begin(templates, rngs, tokens, rules)

    def chooser(self, state: State, logits: Tensor) -> Choose:
        """How residues are drawn from ``(B, L, V)`` logits; takes numbers from the generators."""
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
    """Lay out a block: prefix, residues with germline or mask where free, stop token, padding.

    Raises:
        SettingError: the rules and the frozen residues leave a free one nothing to be.
    """
    rows, opens, germlines = [], [], []
    for template in templates:
        if rules is not None:
            _require_room(template, rules, tokens)
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
        free=pad(opens, False),
        attention_mask=pad([torch.ones_like(row) for row in rows], 0),
        germline=pad(germlines, -1),
        rngs=tuple(rngs),
        rules=rules,
    )


def _indices(ids: Tensor, tokens: TokenMap) -> Tensor:
    """Indices into the alphabet, in the shape of ``ids``; -1 where there is no residue."""
    index = torch.full((tokens.vocab_size,), -1)
    index[list(tokens.residue_ids)] = torch.arange(len(RESIDUES))
    return index[ids]


def _require_room(template: Template, rules: Rules, tokens: TokenMap) -> None:
    # What stands at free positions may be any id, or none.
    frozen = template.residue_ids.masked_fill(template.free, tokens.pad_id)
    chain = _indices(frozen, tokens).tolist()
    for at in template.free.nonzero().flatten().tolist():
        if not rules.allowed(chain, at).any():
            raise SettingError(
                f"residue {at + 1} is to be designed, and the rules leave it no residue beside its "
                "frozen neighbours; free one of them, or drop a rule"
            )
