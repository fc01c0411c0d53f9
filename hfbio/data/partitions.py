"""Rows of bytes, dealt into partitions by their first byte. Compares and sorts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_PARTS: Final = 64  # files; at 200 million rows of 24 bytes each holds 75 MB


class Partitions:
    """Rows of one width: in memory while they are few, on disk from then on.

    Rows that begin with hashes are dealt evenly, so that one partition at a time fits in memory
    however many rows there are.
    """

    def __init__(self, folder: Path, name: str, *, width: int, n_held: int) -> None:
        """An empty store.

        Args:
            folder: exists, and holds no file of this name; partitions are ``NAME-00``, ``-01``, …
            name: of the files.
            width: bytes of a row.
            n_held: rows in memory from which on they go to disk.
        """
        self._paths = [folder / f"{name}-{part:02}" for part in range(_PARTS)]
        self._width = width
        self._most = n_held
        self._held: list[NDArray[np.uint8]] = []
        self._n_held = 0
        self._spilled = False

    def add(self, rows: NDArray[np.uint8]) -> None:
        """Take ``(n, width)`` bytes."""
        self._held.append(rows)
        self._n_held += len(rows)
        if self._n_held >= self._most:
            for path, part in zip(self._paths, self._dealt()):
                if len(part):
                    with path.open("ab") as file:
                        part.tofile(file)
            self._held, self._n_held, self._spilled = [], 0, True

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """``(m, width)`` arrays: first bytes ascend from one to the next, and in each the rows
        stand in the order in which they came. Rows with one first byte are in one array.
        """
        if not self._spilled:
            yield self._joined()
            return
        for path, held in zip(self._paths, self._dealt()):
            stored = np.fromfile(path, np.uint8) if path.exists() else np.empty(0, np.uint8)
            yield np.concatenate([stored.reshape(-1, self._width), held])

    def _joined(self) -> NDArray[np.uint8]:
        return np.concatenate([np.empty((0, self._width), np.uint8), *self._held])

    def _dealt(self) -> list[NDArray[np.uint8]]:
        rows = self._joined()
        part = rows[:, 0] // (256 // _PARTS)
        order = np.argsort(part, kind="stable")
        edges = np.searchsorted(part[order], np.arange(1, _PARTS))
        return np.split(rows[order], edges)
