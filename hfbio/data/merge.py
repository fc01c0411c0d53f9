"""From shards to one table without duplicates, in bounded memory. Numbers and reads nothing.

Keys and ids go through `Firsts`, so that only hashes are ever shuffled; rows stay where they are
and are read three times, shard by shard, in order. The rule is that of `Duplicates`.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hfbio.data.duplicates import FreeNames, stems
from hfbio.data.firsts import N_HELD, Firsts, key, on_disk
from hfbio.data.partitions import Partitions
from hfbio.data.reject import Fault, Reject
from hfbio.data.shards import read_shard
from hfbio.data.table import HASH_BYTES, SCHEMA, TableWriter, hash_of_hashes, row_hashes

_COUNT: Final = "duplicate_count"
_ID: Final = "sequence_id"


@dataclass
class Merged:
    """What became of all rows."""

    n_read: int = 0
    n_kept: int = 0
    n_renamed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    loci: Counter[str] = field(default_factory=Counter)
    isotypes: Counter[str] = field(default_factory=Counter)
    examples: list[Reject] = field(default_factory=list)  # the first three
    digest: str = ""  # see `table.digest`


def merge(
    shards: Sequence[Path], folder: Path, output: Path, rejects: Path, *, n_held: int = N_HELD
) -> Merged:
    """Write the rows that are kept to ``output``, and all others with their reason to ``rejects``.

    Args:
        shards: written by `write_shard`, in order.
        folder: for files between the passes; emptied first, removed at the end.
        output: Parquet, in row groups of `table.ROW_GROUP`.
        rejects: see `write_rejects`.
        n_held: hashes kept in memory at once; changes nothing but speed and memory.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    first = _first_rows(shards, folder, n_held)
    counts = on_disk(folder / "counts", len(first))
    suffixes, n_renamed = _suffixes(shards, first, counts, folder, n_held)
    hashes = Partitions(folder, "rows", width=HASH_BYTES, n_held=n_held)
    done = Merged(n_renamed=n_renamed)
    names = _Names(folder / "names", len(first))
    with (
        rejects.open("w", encoding="utf-8", newline="") as file,
        TableWriter(output) as groups,
    ):
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(column.name for column in fields(Reject))
        for start, shard in _with_start(shards):
            kept = _kept_rows(shard, start, first, counts, suffixes)
            names.add(kept[_ID].to_pylist(), _own_rows(shard, start, first))
            for reject in _rejects(shard, start, first, names):
                done.rejected[reject.reason] += 1
                if len(done.examples) < 3:
                    done.examples.append(reject)
                writer.writerow(astuple(reject))
            done.n_read += shard.num_rows
            done.n_kept += kept.num_rows
            _tally(done.loci, kept["locus"])
            _tally(done.isotypes, kept["isotype"])
            hashes.add(row_hashes(kept))
            groups.add(kept)
    names.close()
    done.digest = hash_of_hashes(hashes)
    del first, counts, suffixes, names
    shutil.rmtree(folder)
    return done


def _first_rows(shards: Sequence[Path], folder: Path, n_held: int) -> NDArray[np.int64]:
    """For each record, of all shards on end, the first record with its sequence and cell."""
    firsts = Firsts(folder, "keys", n_held=n_held)
    for path in shards:
        firsts.add(read_shard(path, ["key"])["key"].drop_null().to_pylist())
    return firsts.solve()


def _suffixes(
    shards: Sequence[Path],
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
    folder: Path,
    n_held: int,
) -> tuple[NDArray[np.int64], int]:
    """Add up ``counts``, and find the number behind the id of each record that is renamed, else 0.

    Returns:
        ``(n_records,)`` numbers, and how many are not 0.
    """
    ids = Firsts(folder, "ids", n_held=n_held)
    start = 0
    for path in shards:
        records = _records(read_shard(path, [_ID, _COUNT, "reason"]))
        rows = first[start : start + records.num_rows]
        np.add.at(counts, rows, records[_COUNT].to_numpy())
        own = pa.array(rows == np.arange(start, start + len(rows)))
        ids.add(map(key, records[_ID].filter(own).to_pylist()))
        start += len(rows)
    first_id = ids.solve()
    again = first_id != np.arange(len(first_id))
    suffixes = on_disk(folder / "suffixes", len(first))
    if not again.any():
        return suffixes, 0
    # Only ids that are asked for twice, and those that a new name might run into, are looked at
    # one by one. What shares its last stem is looked at together, so that it can be done in turns.
    wanted = _hashes(_kept_ids(shards, first), np.unique(first_id[again]))
    n_turns = 1 + 2 * int(again.sum()) // n_held
    for turn in range(n_turns):
        taken = FreeNames()
        for rows, names in _kept_ids(shards, first):
            for i in _clashing(names, wanted, turn, n_turns):
                new = taken.take(names[i])
                if new != names[i]:
                    suffixes[rows[i]] = int(new.removeprefix(f"{names[i]}_"))
    return suffixes, int(np.count_nonzero(suffixes))


def _hashes(
    ids: Iterator[tuple[NDArray[np.int64], list[str]]], wanted: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Hashes of the ids with the ascending numbers ``wanted``, counted over all that are kept."""
    hashes: list[int] = []
    n_before = 0
    for _, names in ids:
        low, high = np.searchsorted(wanted, [n_before, n_before + len(names)])
        hashes += (hash(names[i - n_before]) for i in wanted[low:high].tolist())
        n_before += len(names)
    return np.unique(np.array(hashes, np.int64))


def _clashing(
    names: Sequence[str], wanted: NDArray[np.int64], turn: int, n_turns: int
) -> list[int]:
    """Indices of the ids that are, or have a stem, among ``wanted``, for this turn."""
    families = [stems(name) for name in names]
    hashes = np.array([hash(stem) for family in families for stem in family], np.int64)
    member = np.repeat(np.arange(len(names)), [len(family) for family in families])
    near = np.unique(member[np.isin(hashes, wanted)])
    return [i for i in near.tolist() if hash(families[i][-1]) % n_turns == turn]


def _kept_ids(
    shards: Sequence[Path], first: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
    """For each shard the numbers of its records that are kept, and their ids."""
    for start, shard in _with_start(shards, [_ID, "reason"]):
        rows = _own_rows(shard, start, first)
        yield rows, _records(shard)[_ID].take(pa.array(rows - start)).to_pylist()


def _kept_rows(
    shard: pa.Table,
    start: int,
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
    suffixes: NDArray[np.int64],
) -> pa.Table:
    rows = _own_rows(shard, start, first)
    kept = _records(shard).select(SCHEMA.names).take(pa.array(rows - start))
    behind = suffixes[rows]
    if behind.any():
        ids = kept[_ID].to_pylist()
        for i in np.flatnonzero(behind).tolist():
            ids[i] = f"{ids[i]}_{behind[i]}"
        kept = kept.set_column(SCHEMA.get_field_index(_ID), _ID, pa.array(ids, pa.string()))
    return kept.set_column(SCHEMA.get_field_index(_COUNT), _COUNT, pa.array(counts[rows]))


def _rejects(
    shard: pa.Table, start: int, first: NDArray[np.int64], names: _Names
) -> Iterator[Reject]:
    """The rows that are not kept, in order."""
    is_record = pc.is_null(shard["reason"]).to_numpy()
    number = start + np.cumsum(is_record) - 1  # of the record in the row
    leader = np.full(len(is_record), -1, np.int64)
    leader[is_record] = first[number[is_record]]
    left = np.flatnonzero(~is_record | (leader != number))
    columns = shard.select(["source", "line", _ID, "reason", "detail"]).take(pa.array(left))
    for row, *values in zip(left.tolist(), *(c.to_pylist() for c in columns.columns)):
        source, line, name, reason, detail = values
        if reason is None:
            reason, detail = str(Fault.DUPLICATE), f"same as {names[int(leader[row])]}"
        yield Reject(source, line, name, reason, detail)


def _records(shard: pa.Table) -> pa.Table:
    return shard.filter(pc.is_null(shard["reason"]))


def _own_rows(shard: pa.Table, start: int, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the shard's records that no record before them equals."""
    numbers = np.arange(start, start + shard["reason"].null_count)
    return numbers[first[start : start + len(numbers)] == numbers]


def _with_start(
    shards: Sequence[Path], names: Sequence[str] | None = None
) -> Iterator[tuple[int, pa.Table]]:
    """The number of records before each shard, and the shard."""
    start = 0
    for path in shards:
        shard = read_shard(path) if names is None else read_shard(path, names)
        yield start, shard
        start += shard["reason"].null_count


def _tally(counter: Counter[str], column: pa.ChunkedArray) -> None:
    counts = column.value_counts()
    counter.update(dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist())))


class _Names:
    """The final ids of the kept rows, on disk."""

    def __init__(self, path: Path, n_records: int) -> None:
        self._file = path.open("w+b")
        self._spans = on_disk(path.with_suffix(".spans"), 2 * n_records).reshape(-1, 2)
        self._n_bytes = 0

    def add(self, ids: Sequence[str], rows: NDArray[np.int64]) -> None:
        encoded = [name.encode() for name in ids]
        stops = self._n_bytes + np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._spans[rows, 0] = np.append(self._n_bytes, stops)[:-1]
        self._spans[rows, 1] = stops
        self._file.seek(self._n_bytes)
        self._file.write(b"".join(encoded))
        self._n_bytes += sum(map(len, encoded))

    def __getitem__(self, row: int) -> str:
        start, stop = self._spans[row].tolist()
        self._file.seek(start)
        return self._file.read(stop - start).decode()

    def close(self) -> None:
        self._file.close()
