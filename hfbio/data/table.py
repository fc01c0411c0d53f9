"""The one table: numbered chains under AIRR names, in Parquet. Knows nothing of its origin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

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


def to_arrow(records: Sequence[AntibodyRecord]) -> pa.Table:
    """A table of numbered records, in order. ``source`` is not stored."""
    columns: list[list[object]] = [[getattr(r, name) for r in records] for name in _RECORD_COLUMNS]
    columns += [[r.region(name) for r in records] for name in REGIONS]
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
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; make it with: hfbio data import SOURCE --output {path}"
        )
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as fault:
        raise DataError(f"{path}: not a Parquet file ({fault})") from fault
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataError(
            f"{path}: not an hfbio table, it lacks {', '.join(missing)}; "
            f"make one with: hfbio data import {path} --output TABLE.parquet"
        )
    try:
        table = table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as fault:
        raise DataError(f"{path}: a column has the wrong type ({fault})") from fault
    _check_regions(path, table)
    return table


def digest(table: pa.Table) -> str:
    """SHA-256 of what the table says, in hexadecimal.

    Each row is its values in the order of `SCHEMA`, joined by the unit separator (U+001F), UTF-8;
    the hash is over the sorted hashes of the rows. So row order, compression and the version of
    Parquet do not change it, and any value does.
    """
    columns = (table[name].to_pylist() for name in SCHEMA.names)
    rows = ("\x1f".join(map(str, row)).encode() for row in zip(*columns))
    return _hash_of_hashes(hashlib.sha256(row).digest() for row in rows)


def _hash_of_hashes(hashes: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()


def _check_regions(path: Path, table: pa.Table) -> None:
    regions = zip(*(table[name].to_pylist() for name in _REGION_COLUMNS))
    for i, (sequence, parts) in enumerate(zip(table["sequence_aa"].to_pylist(), regions)):
        if "".join(parts) != sequence:
            raise DataError(
                f"{path}: row {i + 1}: the regions do not add up to sequence_aa; "
                "import the sequences again"
            )
