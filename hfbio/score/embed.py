"""One vector for each chain: hidden states averaged over a region. Judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from hfbio.data.encode import Example, encode, pad
from hfbio.errors import SettingError
from hfbio.record import REGIONS, Antibody
from hfbio.tokens import Prompt, TokenMap

POOLS: Final = {
    "all": REGIONS,
    "cdrs": ("cdr1", "cdr2", "cdr3"),
    **{name: (name,) for name in REGIONS},
}
"""What a vector can be averaged over: the whole chain, the three CDRs, or one region."""


def mean_states(
    model: nn.Module,
    tokens: TokenMap,
    examples: Sequence[Example],
    *,
    layer: int = -1,
    region: str = "all",
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """The hidden states of each chain, averaged over the residues of one region.

    Nothing is masked. Start, stop, padding and condition tags are never averaged, though residues
    attend to start, stop and tags; in a causal model to what stands before them alone, so that the
    last residues know most of the chain. A row depends on its chain alone, up to the rounding of a
    matrix product (1e-5).

    Args:
        model: takes ``output_hidden_states`` and returns ``hidden_states``, each ``(B, L, H)``;
            put into evaluation mode.
        tokens: for the padding.
        examples: ``S`` encoded chains, at least one.
        layer: as transformers counts: 0 is the embedding, the last is what the language-model
            head reads; negative numbers count from the end.
        region: a key of `POOLS`.
        batch_size: chains per network pass.
        progress: called with the number of chains done after each pass.

    Returns:
        ``(S, H)`` float32 on the CPU; NaN where a chain has no residue in the region.

    Raises:
        SettingError: the model has no such layer, or there is no such region.
    """
    wanted = torch.tensor([REGIONS.index(name) for name in parts_of(region)])
    model.eval()
    device = next(model.parameters()).device
    means = []
    for first in range(0, len(examples), batch_size):
        part = examples[first : first + batch_size]
        batch: dict[str, Any] = {
            "input_ids": pad([e.input_ids for e in part], tokens.pad_id).to(device),
            "attention_mask": pad([torch.ones_like(e.input_ids) for e in part], 0).to(device),
        }
        inside = pad([torch.isin(e.region_ids, wanted) for e in part], False).to(device)  # (B, L)
        with torch.inference_mode():
            states = model(**batch, output_hidden_states=True).hidden_states
            chosen = states[_place(layer, len(states))].float()  # (B, L, H)
            sums = chosen.masked_fill(~inside.unsqueeze(2), 0.0).sum(dim=1)
            means.append((sums / inside.sum(dim=1, keepdim=True)).cpu())
        if progress is not None:
            progress(first + len(part))
    return torch.cat(means)


def untagged(records: Sequence[Antibody], tokens: TokenMap, prompt: Prompt) -> list[Example]:
    """Encode numbered chains or pairs with every condition tag left open.

    Raises:
        SequenceError: one is not numbered.
    """
    neutral = prompt.ids(prompt.tags.describe({}))
    return [encode(record, tokens, neutral) for record in records]


def parts_of(region: str) -> tuple[str, ...]:
    """The regions behind a key of `POOLS`.

    Raises:
        SettingError: no such key.
    """
    if region not in POOLS:
        raise SettingError(f"region must be one of {', '.join(POOLS)}, got {region!r}")
    return POOLS[region]


def residues_of(record: Antibody, region: str) -> str:
    """The residues of a numbered record that lie in ``region``, a key of `POOLS`."""
    names = parts_of(region)
    return "".join(chain.region(name) for chain in record.chains for name in names)


def _place(layer: int, n_layers: int) -> int:
    if not -n_layers <= layer < n_layers:
        raise SettingError(
            f"layer must be within 0 and {n_layers - 1}, or -1 and -{n_layers} to count from the "
            f"end, for this model; got {layer}"
        )
    return layer % n_layers
