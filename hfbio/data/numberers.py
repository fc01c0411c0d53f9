"""Number pieces of a stream of records, here or in processes of their own. Merges nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from hfbio.data.clean import clean
from hfbio.data.reject import Reject
from hfbio.data.shards import write_shard
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_ALONE: Final = 4  # pieces done before processes are started, which takes each a second
_AHEAD: Final = 3  # pieces read ahead for each process

Piece = tuple[Path, Sequence[AntibodyRecord | Reject]]


@dataclass(frozen=True)
class Numbering:
    """How records are cleaned; see `hfbio.data.clean`."""

    species: str
    max_missing: int


def number_pieces(
    pieces: Iterable[Piece], numbering: Numbering | None, num_proc: int
) -> Iterator[tuple[int, int]]:
    """Write each piece, cleaned, as a shard of its name.

    Args:
        pieces: where to, and records or rejects as a reader gives them. Taken as they are needed,
            a few ahead.
        numbering: ``None`` if the records are cleaned already.
        num_proc: processes; 1 works in this one. Changes no shard.

    Returns:
        For each piece, in order, the number of items and how many of them are rejects.

    Raises:
        DataError: a process was ended from outside.
    """
    pieces = iter(pieces)
    few = list(islice(pieces, _ALONE)) if num_proc > 1 else []
    if len(few) < _ALONE:
        for piece in chain(few, pieces):
            yield _number(piece, numbering)
        return
    # Spawned, as a fork copies locks that threads of this process may hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_proc, context, initializer=_set_up) as pool:
        waiting: deque[Future[tuple[int, int]]] = deque()
        try:
            for piece in chain(few, pieces):
                waiting.append(pool.submit(_number, piece, numbering))
                if len(waiting) > _AHEAD * num_proc:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as fault:
            raise DataError(
                "a process that numbers chains was ended from outside, perhaps for want of memory; "
                f"try again with fewer than {num_proc} (--num_proc)"
            ) from fault
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _number(piece: Piece, numbering: Numbering | None) -> tuple[int, int]:
    path, items = piece
    if numbering is not None:
        cleaned = clean(items, species=numbering.species, max_missing=numbering.max_missing)
        items = list(cleaned)
    write_shard(items, path)
    return len(items), sum(isinstance(item, Reject) for item in items)


def _set_up() -> None:
    """Leave Ctrl-C to the first process, and end when it ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
