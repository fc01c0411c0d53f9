"""What a causal model says of held-out residues: the next one, or those of a gap. Sums nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hfbio.data.encode import IGNORE, Corrupted, Example, pad
from hfbio.objectives.clm import next_tokens, turn_round
from hfbio.objectives.infill import cut_out, runs
from hfbio.score.heldout import Predict
from hfbio.tokens import TokenMap


def next_predictor(
    model: nn.Module, tokens: TokenMap, examples: Sequence[Example], *, reverse: bool = False
) -> Predict:
    """Predict each residue from those before it, or after it if ``reverse``.

    The sum over a chain is ``-ln p(residues | tags)``, but for its end, which is not counted; nor
    is the separator of a pair.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean.
        examples: the chains ``measure`` was given, in the same order.
        reverse: the model reads chains from their end.
    """

    def predict(rows: Sequence[int], hidden: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        part = [examples[row] for row in rows]
        return [
            (nats[at], hits[at])
            for (nats, hits), at in zip(next_residues(model, tokens, part, reverse), hidden)
        ]

    return predict


def next_residues(
    model: nn.Module, tokens: TokenMap, examples: Sequence[Example], reverse: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """Nats ``(n,)`` float32 and hits ``(n,)`` bool of each residue of each chain, in order."""
    found = next_log_p(model, tokens, examples, reverse)
    return [_judged(log_p, e.input_ids[e.residues]) for log_p, e in zip(found, examples)]


def next_log_p(
    model: nn.Module, tokens: TokenMap, examples: Sequence[Example], reverse: bool = False
) -> list[Tensor]:
    """``ln p`` of every token at each residue, given those before it; or after it if ``reverse``.

    Returns:
        ``(n, V)`` float32 of each chain, in nats, on the CPU; rows from first residue to last.
    """
    shown = [
        next_tokens(turn_round(e, tokens) if reverse else e.input_ids, given=int(e.residues[0]))
        for e in examples
    ]
    answers = []
    for log_p, example in zip(_read(model, tokens, shown), examples):
        log_p = log_p[:-1]  # the last label is the end of the chain
        if reverse:
            log_p = log_p.flip(0)
        at = example.residues - example.residues[0]  # a separator is predicted between two chains
        answers.append(log_p[at])
    return answers


def span_predictor(model: nn.Module, tokens: TokenMap, examples: Sequence[Example]) -> Predict:
    """Predict each region from all others and from what stands before it in the region.

    As many network rows as the chain has regions.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: needs a mask and a separator token.
        examples: the chains ``measure`` was given, in the same order.
    """

    def predict(rows: Sequence[int], hidden: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        answers = []
        for row, at in zip(rows, hidden):
            nats, hits = span_residues(model, tokens, examples[row])
            answers.append((nats[at], hits[at]))
        return answers

    return predict


def span_residues(model: nn.Module, tokens: TokenMap, example: Example) -> tuple[Tensor, Tensor]:
    """Nats ``(n,)`` float32 and hits ``(n,)`` bool, each region cut out alone."""
    regions = runs(example)
    shown = [cut_out(example, [region], tokens) for region in regions]
    found = []
    for log_p, (start, stop) in zip(_read(model, tokens, shown), regions):
        last = len(log_p) - 1  # the end of the gap
        found.append(log_p[last - (stop - start) : last])
    return _judged(torch.cat(found), example.input_ids[example.residues])


def _judged(log_p: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Nats ``(n,)`` and hits ``(n,)`` of ``(n, V)`` log-probabilities and ``(n,)`` ids."""
    return -log_p.gather(1, truth.unsqueeze(1)).squeeze(1), log_p.argmax(-1) == truth


def _read(model: nn.Module, tokens: TokenMap, shown: Sequence[Corrupted]) -> list[Tensor]:
    """``(scored, V)`` log-probabilities of each row, softmax over the whole vocabulary."""
    model.eval()
    device = next(model.parameters()).device
    batch: dict[str, Any] = {
        "input_ids": pad([row.input_ids for row in shown], tokens.pad_id).to(device),
        "attention_mask": pad([torch.ones_like(row.input_ids) for row in shown], 0).to(device),
    }
    with torch.inference_mode():
        logits = model(**batch).logits
    answers = []
    for i, row in enumerate(shown):
        at = (row.labels != IGNORE).nonzero().squeeze(1)
        answers.append(logits[i, at.to(device)].float().log_softmax(dim=-1).cpu())
    return answers
