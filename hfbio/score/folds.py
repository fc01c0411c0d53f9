"""Which chains a probe learns from and is judged on, for one label. Fits nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from hfbio.data.encode import record_tag
from hfbio.data.groups import clone_groups
from hfbio.errors import DataError
from hfbio.record import Antibody
from hfbio.rng import generator

LABELS: Final = ("v_family", "isotype", "locus")
N_FOLDS: Final = 5
N_REPEATS: Final = 5
"""Times that chains are dealt out anew. On 274 chains the isotype of ExampleDb is told with a
balanced accuracy between 0.46 and 0.53 by how they happen to be dealt."""

MIN_CLONES: Final = N_FOLDS  # of a class, so that each fold can have one


@dataclass(frozen=True)
class Task:
    """One label to be told from vectors: classes, chains, and the folds all vectors share."""

    label: str
    classes: tuple[str, ...]  # sorted; none or one if there is nothing to tell apart
    rows: NDArray[np.int64]  # (m,) the chains used, as numbers into those given
    targets: NDArray[np.int64]  # (m,) index into `classes`
    clones: NDArray[np.int64]  # (m,) 0 .. n_clones - 1
    folds: NDArray[np.int64]  # (repeats, m) 0 .. N_FOLDS - 1, one fold for a whole clone
    n_clones: dict[str, int]  # class -> clones; a clone of two classes counts in both
    left_out: dict[str, int]  # class with fewer than MIN_CLONES -> clones
    n_unlabelled: int  # chains of which the label is not known

    @property
    def weights(self) -> NDArray[np.float64]:
        """``(m,)`` 1 / chains of the same clone and class: each clone counts once in a class."""
        cells = self.clones * len(self.classes) + self.targets
        return 1 / np.bincount(cells)[cells]

    @property
    def refusal(self) -> str:
        """Why there is nothing to probe; empty if there is."""
        if len(self.classes) > 1:
            return ""
        known = {**self.n_clones, **self.left_out}
        counts = ", ".join(f"{name} {n}" for name, n in known.items()) or "no chain has one"
        return f"fewer than two classes with {MIN_CLONES} clones ({counts})"


def plan_tasks(
    records: Sequence[Antibody],
    labels: Sequence[str] = LABELS,
    *,
    repeats: int = N_REPEATS,
    seed: int = 0,
) -> tuple[Task, ...]:
    """One `Task` a label, with whole clones in each fold.

    The clones of a class are shuffled and dealt out to the folds one by one; a clone of several
    classes goes with its rarest.

    Args:
        records: numbered chains.
        labels: names for `hfbio.data.encode.record_tag`.
        repeats: times that the clones are dealt out, >= 1.
        seed: of the folds.

    Raises:
        DataError: there is nothing to probe in any label.
    """
    clones = clone_groups(records)
    seeds = [(seed, repeat) for repeat in range(repeats)]
    tasks = tuple(
        _task(label, [record_tag(record, label) for record in records], clones, seeds)
        for label in labels
    )
    if all(task.refusal for task in tasks):
        raise DataError(
            "there is nothing to probe: "
            + "; ".join(f"{task.label}: {task.refusal}" for task in tasks)
        )
    return tasks


def _task(
    label: str,
    values: Sequence[str],
    clones: NDArray[np.int64],
    seeds: Sequence[tuple[int, int]],
) -> Task:
    pairs = {(value, int(clone)) for value, clone in zip(values, clones) if value}
    counts = dict(sorted(Counter(value for value, _ in pairs).items()))
    classes = tuple(name for name, n in counts.items() if n >= MIN_CLONES)
    rows = np.array([i for i, value in enumerate(values) if value in classes], np.int64)
    targets = np.array([classes.index(values[i]) for i in rows], np.int64)
    _, used = np.unique(clones[rows], return_inverse=True)
    rarity = np.array([counts[name] for name in classes], np.int64)
    return Task(
        label=label,
        classes=classes,
        rows=rows,
        targets=targets,
        clones=used,
        folds=np.stack([_deal(used, targets, rarity, keys)[used] for keys in seeds]),
        n_clones={name: counts[name] for name in classes},
        left_out={name: n for name, n in counts.items() if n < MIN_CLONES},
        n_unlabelled=sum(not value for value in values),
    )


def _deal(
    clones: NDArray[np.int64],
    targets: NDArray[np.int64],
    rarity: NDArray[np.int64],
    keys: tuple[int, ...],
) -> NDArray[np.int64]:
    """``(n_clones,)`` fold of each clone."""
    kind = np.full(clones.max(initial=-1) + 1, -1)
    for c in np.argsort(-rarity, kind="stable"):  # the rarest last, so that it stays
        kind[clones[targets == c]] = c
    folds = np.zeros(len(kind), np.int64)
    n_dealt = 0
    for c in range(len(rarity)):
        members = np.flatnonzero(kind == c)
        order = torch.randperm(len(members), generator=generator(*keys, c)).numpy()
        folds[members[order]] = (n_dealt + np.arange(len(members))) % N_FOLDS
        n_dealt += len(members)
    return folds
