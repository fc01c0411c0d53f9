"""The loss every objective shares: a weighted sum of nats. It never divides."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from hfbio.data.encode import IGNORE


def weighted_nats(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum of ``weights * -ln p(label)`` over the scored positions.

    A sum, so that micro-batches and ranks can be added up and divided once per optimizer step.
    The softmax runs over the whole vocabulary, in float32 whatever the type of ``logits``.

    Args:
        logits: ``(B, L, V)`` float, unnormalised, in nats.
        labels: ``(B, L)`` int64, ``IGNORE`` where not scored.
        weights: ``(B, L)`` float32; ignored where not scored.

    Returns:
        ``()`` float32, in nats.
    """
    scored = labels != IGNORE
    nats = F.cross_entropy(logits[scored].float(), labels[scored], reduction="none")
    return (nats * weights[scored]).sum()
