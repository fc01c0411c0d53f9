"""From the rows of any table to records: one path for AIRR, CSV, Parquet and Hub data sets.

Leaves finding the columns to `hfbio.data.columns`, and the sequences to `rearrangement`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from hfbio.data.columns import describe, find_columns
from hfbio.data.readers.rearrangement import read_chain
from hfbio.data.reject import Fault, Reject
from hfbio.data.values import text
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

log = logging.getLogger(__name__)

Row = tuple[int, Sequence[object] | Reject]
"""The 1-based line or row number, and one value for each column, or why there are none."""

_EXAMPLES: Final = 100  # rows looked at to tell amino acids from nucleotides


@dataclass(frozen=True)
class Rows:
    """A table, read once: its column names, then its rows with their place."""

    source: str  # for messages
    columns: tuple[str, ...]
    rows: Iterator[Row]


def read_rows(
    table: Rows, chosen: Mapping[str, str] | None = None
) -> Iterator[AntibodyRecord | Reject]:
    """Turn each row into a record, two for a heavy-light pair, or into a reject.

    The two chains of a pair share ``cell_id``. A row with one chain of a pair gives that chain.
    Which columns are read is logged.

    Args:
        table: as read.
        chosen: see `hfbio.data.columns.find_columns`.

    Raises:
        DataError: no column holds a sequence, or there are no rows; at once, not while iterating.
    """
    examples = list(islice(table.rows, _EXAMPLES))
    if not examples:
        raise DataError(f"{table.source}: a header and no rows")
    texts = [[text(value) for value in row] for _, row in examples if not isinstance(row, Reject)]
    chains = find_columns(table.columns, texts, source=table.source, chosen=chosen)
    log.info("%s: %s", table.source, describe(chains, table.columns))

    def records() -> Iterator[AntibodyRecord | Reject]:
        for line, row in chain(examples, table.rows):
            if isinstance(row, Reject):
                yield row
                continue
            found = [read_chain(columns, row, table.source, line) for columns in chains]
            sequences = [r for r in found if not _absent(r)]
            yield from sequences or found[:1]

    return records()


def _absent(result: AntibodyRecord | Reject) -> bool:
    return isinstance(result, Reject) and result.reason is Fault.NO_SEQUENCE
