"""Ask a network about a block. The only file of this room that calls one; draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from hfbio.errors import SettingError
from hfbio.sample.causal import CausalState, CausalTemplate
from hfbio.sample.contrast import Contrast
from hfbio.sample.state import State, Template
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


def _switched_off(model: nn.Module, off: bool) -> Any:
    """Without the adapter if ``off``: its low-rank updates, trained token rows and modules."""
    return cast(Any, model).disable_adapter() if off else nullcontext()
