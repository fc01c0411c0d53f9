"""Likelihood of whole chains, residue by residue. Changes neither model nor sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hfbio.data.encode import Example
from hfbio.score.assess import Task
from hfbio.score.causal import next_log_p
from hfbio.tokens import TokenMap

Likelihood = Literal["masked", "next-residue", "reversed next-residue"]
"""What stands behind nats per residue: the whole rest of the chain is given, or what comes before.
Numbers of two kinds cannot be compared: more is given in the first."""


def likelihood_of(task: Task) -> Likelihood:
    """The likelihood that a model serves which is asked for ``task``.

    A model of gaps (``span``) reads a chain without gaps as it was trained to: forward.
    """
    if task == "masked":
        return "masked"
    return "reversed next-residue" if task == "next_reverse" else "next-residue"


def residue_nats(
    model: nn.Module,
    tokens: TokenMap,
    example: Example,
    likelihood: Likelihood,
    *,
    batch_size: int = 64,
    rows: int | None = None,
) -> Tensor:
    """``-ln p`` of each residue: `pseudo_nats`, or given the residues before it in one pass.

    The sum of the latter over a chain is ``-ln p(residues | tags)``, an exact likelihood by the
    chain rule, but for the end of the chain, which is not counted.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean.
        example: one encoded chain of ``n`` residues.
        likelihood: of the model.
        batch_size: rows per forward pass, where a chain takes several.
        rows: of a masked model, fewer than one a residue; see `masked_log_p`.

    Returns:
        ``(n,)`` float32, in nats, on the CPU.
    """
    return own_nats(
        residue_log_p(model, tokens, example, likelihood, batch_size=batch_size, rows=rows),
        example,
    )


def residue_log_p(
    model: nn.Module,
    tokens: TokenMap,
    example: Example,
    likelihood: Likelihood,
    *,
    batch_size: int = 64,
    rows: int | None = None,
) -> Tensor:
    """``ln p`` of every token at each residue: what `residue_nats` takes one entry a row of.

    Returns:
        ``(n, V)`` float32, in nats, on the CPU; the rows are those of ``example.residues``.
    """
    if likelihood == "masked":
        return masked_log_p(model, tokens, example, batch_size=batch_size, rows=rows)
    reverse = likelihood == "reversed next-residue"
    (log_p,) = next_log_p(model, tokens, [example], reverse)
    return log_p


def pseudo_nats(
    model: nn.Module, tokens: TokenMap, example: Example, *, batch_size: int = 64
) -> Tensor:
    """``-ln p(residue | all other residues)`` of each residue, hiding one at a time.

    The mean over a chain is its nats per residue; its exponential the pseudo-perplexity.

    Returns:
        ``(n,)`` float32, in nats, on the CPU.

    Source:
        Salazar et al. 2020, "Masked language model scoring", equation 1.
    """
    return own_nats(masked_log_p(model, tokens, example, batch_size=batch_size), example)


def masked_log_p(
    model: nn.Module,
    tokens: TokenMap,
    example: Example,
    *,
    batch_size: int = 64,
    rows: int | None = None,
) -> Tensor:
    """``ln p(token | all other residues)`` at each residue, hiding one at a time.

    One forward row per residue. The softmax runs over the model's whole vocabulary. With ``rows``
    each row hides every ``rows``-th residue at once, which is cheaper and sees a little less: an
    estimate that ranks chains as the exact number does, and is not to be compared with it.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean; needs a mask token.
        example: one encoded chain of ``n`` residues.
        batch_size: rows per forward pass.
        rows: forward rows, >= 1; one per residue if ``None``.

    Returns:
        ``(n, V)`` float32, in nats, on the CPU.

    Raises:
        ValueError: ``rows`` is below 1.
    """
    if rows is not None and rows < 1:
        raise ValueError(f"rows must be >= 1, got {rows}")
    model.eval()
    device = next(model.parameters()).device
    at = example.residues
    n_rows = len(at) if rows is None else min(rows, len(at))
    row_of = torch.arange(len(at)) % n_rows
    found, order = [], []
    for chunk in torch.arange(n_rows).split(batch_size):
        hidden = torch.isin(row_of, chunk).nonzero().flatten()  # which residues
        places = row_of[hidden] - chunk[0], at[hidden]
        shown = example.input_ids.repeat(len(chunk), 1)
        shown[places] = tokens.require_mask()
        with torch.inference_mode():
            logits = model(
                input_ids=shown.to(device), attention_mask=torch.ones_like(shown).to(device)
            ).logits
        found.append(logits[places].float().log_softmax(dim=-1).cpu())
        order.append(hidden)
    return torch.cat(found)[torch.cat(order).argsort()]


def own_nats(log_p: Tensor, example: Example) -> Tensor:
    """``(n,)`` nats of the residues that stand there, from ``(n, V)`` log-probabilities."""
    own = example.input_ids[example.residues]
    return -log_p.gather(1, own.unsqueeze(1)).squeeze(1)


def mean_by_region(nats: Tensor, example: Example, regions: Sequence[str]) -> dict[str, float]:
    """Nats per residue of each region; NaN where the region is empty.

    Args:
        nats: ``(n,)`` one value per residue.
        example: the chain they belong to.
        regions: names in the order of ``example.region_ids``.
    """
    region_ids = example.region_ids[example.residues]
    return {name: nats[region_ids == i].mean().item() for i, name in enumerate(regions)}
