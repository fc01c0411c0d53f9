"""The one table: numbered chains under AIRR names, in Parquet. Knows nothing of its origin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hfbio.errors import DataError
from hfbio.record import REGIONS, AntibodyRecord

_RECORD_COLUMNS: Final = (
    "sequence_id", "sequence_aa", "locus", "species", "isotype", "v_call", "j_call", "c_call",
    "clone_id", "subject", "cell_id", "germline_alignment_aa",
)  # fmt: skip
_REGION_COLUMNS: Final = tuple(f"{region}_aa" for region in REGIONS)
SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in (*_RECORD_COLUMNS, *_REGION_COLUMNS)),
        ("duplicate_count", pa.int64()),
    ]
)
"""Columns in order. Strings are never null: empty means not known. The seven region columns,
joined, are ``sequence_aa``; ``germline_alignment_aa`` is empty or as long as it."""

ROW_GROUP: Final = 65_536  # rows written at once, and read at once where not all are needed
HASH_BYTES: Final = 32  # of a row in `row_hashes`


def to_arrow(records: Sequence[AntibodyRecord]) -> pa.Table:
    """A table of numbered records, in order. ``source`` is not stored."""
    columns: list[list[object]] = [[getattr(r, name) for r in records] for name in _RECORD_COLUMNS]
    cuts = [(r.sequence_aa, r.regions) for r in records]
    columns += [[s[c[i] : c[i + 1]] for s, c in cuts] for i in range(len(REGIONS))]
    columns.append([r.duplicate_count for r in records])
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA)], schema=SCHEMA)


def from_arrow(table: pa.Table) -> list[AntibodyRecord]:
    """The records of a table that has the columns of `SCHEMA`, in order."""
    values = {name: table[name].to_pylist() for name in SCHEMA.names}
    cuts = (
        tuple(accumulate(map(len, regions), initial=0))
        for regions in zip(*(values[name] for name in _REGION_COLUMNS))
    )
    fields = (*_RECORD_COLUMNS, "duplicate_count")
    rows = zip(*(values[name] for name in fields))
    return [
        AntibodyRecord(**dict(zip(fields, row)), regions=regions)
        for row, regions in zip(rows, cuts)
    ]


def read_arrow(path: Path) -> pa.Table:
    """The columns of `SCHEMA` from a Parquet file that `import_table` or `split_table` wrote.

    Raises:
        DataError: no such file, not Parquet, a column is missing or of another type, or the regions
            of a row do not add up to its sequence.
    """
    return pa.concat_tables([SCHEMA.empty_table(), *read_groups(path)])


def read_groups(path: Path) -> Iterator[pa.Table]:
    """What `read_arrow` gives, one row group after the other; raises the same, some of it late."""
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; make it with: hfbio data import SOURCE --output {path}"
        )
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as fault:
        raise DataError(f"{path}: not a Parquet file ({fault})") from fault
    with file:
        missing = [name for name in SCHEMA.names if name not in file.schema_arrow.names]
        if missing:
            raise DataError(
                f"{path}: not an hfbio table, it lacks {', '.join(missing)}; "
                f"make one with: hfbio data import {path} --output TABLE.parquet"
            )
        n_before = 0
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group, SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as fault:
                raise DataError(f"{path}: a column has the wrong type ({fault})") from fault
            _check_regions(path, table, n_before)
            yield table
            n_before += table.num_rows


class TableWriter:
    """A Parquet file under `SCHEMA` whose row groups have one size, whatever comes in."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *fault: object) -> None:
        if fault[0] is None and self._n_waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._writer.close()

    def add(self, rows: pa.Table) -> None:
        """Write rows behind those before."""
        self._waiting.append(rows)
        self._n_waiting += rows.num_rows
        while self._n_waiting >= ROW_GROUP:
            table = pa.concat_tables(self._waiting)
            self._writer.write_table(table.slice(0, ROW_GROUP))
            self._waiting = [table.slice(ROW_GROUP)]
            self._n_waiting = self._waiting[0].num_rows


def digest(table: pa.Table) -> str:
    """SHA-256 of what the table says, in hexadecimal.

    Each row is its values in the order of `SCHEMA`, joined by the unit separator (U+001F), UTF-8;
    the hash is over the sorted hashes of the rows. So row order, compression and the version of
    Parquet do not change it, and any value does.
    """
    return hash_of_hashes([row_hashes(table)])


def row_hashes(table: pa.Table) -> NDArray[np.uint8]:
    """``(N, 32)`` SHA-256 of each row; see `digest`."""
    hashes = bytearray()
    for start in range(0, table.num_rows, ROW_GROUP):  # bounds the joined text
        part = table.slice(start, ROW_GROUP)
        columns = [part[name].cast(pa.string()) for name in SCHEMA.names]
        joined = pc.binary_join_element_wise(
            *columns, "\x1f", null_handling="replace", null_replacement="None"
        )
        for row in joined.cast(pa.binary()).to_pylist():
            hashes += hashlib.sha256(row).digest()
    return np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES)


def hash_of_hashes(parts: Iterable[NDArray[np.uint8]]) -> str:
    """The digest of a table whose rows have these hashes.

    Args:
        parts: ``(m, 32)`` each, any order inside; no hash is below one of an earlier part.
    """
    total = hashlib.sha256()
    for part in parts:
        words = np.ascontiguousarray(part).view(">u8").astype(np.uint64)
        total.update(part[np.lexsort(words.T[::-1])].tobytes())
    return total.hexdigest()


def _check_regions(path: Path, table: pa.Table, n_before: int) -> None:
    regions = [table[name] for name in _REGION_COLUMNS]
    fits = pc.equal(pc.binary_join_element_wise(*regions, ""), table["sequence_aa"])
    wrong = np.flatnonzero(~pc.fill_null(fits, False).to_numpy())
    if len(wrong):
        raise DataError(
            f"{path}: row {n_before + wrong[0] + 1}: the regions do not add up to sequence_aa; "
            "import the sequences again"
        )
