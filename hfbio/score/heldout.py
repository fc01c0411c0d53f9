"""Likelihood of hidden residues on held-out chains, as sums per chain and region.

Does not average: a reader divides sums once, and can regroup them by region, by clone or by
germline status without asking the model again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from hfbio.data.encode import Example, pad
from hfbio.record import REGIONS
from hfbio.rng import generator
from hfbio.tokens import TokenMap

FRACTIONS: Final = (0.15, 0.5, 0.9)
STATUS: Final = ("germline", "non_germline", "unaligned")
"""Whether a residue equals the germline residue aligned to it; ``unaligned`` has none."""


@dataclass(frozen=True)
class HeldOut:
    """Sums over hidden residues, ``(F, S, R, 3)``: fraction, sequence, region, germline status.

    ``nats`` float64, ``hits`` and ``residues`` int64. ``hits`` counts hidden residues whose most
    likely token was the right one.
    """

    fractions: tuple[float, ...]
    nats: Tensor
    hits: Tensor
    residues: Tensor

    def cell(self, sums: Tensor, region: str = "all", status: str = "all") -> Tensor:
        """``(F, S)`` sums of one region and status; ``"all"`` adds over the axis."""
        by_region = sums.sum(dim=2) if region == "all" else sums[:, :, REGIONS.index(region)]
        return by_region.sum(dim=2) if status == "all" else by_region[:, :, STATUS.index(status)]


Predict = Callable[[Sequence[int], Sequence[Tensor]], list[tuple[Tensor, Tensor]]]
"""``(rows, hidden) -> [(nats, hits)]``: for each chain the nats and hits of its hidden residues,
numbered from 0 at the first residue."""


def measure(
    examples: Sequence[Example],
    predict: Predict,
    *,
    fractions: Sequence[float] = FRACTIONS,
    draws: int = 4,
    seed: int = 0,
    batch_size: int = 64,
    rows: Sequence[int] | None = None,
) -> HeldOut:
    """Hide the same residues from every predictor and sum what it makes of them.

    ``round(fraction * n)`` residues of each chain are hidden, at least one, ``draws`` times. The
    choice is a pure function of ``(seed, draw, row)``: base, tuned model and baseline see the
    same masks, whatever their batch size or tokenizer.

    Args:
        examples: ``S`` chains.
        predict: a model (`model_predictor`) or a baseline.
        fractions: shares of residues hidden, each in (0, 1].
        draws: masks per chain and fraction.
        seed: >= 0.
        batch_size: chains per call of ``predict``.
        rows: which chains to measure; all if ``None``. The others stay zero, so that ranks
            that measure a part each can add their sums up.
    """
    rows = range(len(examples)) if rows is None else rows
    shape = (len(fractions), len(examples), len(REGIONS), len(STATUS))
    nats = torch.zeros(shape, dtype=torch.float64)
    hits = torch.zeros(shape, dtype=torch.int64)
    residues = torch.zeros(shape, dtype=torch.int64)
    for f, fraction in enumerate(fractions):
        for draw in range(draws):
            for first in range(0, len(rows), batch_size):
                part = rows[first : first + batch_size]
                hidden = [
                    hide(len(examples[row].residues), fraction, generator(seed, draw, row))
                    for row in part
                ]
                for row, at, (n, h) in zip(part, hidden, predict(part, hidden)):
                    cells = cells_of(examples[row])[at]
                    nats[f, row].view(-1).index_add_(0, cells, n.double())
                    hits[f, row].view(-1).index_add_(0, cells, h.long())
                    residues[f, row].view(-1).index_add_(0, cells, torch.ones_like(cells))
    return HeldOut(tuple(fractions), nats, hits, residues)


def model_predictor(
    model: nn.Module, tokens: TokenMap, examples: Sequence[Example], *, temperature: float = 1.0
) -> Predict:
    """Predict hidden residues with a masked language model.

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean; needs a mask token.
        examples: the chains ``measure`` was given, in the same order.
        temperature: > 0; logits are divided by it.
    """

    def predict(rows: Sequence[int], hidden: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        answers = []
        for logits, truth in hidden_logits(model, tokens, [examples[i] for i in rows], hidden):
            log_p = (logits / temperature).log_softmax(dim=-1)
            nats = -log_p.gather(1, truth.unsqueeze(1)).squeeze(1)
            answers.append((nats, log_p.argmax(dim=-1) == truth))
        return answers

    return predict


def hidden_logits(
    model: nn.Module, tokens: TokenMap, examples: Sequence[Example], hidden: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """What a model says at hidden residues: ``(n, V)`` float32 logits and ``(n,)`` true ids.

    Args:
        model: put into evaluation mode.
        tokens: needs a mask token.
        examples: the chains of one batch.
        hidden: per chain the residues to hide, numbered from 0.
    """
    model.eval()
    device = next(model.parameters()).device
    at = [example.residues[h] for example, h in zip(examples, hidden)]
    shown = []
    for example, positions in zip(examples, at):
        ids = example.input_ids.clone()
        ids[positions] = tokens.require_mask()
        shown.append(ids)
    batch: dict[str, Any] = {
        "input_ids": pad(shown, tokens.pad_id).to(device),
        "attention_mask": pad([torch.ones_like(ids) for ids in shown], 0).to(device),
    }
    with torch.inference_mode():
        logits = model(**batch).logits
    return [
        (logits[i, positions.to(device)].float().cpu(), example.input_ids[positions])
        for i, (example, positions) in enumerate(zip(examples, at))
    ]


def hide(n_residues: int, fraction: float, rng: torch.Generator) -> Tensor:
    """``round(fraction * n_residues)`` residue numbers, at least one, in random order."""
    n_hidden = max(1, round(fraction * n_residues))
    return torch.randperm(n_residues, generator=rng)[:n_hidden]


def cells_of(example: Example) -> Tensor:
    """``(n,)`` flat index of (region, status) for each residue."""
    at = example.residues
    germline, observed = example.germline_ids[at], example.input_ids[at]
    status = torch.where(germline == observed, 0, 1).masked_fill(germline < 0, 2)
    return example.region_ids[at] * len(STATUS) + status
