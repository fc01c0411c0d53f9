"""Paired comparison of two `HeldOut` measurements, with intervals over clones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hfbio.score.heldout import HeldOut

_CELLS: Final = 4_000_000  # of the (resamples, groups) matrix held at once


@dataclass(frozen=True)
class Difference:
    """``a - b`` in nats per residue, with the 2.5 and 97.5 % points of its bootstrap."""

    nats_per_residue: float
    low: float
    high: float


def difference(
    a: HeldOut,
    b: HeldOut,
    groups: Sequence[int] | NDArray[np.int64],
    *,
    fraction: float,
    region: str = "all",
    n_resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """How many nats per residue ``a`` lies above ``b`` on the same masks.

    Whole clones are resampled, since members of a clone are not independent; each resample
    divides its sums once (Efron and Tibshirani 1993, chapter 13, percentile interval).

    Args:
        a: the one to judge.
        b: measured on the same chains with the same masks.
        groups: the clone of each chain, length ``S``.
        fraction: one of ``a.fractions``.
        region: a region, or ``"all"``.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        ValueError: the two were not measured on the same residues, or no residue was hidden.
    """
    f = a.fractions.index(fraction)
    residues = a.cell(a.residues, region)[f].numpy()
    if not np.array_equal(residues, b.cell(b.residues, region)[f].numpy()):
        raise ValueError("a and b were not measured on the same residues")
    if not residues.sum():
        raise ValueError(f"no residue of region {region!r} was hidden")
    gain = (a.cell(a.nats, region)[f] - b.cell(b.nats, region)[f]).numpy()
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    gain_sum, residue_sum = np.bincount(group, gain), np.bincount(group, residues)
    rng = np.random.default_rng(seed)
    n_groups = len(residue_sum)
    resampled: list[float] = []
    for size in _parts(n_resamples, max(1, _CELLS // n_groups)):
        times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=size)
        n_drawn = times @ residue_sum
        resampled += ((times @ gain_sum)[n_drawn > 0] / n_drawn[n_drawn > 0]).tolist()
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Difference(float(gain.sum() / residues.sum()), float(low), float(high))


def _parts(total: int, at_most: int) -> list[int]:
    """``total`` as a sum of numbers up to ``at_most``."""
    whole, rest = divmod(total, at_most)
    return [at_most] * whole + [rest] * (rest > 0)
