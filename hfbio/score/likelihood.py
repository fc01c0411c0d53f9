"""Masked pseudo-log-likelihood of whole chains. Changes neither model nor sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hfbio.data.encode import Example
from hfbio.tokens import TokenMap


def pseudo_nats(
    model: nn.Module, tokens: TokenMap, example: Example, *, batch_size: int = 64
) -> Tensor:
    """``-ln p(residue | all other residues)`` of each residue, hiding one at a time.

    One forward row per residue. The softmax runs over the model's whole vocabulary. The mean
    over a chain is its nats per residue; its exponential the pseudo-perplexity.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean; needs a mask token.
        example: one encoded chain of ``n`` residues.
        batch_size: rows per forward pass.

    Returns:
        ``(n,)`` float32, in nats, on the CPU.

    Source:
        Salazar et al. 2020, "Masked language model scoring", equation 1.
    """
    model.eval()
    device = next(model.parameters()).device
    at = example.residues
    nats = []
    for part in at.split(batch_size):
        rows = torch.arange(len(part))
        shown = example.input_ids.repeat(len(part), 1)
        shown[rows, part] = tokens.require_mask()
        with torch.inference_mode():
            logits = model(
                input_ids=shown.to(device), attention_mask=torch.ones_like(shown).to(device)
            ).logits
        log_p = logits[rows, part].float().log_softmax(dim=-1).cpu()
        nats.append(-log_p.gather(1, example.input_ids[part].unsqueeze(1)).squeeze(1))
    return torch.cat(nats)


def mean_by_region(nats: Tensor, example: Example, regions: Sequence[str]) -> dict[str, float]:
    """Nats per residue of each region; NaN where the region is empty.

    Args:
        nats: ``(n,)`` one value per residue.
        example: the chain they belong to.
        regions: names in the order of ``example.region_ids``.
    """
    region_ids = example.region_ids[example.residues]
    return {name: nats[region_ids == i].mean().item() for i, name in enumerate(regions)}
