"""From the rows of any table to records: one path for AIRR, CSV, Parquet and Hub data sets.

Checks that rows have the shape of their header; leaves the sequences to `rearrangement`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from hfbio.data.columns import find_columns
from hfbio.data.readers.rearrangement import read_chain
from hfbio.data.reject import Fault, Reject
from hfbio.data.values import text
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_EXAMPLES: Final = 100  # rows looked at to tell amino acids from nucleotides


@dataclass(frozen=True)
class Rows:
    """A table, read once: its column names, then its rows with their place."""

    source: str  # for messages
    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Sequence[object]]]  # (1-based line or row number, values)


def read_rows(table: Rows) -> Iterator[AntibodyRecord | Reject]:
    """Turn each row into a record, two for a heavy-light pair, or into a reject.

    The two chains of a pair share ``cell_id``. A row with one chain of a pair gives that chain.

    Raises:
        DataError: no column holds a sequence, or there are no rows; at once, not while iterating.
    """
    examples = list(islice(table.rows, _EXAMPLES))
    if not examples:
        raise DataError(f"{table.source}: a header and no rows")
    texts = [[text(value) for value in values] for _, values in examples]
    chains = find_columns(table.columns, texts, source=table.source)

    def records() -> Iterator[AntibodyRecord | Reject]:
        for line, values in chain(examples, table.rows):
            if len(values) != len(table.columns):
                detail = f"{len(values)} fields, the header has {len(table.columns)}"
                yield Reject(table.source, line, "", Fault.MALFORMED, detail)
                continue
            found = [read_chain(columns, values, table.source, line) for columns in chains]
            sequences = [r for r in found if not _absent(r)]
            yield from sequences or found[:1]

    return records()


def _absent(result: AntibodyRecord | Reject) -> bool:
    return isinstance(result, Reject) and result.reason is Fault.NO_SEQUENCE
