"""The diffusion bound on the likelihood of whole chains, as sums. Averages nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch

from hfbio.data.encode import Example
from hfbio.record import REGIONS
from hfbio.rng import generator
from hfbio.score.heldout import STATUS, HeldOut, Predict, cells_of

WHOLE: Final = (1.0,)
DRAWS: Final = 8
_SEED_STREAM: Final = 1  # apart from the masks of `measure`


def bound(
    examples: Sequence[Example],
    predict: Predict,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = 64,
    rows: Sequence[int] | None = None,
) -> HeldOut:
    """An upper bound on ``-ln p(chain)``: nats per residue of whole chains, and by region.

    With ``m`` of ``n`` residues hidden, ``m`` uniform on 1 … n and every set of ``m`` alike,

        -ln p(chain) <= E [ n / m * sum over hidden residues of -ln p(residue | shown) ]

    (Uria, Murray and Larochelle 2014, equation 11: the mean over all orders of decoding). The loss
    of the ``diffusion`` objective has the same expectation (Ou et al. 2024, arXiv 2406.03736,
    section 3.3); to draw ``m`` in place of ``t`` takes its variance out. ``m`` is drawn once from
    each of ``draws`` equal parts of 1 … n.

    Args:
        examples: ``S`` chains.
        predict: as for `hfbio.score.heldout.measure`.
        draws: masks per chain, >= 1.
        seed: >= 0; the masks are a pure function of ``(seed, draw, row)``.
        batch_size: chains per call of ``predict``.
        rows: which chains to measure; all if ``None``. The others stay zero.

    Returns:
        One "fraction", `WHOLE`; each residue counts ``draws`` times.
    """
    rows = range(len(examples)) if rows is None else rows
    shape = (1, len(examples), len(REGIONS), len(STATUS))
    nats = torch.zeros(shape, dtype=torch.float64)
    hits = torch.zeros(shape, dtype=torch.int64)
    residues = torch.zeros(shape, dtype=torch.int64)
    for draw in range(draws):
        for first in range(0, len(rows), batch_size):
            part = rows[first : first + batch_size]
            hidden = [_hide(examples[row], draw, draws, seed, row) for row in part]
            for row, at, (n, h) in zip(part, hidden, predict(part, hidden)):
                cells = cells_of(examples[row])
                weight = len(cells) / len(at)
                nats[0, row].view(-1).index_add_(0, cells[at], weight * n.double())
                hits[0, row].view(-1).index_add_(0, cells[at], h.long())
                residues[0, row].view(-1).index_add_(0, cells, torch.ones_like(cells))
    return HeldOut(WHOLE, nats, hits, residues)


def _hide(example: Example, draw: int, draws: int, seed: int, row: int) -> torch.Tensor:
    rng = generator(seed, _SEED_STREAM, draw, row)
    n = len(example.residues)
    share = (draw + torch.rand((), generator=rng).item()) / draws  # uniform on one of the parts
    n_hidden = max(1, math.ceil(share * n))
    return torch.randperm(n, generator=rng)[:n_hidden]
