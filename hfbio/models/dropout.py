"""Dropout of a base during training. LoRA's own dropout is `AdapterConfig`'s."""

from __future__ import annotations

from torch import nn


def set_dropout(model: nn.Module, probability: float) -> None:
    """Set every dropout of ``model``, in place, whatever its config says.

    A base brings the dropout of its first training. A low-rank update on few chains wants none,
    and attention without it is three times faster on CPUs.

    Args:
        model: before adapters are attached.
        probability: in [0, 1).

    Raises:
        ValueError: out of range.
    """
    if not 0 <= probability < 1:
        raise ValueError(f"probability must be in [0, 1), got {probability}")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
