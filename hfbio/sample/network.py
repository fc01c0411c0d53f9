"""Ask a network about a block. The only file of this room that calls one; draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from hfbio.errors import SettingError
from hfbio.sample.causal import CausalState, CausalTemplate
from hfbio.sample.contrast import Contrast
from hfbio.sample.fillings import Ask
from hfbio.sample.state import State, Template, begin
from hfbio.tokens import TokenMap


class Whole:
    """A masked model: it reads the whole block at every step."""

    def __init__(
        self,
        model: nn.Module,
        tokens: TokenMap,
        templates: Sequence[Template],
        contrast: Contrast | None = None,
    ) -> None:
        """See `reader`."""
        self.model = model
        self.pad_id = tokens.pad_id
        self.starts = [len(template.prefix) for template in templates]
        self.contrast = contrast

    def __call__(self, state: State) -> Tensor:
        """``(B, L, V)`` float32 logits on the CPU."""
        own = self._ask(state.ids, state.attention_mask)
        if self.contrast is None:
            return own
        shown = self.contrast.shown(state, self.starts, self.pad_id)
        with _switched_off(self.model, self.contrast.untuned):
            other = self._ask(*shown)
        return self.contrast.combine(own, self.contrast.aligned(own, other, state, self.starts))

    def _ask(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            logits = self.model(
                input_ids=ids.to(device), attention_mask=attention_mask.to(device)
            ).logits
        return logits.float().cpu()


class Cached:
    """A causal model: it reads the prompts once, then each new token, and keeps what it computed.

    No row is padded in front, so positions need no care. Rows that have ended read padding, which
    nobody looks at.
    """

    def __init__(
        self,
        model: nn.Module,
        tokens: TokenMap,
        templates: Sequence[CausalTemplate],
        contrast: Contrast | None = None,
    ) -> None:
        """See `reader`."""
        self.model = model
        self.contrast = contrast
        self.n_prefix = len(templates[0].prefix)
        self.own: Any = None
        self.other: Any = None

    def __call__(self, state: CausalState) -> Tensor:
        """``(B, V)`` float32 logits of the next token on the CPU; once for each step."""
        new = state.ids if state.step == 0 else state.ids[:, -1:]
        total = state.ids.shape[1]
        own, self.own = self._ask(new, total, self.own)
        if self.contrast is None:
            return own
        if state.step == 0:
            front = torch.tensor(self.contrast.prefix).expand(len(new), -1)
            new = torch.cat([front, new[:, self.n_prefix :]], dim=1)
        total += len(self.contrast.prefix) - self.n_prefix
        with _switched_off(self.model, self.contrast.untuned):
            other, self.other = self._ask(new, total, self.other)
        return self.contrast.combine(own, other)

    def _ask(self, new: Tensor, total: int, cache: Any) -> tuple[Tensor, Any]:
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            found = self.model(
                input_ids=new.to(device),
                attention_mask=torch.ones(len(new), total, dtype=torch.int64, device=device),
                past_key_values=cache,
                use_cache=True,
            )
        if found.past_key_values is None:
            raise ValueError("the model keeps no cache, and would see the last token alone")
        return found.logits[:, -1].float().cpu(), found.past_key_values


def reader(
    model: nn.Module,
    tokens: TokenMap,
    templates: Sequence[Any],
    *,
    causal: bool,
    contrast: Contrast | None = None,
) -> Whole | Cached:
    """What to ask for the logits of a block that started from ``templates``.

    Args:
        model: returns an object with ``logits``, and with ``past_key_values`` if it is causal.
        tokens: what its ids mean.
        templates: one per row; causal ones with prefixes of one length.
        causal: the kind of model and of templates.
        contrast: a second pass over the same block; a weight of 1 needs none, and costs none.

    Raises:
        SettingError: the contrast is with the model without its adapter, and it has none.
    """
    if contrast is not None and contrast.untuned and not hasattr(model, "disable_adapter"):
        raise SettingError(
            "a contrast with the base needs a model with an adapter that can be switched off"
        )
    if contrast is not None and contrast.weight == 1:
        contrast = None
    return (Cached if causal else Whole)(model, tokens, templates, contrast)


def asking(model: nn.Module, tokens: TokenMap, template: Template | CausalTemplate) -> Ask:
    """How to ask for the next of a few open residues of one template, several rows at a time.

    For `hfbio.sample.fillings.fillings`. A masked model is shown the residues decided so far and
    masks at the others; a causal one what stands before the next open residue.
    """
    if isinstance(template, CausalTemplate):
        return _asking_causal(model, tokens, template)
    order = template.free.nonzero().flatten().tolist()

    def ask(rows: Sequence[Sequence[int]]) -> Tensor:
        shown = []
        for row in rows:
            ids, free = template.residue_ids.clone(), template.free.clone()
            ids[order[: len(row)]] = torch.tensor(row, dtype=torch.int64)
            free[order[: len(row)]] = False
            shown.append(replace(template, residue_ids=ids, free=free))
        state = begin(shown, [torch.Generator() for _ in rows], tokens)
        at = len(template.prefix) + order[len(rows[0])]
        return Whole(model, tokens, shown)(state)[:, at]

    return ask


def _asking_causal(model: nn.Module, tokens: TokenMap, template: CausalTemplate) -> Ask:
    """The open residues are those of the spans in turn, or the free ones among the forced."""
    before: list[list[int]] = []  # what is written without a choice before each open residue
    if template.forced is not None:
        run: list[int] = []
        for residue in template.forced.tolist():
            if residue >= 0:
                run.append(residue)
            else:
                before.append(run)
                run = []
    else:
        for i, (n, _) in enumerate(template.spans):
            before += [[tokens.require_separator()] if i else [], *([[]] * (n - 1))]

    def ask(rows: Sequence[Sequence[int]]) -> Tensor:
        prompts = []
        for row in rows:
            written = [token for run, residue in zip(before, row) for token in (*run, residue)]
            prompts.append([*template.prefix, *template.body, *written, *before[len(row)]])
        ids = torch.tensor(prompts)
        device = next(model.parameters()).device
        with torch.inference_mode():
            logits = model(
                input_ids=ids.to(device), attention_mask=torch.ones_like(ids).to(device)
            ).logits
        return logits[:, -1].float().cpu()

    return ask


def _switched_off(model: nn.Module, off: bool) -> Any:
    """Without the adapter if ``off``: its low-rank updates, trained token rows and modules."""
    return cast(Any, model).disable_adapter() if off else nullcontext()
