"""Tab- and comma-separated files: AIRR, OAS data units, 10x contigs, what a spreadsheet saves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

from hfbio.data.columns import has_sequences
from hfbio.data.readers import oas, tenx
from hfbio.data.readers.records import split_rows
from hfbio.data.readers.rows import Row, Rows, read_rows
from hfbio.data.readers.text import Line, read_lines
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_HEAD: Final = 100  # lines looked at for the header, which may be quoted over several
_DELIMITERS: Final = ("\t", ",", ";", "|")
_SEPARATOR_LINE: Final = "sep="  # Excel's own first line, followed by the delimiter


def read_delimited(
    path: Path, delimiter: str, *, source: str = "", chosen: Mapping[str, str] | None = None
) -> Iterator[AntibodyRecord | Reject]:
    """Read a table of text with one header line.

    What the table is shows in its content: the metadata line of an OAS data unit (see `oas`), the
    columns of 10x contigs (see `tenx`), else names that `hfbio.data.columns` knows. A row of
    another length than the header, and a header in the middle, are rejects.

    Args:
        path: see `read_lines`.
        delimiter: what the file's name promises. Another one is taken only if this one gives no
            column of sequences and the other one does (a spreadsheet's ``.csv`` with semicolons).
        source: what to call the file in records and rejects, if not by its path.
        chosen: see `hfbio.data.columns.find_columns`.

    Raises:
        DataError: see `read_lines`, `read_rows` and `tenx.with_sequences`.
    """
    source = source or str(path)
    lines = read_lines(path, source=source)
    head = list(islice(lines, _HEAD))
    first = head[0][1]
    if isinstance(first, str) and first.lower().startswith(_SEPARATOR_LINE) and first[4:]:
        head, delimiter = head[1:], first[4]
    delimiter = _delimiter(head, delimiter, source, chosen or {})
    rows = split_rows(chain(head, lines), delimiter, source)
    metadata, header = _top(rows, source)
    names = tuple(name.strip() for name in header)
    if metadata is not None:
        names += oas.COLUMNS
    table = Rows(source, names, _fitted(rows, header, metadata, source))
    if tenx.is_contigs(names, chosen or {}):
        table = tenx.with_sequences(table, path)
    return read_rows(table, chosen)


def _delimiter(head: Sequence[Line], promised: str, source: str, chosen: Mapping[str, str]) -> str:
    """The first delimiter that gives a known header; else the one that gives most columns."""
    widths = {}
    for mark in dict.fromkeys((promised, *_DELIMITERS)):
        _, names = _top(split_rows(head, mark, source), source)
        if has_sequences(names, chosen) or tenx.is_contigs(names, chosen):
            return mark
        widths[mark] = len(names)
    return max(widths, key=widths.__getitem__)


def _top(
    rows: Iterable[tuple[int, list[str] | Reject]], source: str
) -> tuple[dict[str, str] | None, list[str]]:
    """The metadata of an OAS unit, ``None`` without, and the header."""
    metadata = None
    for _, row in rows:
        if isinstance(row, Reject):
            raise DataError(f"{source}: line {row.line}, before the header: {row.reason}")
        if metadata is None and (metadata := oas.metadata(row)) is not None:
            continue
        return metadata, row
    raise DataError(f"{source}: no header, {'only metadata' if metadata else 'only blank lines'}")


def _fitted(
    rows: Iterable[tuple[int, list[str] | Reject]],
    header: list[str],
    metadata: dict[str, str] | None,
    source: str,
) -> Iterator[Row]:
    """Rows as long as the header, each with what the metadata above it adds."""
    added = () if metadata is None else oas.values(metadata)
    for line, row in rows:
        if isinstance(row, Reject):
            yield line, row
        elif row == header:
            yield line, Reject(source, line, "", Fault.REPEATED_HEADER)
        elif len(row) == len(header):
            yield line, (*row, *added)
        elif metadata is not None and (further := oas.metadata(row)) is not None:
            # Units joined with `cat`: what follows is of another run, perhaps of another donor.
            added = oas.values(further)
            yield line, Reject(source, line, "", Fault.REPEATED_HEADER, "metadata of another unit")
        else:
            detail = f"{len(row)} fields, the header has {len(header)}"
            yield line, Reject(source, line, "", Fault.MALFORMED, detail)
