"""Steer designs by a score of whole sequences. Knows neither samplers nor networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass

import torch
from torch import Tensor

from hfbio.errors import SettingError

Score = Callable[[Sequence[str]], Sequence[float]]
"""Whole sequences to one number each; larger is better."""


@dataclass(frozen=True)
class Guide:
    """Draw from ``p(x) exp(weight * score(x)) / Z`` in place of ``p(x)``, the sampler's own law.

    Every design is drawn from ``particles`` rows of its own; the law comes near the target as
    their number grows. With few, designs lie between the sampler's law and the target.

    Masked models: sequential Monte Carlo (Wu et al. 2023, the twisted diffusion sampler, arXiv
    2306.17775, with its twisting functions as weights alone; Singhal et al. 2025, Feynman-Kac
    steering, arXiv 2501.06848, the difference potential). Between steps the open residues of each
    particle are completed by one draw from what the model says now, as sharp as the sampler's
    own, and the particle is weighted by

        exp(weight * (score of this completion - score of the one before)),

    where the score before the first is 0. The last completion is the finished chain, so these
    factors multiply to ``exp(weight * score(x))`` whatever the completions were: they decide how
    soon poor particles are dropped, not the target. Where the effective sample size of a design's
    particles falls under half of them they are resampled (`systematic`).

    Causal models: the particles are finished chains, and one is drawn by its weight
    (sampling-importance resampling; Rubin 1987, J. Am. Stat. Assoc. 82, 543-546).
    """

    function: Score
    weight: float = 1.0  # >= 0, per unit of score; 0 leaves the sampler's law
    particles: int = 8  # rows per design, >= 1
    every: int = 1  # network passes between two weightings, >= 1

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise SettingError(f"guide_weight must be >= 0 and finite, got {self.weight}")
        for name in ("particles", "every"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be >= 1, got {getattr(self, name)}")

    @property
    def name(self) -> str:
        """What the function is called, for messages."""
        return name_of(self.function)

    def scores(self, sequences: Sequence[str]) -> Tensor:
        """``(n,)`` float64, finite; equal sequences are asked for once.

        Raises:
            SettingError: the function does not answer with one finite number for each sequence.
        """
        distinct = list(dict.fromkeys(sequences))
        answer = self.function(distinct)
        try:
            values = [float(value) for value in answer]
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"the guide {self.name} must answer with a number for each sequence: {error}"
            ) from None
        if len(values) != len(distinct):
            raise SettingError(
                f"the guide {self.name} was given {len(distinct)} sequences and answered with "
                f"{len(values)} numbers"
            )
        for sequence, value in zip(distinct, values):
            if not math.isfinite(value):
                raise SettingError(f"the guide {self.name} gives {value} to {sequence}")
        known = dict(zip(distinct, values))
        return torch.tensor([known[sequence] for sequence in sequences], dtype=torch.float64)


def name_of(score: Score) -> str:
    """What a score is called, with its settings where it is a dataclass; the same in every run."""
    if is_dataclass(score):
        return repr(score)
    return str(getattr(score, "__qualname__", type(score).__qualname__))


class Flock:
    """The particles of a block of designs and their weights; row ``d * particles + k`` is one."""

    def __init__(self, guide: Guide, rngs: Sequence[torch.Generator]) -> None:
        """Begin with equal weights.

        Args:
            guide: how to score.
            rngs: one per design.
        """
        self.guide = guide
        self.rngs = rngs
        shape = (len(rngs), guide.particles)
        self._log_weights = torch.zeros(shape, dtype=torch.float64)
        self._before = torch.zeros(shape, dtype=torch.float64)

    def weigh(self, sequences: Sequence[str]) -> None:
        """Weight every particle by how much its score has risen; one sequence a row."""
        now = self.guide.scores(sequences).view_as(self._before)
        self._log_weights += self.guide.weight * (now - self._before)
        self._before = now

    def due(self, step: int) -> bool:
        """Whether to weigh after ``step`` network passes; before the first all rows are equal."""
        return step > 0 and step % self.guide.every == 0

    def resample(self, unfinished: Tensor) -> Tensor:
        """``(rows,)`` int64: the row that each row goes on from.

        A design whose effective sample size, ``1 / sum(w ** 2)``, is at least half of its particles
        keeps them and their weights. So does a finished one, however long its block goes on.

        Args:
            unfinished: ``(rows,)`` bool.
        """
        goes_on = unfinished.view_as(self._before).any(dim=1).tolist()
        weights = self._log_weights.softmax(dim=1)
        sizes = 1 / weights.square().sum(dim=1)
        rows = torch.arange(weights.numel()).view_as(weights).clone()
        for design, size in enumerate(sizes.tolist()):
            if goes_on[design] and size < self.guide.particles / 2:
                chosen = systematic(weights[design], self.rngs[design])
                rows[design] = rows[design][chosen]
                self._before[design] = self._before[design][chosen]
                self._log_weights[design] = 0
        return rows.flatten()

    def pick(self) -> Tensor:
        """``(designs,)`` int64: the row of one particle a design, drawn by weight."""
        weights = self._log_weights.softmax(dim=1)
        rows = torch.arange(weights.numel()).view_as(weights)
        chosen = [torch.multinomial(w, 1, generator=rng) for w, rng in zip(weights, self.rngs)]
        return torch.cat([row[at] for row, at in zip(rows, chosen)])


def systematic(weights: Tensor, rng: torch.Generator) -> Tensor:
    """``(K,)`` int64 indices, each expected ``K * weight`` times and never off by one or more.

    One uniform number shifts ``K`` evenly spaced points, which are looked up in the cumulative
    weights (Kitagawa 1996, J. Comput. Graph. Stat. 5, 1-25).

    Args:
        weights: ``(K,)`` float, >= 0, summing to one.
        rng: draws one number.
    """
    n = len(weights)
    points = (torch.arange(n, dtype=weights.dtype) + torch.rand((), generator=rng)) / n
    return torch.searchsorted(weights.cumsum(0), points, right=True).clamp(max=n - 1)
