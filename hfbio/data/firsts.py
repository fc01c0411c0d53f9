"""Of equal keys the first, for any number of keys in bounded memory. Knows no records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hfbio.data.partitions import Partitions

KEY_BYTES: Final = 16
"""Of a key's hash. Among 10^9 different keys two are alike with a chance of 10^-21."""

N_HELD: Final = 1 << 20  # keys in memory from which on they go to disk: 24 MB


def key(text: str) -> bytes:
    """The hash that stands for ``text``: BLAKE2b, `KEY_BYTES` long."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


class Firsts:
    """Takes keys in order and tells for each the number of the first equal one."""

    def __init__(self, folder: Path, name: str, *, n_held: int = N_HELD) -> None:
        """No keys yet; see `Partitions` for the arguments."""
        self._rows = Partitions(folder, name, width=KEY_BYTES + 8, n_held=n_held)
        self._path = folder / f"{name}-first"
        self._n = 0

    def add(self, keys: Iterable[bytes]) -> None:
        """Number the keys on from those before."""
        hashes = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
        numbers = np.arange(self._n, self._n + len(hashes), dtype=np.int64)
        self._rows.add(np.hstack([hashes, numbers[:, None].view(np.uint8)]))
        self._n += len(hashes)

    def solve(self) -> NDArray[np.int64]:
        """``(n_keys,)``, each at most its own index; on disk, read as it is used."""
        first = on_disk(self._path, self._n)
        for rows in self._rows:
            hashes = np.ascontiguousarray(rows[:, :KEY_BYTES]).view(np.uint64)
            numbers = np.ascontiguousarray(rows[:, KEY_BYTES:]).view(np.int64)[:, 0]
            order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: numbers stay ascending
            hashes, numbers = hashes[order], numbers[order]
            begins = np.ones(len(order), bool)
            begins[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
            run = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
            first[numbers] = numbers[run]
        return first


def on_disk(path: Path, n: int) -> NDArray[np.int64]:
    """``(n,)`` zeros that live in the file ``path``, which must not exist."""
    if n == 0:
        return np.zeros(0, np.int64)
    return np.memmap(path, np.int64, "w+", shape=(n,))
