"""The temperature that best fits a model to a set of chains. Changes no model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hfbio.data.encode import Example
from hfbio.rng import generator
from hfbio.score.heldout import hidden_logits, hide
from hfbio.tokens import TokenMap

_HALVINGS = 40  # of the search interval; each leaves 0.618 of it


def fit_temperature(
    model: nn.Module,
    tokens: TokenMap,
    examples: Sequence[Example],
    *,
    fraction: float,
    seed: int,
    batch_size: int = 64,
) -> float:
    """The temperature at which ``model`` spends the fewest nats on hidden residues.

    A model trained with label smoothing, or at another share of masks, doubts too much or too
    little. Fine-tuning mends that, and so does one number; a base at its best temperature shows
    how much of a gain is no more than this (Guo et al. 2017, section 4.2).

    Args:
        model: returns an object with ``logits`` ``(B, L, V)``; put into evaluation mode.
        tokens: what its ids mean.
        examples: chains to fit on; not those to report on.
        fraction: share of residues hidden, in (0, 1].
        seed: of the masks.
        batch_size: chains per network pass.

    Returns:
        In [0.05, 20]; logits are divided by it.
    """
    logits, truth = [], []
    for first in range(0, len(examples), batch_size):
        part = examples[first : first + batch_size]
        hidden = [
            hide(len(example.residues), fraction, generator(seed, first + i))
            for i, example in enumerate(part)
        ]
        for scores, ids in hidden_logits(model, tokens, part, hidden):
            logits.append(scores)
            truth.append(ids)
    return _least_nats(torch.cat(logits), torch.cat(truth))


def _least_nats(logits: Tensor, truth: Tensor) -> float:
    """Golden-section search over 1/T, in which the cross-entropy is convex."""

    def nats(inverse: float) -> float:
        return float(F.cross_entropy(logits * inverse, truth))

    ratio = (5**0.5 - 1) / 2
    low, high = 0.05, 20.0
    for _ in range(_HALVINGS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if nats(left) < nats(right) else (left, high)
    return 2 / (low + high)
