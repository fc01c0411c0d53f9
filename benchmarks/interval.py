"""A ratio of sums with its interval over groups. Measures nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A value with the 2.5 and 97.5 % points of its bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio(
    above: Sequence[float], below: Sequence[float], groups: Sequence[int], *, seed: int = 0
) -> Interval:
    """``sum(above) / sum(below)``, whole groups resampled 2,000 times.

    Members of a group are not independent; each resample divides its sums once (Efron and
    Tibshirani 1993, chapter 13, percentile interval). A difference of two means over the same
    items is the mean of their differences: give these as ``above``.

    Args:
        above: one number an item.
        below: one number an item, >= 0; ones for a mean.
        groups: the group of each item, such as its clone.
        seed: of the resampling.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.array([np.bincount(group, x) for x in (above, below)])  # (2, groups)
    n = sums.shape[1]
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=2000)
    drawn = times @ sums.T  # (resamples, 2)
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Interval(float(sums[0].sum() / sums[1].sum()), float(low), float(high))
