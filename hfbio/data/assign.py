"""Fill the held-out parts with whole groups. Makes no groups."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hfbio.errors import DataError

PARTS: Final = ("train", "validation", "test")

_SHARES: Final = (0.1, 0.2, 0.5, 1.0)
"""Largest group of a held-out part, as a share of the smaller one: each is tried where the groups
before it leave room. One large family would decide the part's score."""


def shuffled(rows: pa.Table, group: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Groups in an order that row order cannot change: by hash of seed and least sequence.

    Args:
        rows: with ``sequence_aa`` and ``cell_id``, N of them.
        group: ``(N,)`` numbers from 0 on.
        seed: another one, another order.
    """
    names = pc.binary_join_element_wise(rows["sequence_aa"], rows["cell_id"], "|")
    ranked = pc.sort_indices(names).to_numpy()
    _, first = np.unique(group[ranked], return_index=True)
    least = names.take(pa.array(ranked[first])).to_pylist()
    hashes = [hashlib.sha256(f"{seed}|{name}".encode()).digest() for name in least]
    return np.array(sorted(range(len(hashes)), key=hashes.__getitem__))


def latest_first(values: pa.Array, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups by their latest value; by number if all values are, else as text.

    Dates sort as text if they are written year first, as in ISO 8601.
    """
    try:
        values = values.cast(pa.float64())
    except pa.ArrowInvalid:
        values = values.cast(pa.string())
    latest = np.zeros(int(group.max()) + 1, np.int64)
    np.maximum.at(latest, group, pc.rank(values, tiebreaker="dense").to_numpy().astype(np.int64))
    return np.argsort(-latest, kind="stable")


def assign(
    group: NDArray[np.int64],
    order: NDArray[np.int64],
    fractions: tuple[float, float, float],
    *,
    in_turn: bool = False,
) -> NDArray[np.int64]:
    """``(N,)`` part of each row: 0 train, 1 validation, 2 test. No part but train is too large.

    Args:
        group: number of each row's group.
        order: groups, those to be held out first.
        fractions: of rows in train, validation and test.
        in_turn: the first group that finds no room ends its part. Else it is passed over, and
            large ones are passed over at first.

    Raises:
        DataError: a part would be empty.
    """
    sizes = np.bincount(group)
    room = {part: int(fractions[part] * len(group) + 1e-9) for part in (2, 1)}
    filled = _in_turn if in_turn else _small_first
    part_of_group = filled(order.tolist(), sizes.tolist(), room)
    for part in (0, 1, 2):
        if fractions[part] and not (part_of_group == part).any():
            raise DataError(
                f"{len(group)} rows in {len(sizes)} groups (largest {sizes.max()}) leave the "
                f"{PARTS[part]} part empty; use more data, other fractions, or smaller "
                "groups (--by clone)"
            )
    return part_of_group[group]


def _small_first(order: list[int], sizes: list[int], room: dict[int, int]) -> NDArray[np.int64]:
    smallest = min((n for n in room.values() if n), default=0)
    part_of_group = np.zeros(len(sizes), np.int64)
    for share in _SHARES:
        passed = []
        for group in order:
            size = sizes[group]
            fits = (p for p in (2, 1) if size <= min(room[p], max(1, share * smallest)))
            if part := next(fits, 0):
                part_of_group[group] = part
                room[part] -= size
            else:
                passed.append(group)
        order = passed
    return part_of_group


def _in_turn(order: list[int], sizes: list[int], room: dict[int, int]) -> NDArray[np.int64]:
    part_of_group = np.zeros(len(sizes), np.int64)
    at = 0
    for part in (2, 1):
        while at < len(order) and sizes[order[at]] <= room[part]:
            room[part] -= sizes[order[at]]
            part_of_group[order[at]] = part
            at += 1
    return part_of_group
