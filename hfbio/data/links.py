"""Connected components of up to millions of items. Knows no sequences."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class Links:
    """Disjoint sets of 0..n-1, joined by equal keys or pair by pair."""

    def __init__(self, n: int) -> None:
        self._label = np.arange(n)

    def pair(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """Link ``a[i]`` with ``b[i]``, for each i; both ``(k,)``."""
        label = self._label
        while True:
            ends = label[a], label[b]
            apart = ends[0] != ends[1]
            if not apart.any():
                return
            # Hang the higher root under the lower, then let all point at their roots.
            low, high = np.minimum(*ends)[apart], np.maximum(*ends)[apart]
            np.minimum.at(label, high, low)
            while not np.array_equal(label, label[label]):
                label[:] = label[label]

    def join(self, keys: NDArray[np.int64]) -> None:
        """Link all items with one key, ``(n,)``; a key below 0 links nothing."""
        items = np.flatnonzero(keys >= 0)
        _, first, key = np.unique(keys[items], return_index=True, return_inverse=True)
        self.pair(items, items[first[key]])

    def numbers(self) -> NDArray[np.int64]:
        """``(n,)`` number of each item's set; sets are numbered by first appearance."""
        return np.unique(self._label, return_inverse=True)[1].astype(np.int64)


def keys(*columns: pa.ChunkedArray) -> NDArray[np.int64]:
    """``(n,)`` one number for each combination of values; -1 where the last column is empty."""
    combined = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        codes = column.combine_chunks().dictionary_encode()
        combined = combined * max(len(codes.dictionary), 1) + codes.indices.to_numpy()
        # Counted anew, so that products of many columns stay small.
        combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
    return np.where(pc.equal(columns[-1], "").to_numpy(), -1, combined)
