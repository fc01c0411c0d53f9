"""A few of many chains, clone by clone. Groups nothing itself; see `hfbio.data.groups`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hfbio.data.groups import clone_groups
from hfbio.record import Antibody

_GROUPED: Final = 50_000  # chains whose clones are looked for, in seconds


def thin(antibodies: Sequence[Antibody], most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` chains or pairs, one of each clone before a second of any.

    Depends on the chains and their order alone. Where only some of the clones, or of their second
    chains, have room, these are taken at even distances, so that every part of the table has its
    share. Of more than 50,000 chains, 50,000 at even distances are looked at.

    Args:
        antibodies: numbered.
        most: >= 1.

    Returns:
        ``(n,)`` ascending.
    """
    looked_at = _evenly(np.arange(len(antibodies)), max(most, _GROUPED))
    if len(looked_at) <= most:
        return looked_at
    groups = clone_groups([antibodies[i] for i in looked_at])
    turn_of = turns(groups)
    kept = np.empty(0, np.int64)
    for turn in range(int(turn_of.max()) + 1):
        kept = np.append(kept, _evenly(looked_at[turn_of == turn], most - len(kept)))
        if len(kept) == most:
            break
    return np.sort(kept)


def turns(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(n,)`` how many of its group stand before each member."""
    order = np.argsort(groups, kind="stable")
    first = np.searchsorted(groups[order], groups[order])
    found = np.empty_like(groups)
    found[order] = np.arange(len(groups)) - first
    return found


def _evenly(items: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(items) <= most:
        return items
    return items[np.arange(most) * len(items) // most]
