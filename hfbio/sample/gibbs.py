"""Walk from chain to chain, hiding few residues at a time. Never sees a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hfbio.errors import SettingError
from hfbio.sample.draw import Choose, chooser
from hfbio.sample.rules import Rules
from hfbio.sample.state import Sampler, State, Template, begin
from hfbio.sample.unmask import check_settings
from hfbio.tokens import TokenMap


@dataclass(frozen=True)
class Gibbs(Sampler):
    """Redraw every free residue of a chain ``sweeps`` times, each given all the others.

    A sweep hides ``block`` residues at a time, in an order drawn for it, and draws them from the
    model's distributions (Geman and Geman 1984; Wang and Cho 2019 for masked models).
    If those are the conditionals of one joint distribution, and one residue is hidden at a time,
    it is that from which chains come in the end, however they start. Masked models only come near
    this, and residues hidden together are drawn as if they did not know of each other.

    Few sweeps stay near the start: use it to vary a chain, `Unmask` to make one.
    """

    kind: Literal["gibbs"] = "gibbs"
    sweeps: int = 4  # times that each free residue is redrawn, >= 1; a network pass per block
    block: int = 1  # residues hidden at a time, >= 1; more is faster and less exact
    temperature: float = 1.0  # >= 0, finite; below 1 sharpens, 0 takes the most likely residue
    top_p: float = 1.0  # probability mass kept at each position, in (0, 1]

    def __post_init__(self) -> None:
        for name, value in (("sweeps", self.sweeps), ("block", self.block)):
            if value < 1:
                raise SettingError(f"{name} must be >= 1, got {value}")
        check_settings(1, self.temperature, self.top_p)

    def passes(self, n_residues: int) -> int:
        """The most network passes that designs of ``n_residues`` can take."""
        return self.sweeps * -(-n_residues // self.block)

    def begin(
        self,
        templates: Sequence[Template],
        rngs: Sequence[torch.Generator],
        tokens: TokenMap,
        rules: Rules | None = None,
    ) -> State:
        """The starts of the templates, with the first residues to redraw hidden.

        Raises:
            SettingError: a template has free residues and no start, or the rules leave nothing.
        """
        state = begin(templates, rngs, tokens, rules)
        starts = []
        for template in templates:
            start = template.start
            if start is None:
                start = torch.full_like(template.residue_ids, tokens.pad_id)
            starts.append(start[template.free])
            if not tokens.allowed[starts[-1]].all():
                raise SettingError(
                    "gibbs walks on from a chain, and this one starts with blanks; give every "
                    "residue to design a residue to start from, or use the sampler unmask"
                )
        ids = state.ids.masked_scatter(state.free, torch.cat(starts))
        return self._hide(replace(state, ids=ids), tokens)

    def chooser(self, state: State, logits: Tensor) -> Choose:
        """How open residues are drawn: tempered, then cut to the nucleus."""
        return chooser(logits, state.uniform(), self.temperature, self.top_p)

    def step(self, state: State, logits: Tensor, tokens: TokenMap) -> State:
        """Redraw what is hidden, and hide what comes next."""
        choose = self.chooser(state, logits)
        drawn = choose(..., tokens.allowed)
        drawn = state.lawful(state.open, drawn, choose, tokens)
        return self._hide(state.decide(state.open, drawn, state.due), tokens)

    def done(self, state: State) -> bool:
        """Nothing is hidden: every row has had its sweeps."""
        return not bool(state.open.any())

    def _hide(self, state: State, tokens: TokenMap) -> State:
        """Every row goes at its own pace: ``due`` ranks its free residues within a sweep."""
        n_free = state.free.sum(dim=1)
        n_parts = -(-n_free // self.block)  # passes a sweep
        active = state.step < self.sweeps * n_parts
        part = state.step % n_parts.clamp(min=1)
        due = torch.full_like(state.ids, -1) if state.due is None else state.due.clone()
        for row in (active & (part == 0)).nonzero().flatten().tolist():
            order = torch.randperm(int(n_free[row]), generator=state.rngs[row])
            due[row, state.free[row]] = order
        hidden = state.free & active[:, None] & (due // self.block == part[:, None])
        decided = replace(state, open=torch.zeros_like(state.open), due=due)
        return decided.reopen(hidden, tokens.require_mask())
