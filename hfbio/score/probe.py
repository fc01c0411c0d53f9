"""How well a linear model tells a label from vectors, on clones it never saw. Trains no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hfbio.alphabet import RESIDUES
from hfbio.record import Antibody
from hfbio.score.embed import residues_of
from hfbio.score.folds import N_FOLDS, Task

RIDGE: Final = 0.01
"""Weight of the squared coefficients beside the mean nats of a chain; features have variance 1."""

_RESAMPLES: Final = 2000
_ITERATIONS: Final = 300  # of L-BFGS; the loss is convex, 70 do


@dataclass(frozen=True)
class Interval:
    """A number with the 2.5 and 97.5 % points of its bootstrap over clones."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reading:
    """What one kind of vector tells of a label, as shares in [0, 1].

    In each class each clone counts once, whatever its size.
    """

    balanced_accuracy: Interval  # mean over classes of `recall`
    accuracy: float  # over all clones, whatever their class
    recall: dict[str, float]  # class -> share told right


@dataclass(frozen=True)
class Probed:
    """One label told from several kinds of vectors, on the same chains and folds."""

    label: str
    n_chains: int
    n_clones: dict[str, int]  # class -> clones
    left_out: dict[str, int]  # class with too few clones -> clones
    n_unlabelled: int
    n_repeats: int  # times that the clones were dealt out to folds
    chance: float  # balanced accuracy of a guess, and of always saying the largest class
    majority: float  # accuracy of always saying the largest class
    readings: dict[str, Reading]  # by name of the vectors
    difference: Interval | None  # balanced accuracy, second minus first of `compare`


def probe(
    task: Task,
    vectors: Mapping[str, Tensor],
    *,
    compare: tuple[str, str] | None = None,
    seed: int = 0,
) -> Probed:
    """Fit a linear probe to each kind of vector and judge it on held-out clones.

    Each fold is told by a probe that was fitted on the others, features standardised by what was
    fitted on; shares of right answers are averaged over the times that clones were dealt out.

    For the intervals, whole clones of one deal after another are resampled, the same for all
    vectors; the probes are not fitted again. With labels dealt at random to 150 clones, and vectors
    of 12, 60 or 150 numbers, the interval held chance in 196 of 200 tries; resampling the mean of
    the deals instead, in 86 of 100. A class that a resample misses is left out of its mean.

    Args:
        task: one that has no ``refusal``.
        vectors: name -> ``(S, H)`` float, one row for each chain that ``task`` was planned on.
        compare: two names of ``vectors``.
        seed: of the resampling.

    Source:
        Alain and Bengio 2017, "Understanding intermediate layers using linear classifier probes";
        Efron and Tibshirani 1993, chapter 13, for the percentile interval.
    """
    shape = (task.clones.max() + 1, len(task.classes))
    there = np.zeros(shape)
    np.add.at(there, (task.clones, task.targets), task.weights)  # 1 where a clone has the class
    right = np.zeros((len(task.folds), len(vectors), *shape))
    for i, rows in enumerate(vectors.values()):
        features = rows[task.rows].double()
        for repeat, folds in enumerate(task.folds):
            told = _tell_all(task, folds, features)
            cells = right[repeat, i]
            np.add.at(cells, (task.clones, task.targets), task.weights * (told == task.targets))
    resampled = _resample(right, there, seed)  # (resamples, names)
    right = right.mean(axis=0)
    recalls = right.sum(axis=1) / there.sum(axis=0)  # (names, classes)
    readings = {
        name: Reading(
            _interval(float(recalls[i].mean()), resampled[:, i]),
            float(right[i].sum() / there.sum()),
            dict(zip(task.classes, recalls[i].tolist())),
        )
        for i, name in enumerate(vectors)
    }
    difference = None
    if compare is not None:
        a, b = (list(vectors).index(name) for name in compare)
        gap = float(recalls[b].mean() - recalls[a].mean())
        difference = _interval(gap, resampled[:, b] - resampled[:, a])
    return Probed(
        label=task.label,
        n_chains=len(task.rows),
        n_clones=task.n_clones,
        left_out=task.left_out,
        n_unlabelled=task.n_unlabelled,
        n_repeats=len(task.folds),
        chance=1 / len(task.classes),
        majority=float(there.sum(axis=0).max() / there.sum()),
        readings=readings,
        difference=difference,
    )


def composition(records: Sequence[Antibody], region: str = "all") -> Tensor:
    """``(S, 20)`` float32 shares of ``alphabet.RESIDUES``: what can be told without any model.

    Args:
        records: numbered chains.
        region: a key of `hfbio.score.embed.POOLS`; a chain without residues there gets zeros.
    """
    residues = [residues_of(record, region) for record in records]
    counts = torch.tensor([[part.count(letter) for letter in RESIDUES] for part in residues])
    return counts / counts.sum(dim=1, keepdim=True).clamp_min(1)


def _tell_all(task: Task, folds: NDArray[np.int64], features: Tensor) -> NDArray[np.int64]:
    """``(m,)`` the class told of each chain by the probe that did not see its fold."""
    told = np.full(len(folds), -1)
    for fold in range(N_FOLDS):
        out = folds == fold
        told[out] = _tell(features[~out], features[out], task, ~out)
    return told


def _tell(seen: Tensor, unseen: Tensor, task: Task, fitted_on: NDArray[np.bool_]) -> NDArray:
    """The class told of each ``unseen`` row by a probe fitted on the ``seen`` ones."""
    mean, deviation = seen.mean(dim=0), seen.std(dim=0, correction=0)
    deviation = deviation.masked_fill(deviation <= 1e-9 * mean.abs(), 1.0)  # constant
    targets = torch.from_numpy(task.targets[fitted_on])
    weights = _balanced(task, fitted_on)
    fitted = _fit((seen - mean) / deviation, targets, weights, len(task.classes))
    return ((unseen - mean) / deviation @ fitted[1:] + fitted[0]).argmax(dim=1).numpy()


def _balanced(task: Task, seen: NDArray[np.bool_]) -> Tensor:
    """Weights that add up to 1: each class weighs the same, and in it each clone."""
    weights = task.weights[seen]
    of_class = np.bincount(task.targets[seen], weights, len(task.classes))
    weights = weights / of_class[task.targets[seen]]
    return torch.from_numpy(weights / weights.sum())


def _fit(features: Tensor, targets: Tensor, weights: Tensor, n_classes: int) -> Tensor:
    """``(1 + H, classes)`` intercepts and coefficients of a multinomial logistic regression."""
    fitted = torch.zeros(1 + features.shape[1], n_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [fitted], max_iter=_ITERATIONS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        nats = F.cross_entropy(features @ fitted[1:] + fitted[0], targets, reduction="none")
        total = weights @ nats + RIDGE / 2 * fitted[1:].square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return fitted.detach()


def _resample(
    right: NDArray[np.float64], there: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """``(resamples, names)`` balanced accuracy, whole clones drawn with replacement.

    Each resample takes one deal, not the mean of all, which would hide how much they differ.
    """
    n_repeats, n_names, n_clones, n_classes = right.shape
    flat = [
        np.concatenate([there[None], cells]).transpose(1, 0, 2).reshape(n_clones, -1)
        for cells in right
    ]
    rng = np.random.default_rng(seed)
    even = np.full(n_clones, 1 / n_clones)
    balanced = np.empty((_RESAMPLES, n_names))
    for i in range(_RESAMPLES):
        sums = rng.multinomial(n_clones, even) @ flat[i % n_repeats]
        sums = sums.reshape(1 + n_names, n_classes)
        drawn = sums[0] > 0
        balanced[i] = (sums[1:, drawn] / sums[0, drawn]).mean(axis=1)
    return balanced


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return Interval(value, low, high)
