"""A GPU for as long as a request needs one, on Spaces that lend GPUs by the call (ZeroGPU)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from page.ask import Generation, Redesign
from page.limits import LIMITS

_START = 10.0  # seconds, to come up
_PASS = 0.05  # seconds of one network pass over a block of designs
_PASSES = 64  # of what is asked for without a number of steps


def duration(ask: Any) -> float:
    """Seconds of a GPU that a request may take, in [10, `Limits.seconds`]."""
    passes = _PASSES
    if isinstance(ask, Generation | Redesign):
        blocks = -(-ask.drawing.num // LIMITS.block)
        passes = 2 * blocks * (ask.drawing.steps or _PASSES) * (1 + ask.compare)
    return min(LIMITS.seconds, _START + _PASS * passes)


def lend(work: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """``work(ask)`` with a GPU where the Space lends them; ``work`` itself everywhere else."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return work
    import spaces

    lent: Callable[[Any], Iterator[Any]] = spaces.GPU(duration=duration)(work)
    return lent
