"""Seeded generators for keys of integers. Draws nothing itself and keeps no state."""

from __future__ import annotations

from typing import Final

import torch

_MASK: Final = (1 << 64) - 1


def generator(*keys: int) -> torch.Generator:
    """A CPU generator that depends on all of ``keys`` and on nothing else.

    ``generator(seed, epoch, index)`` makes noise a pure function of those three, so that ranks,
    batch sizes and a resumed run cannot change it. Neighbouring keys give unrelated streams.

    Args:
        keys: integers of any sign, taken modulo 2**64; their order matters. torch's CPU generator
            uses 32 bits of its seed, so among 10,000 streams two are equal once in 100 times.

    Source:
        Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", the
        SplitMix64 finaliser (constants of figure 16, variant 13).
    """
    state = 0
    for key in keys:
        state = _mix((state + 0x9E3779B97F4A7C15 + key) & _MASK)
    return torch.Generator().manual_seed(state)


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
