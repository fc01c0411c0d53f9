"""Rows of tab- and comma-separated files, AIRR Rearrangement TSV among them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hfbio.data.readers.rows import Rows, read_rows
from hfbio.data.readers.text import open_text
from hfbio.data.reject import Reject
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_NAMES: Final = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


def read_delimited(
    path: Path, delimiter: str, *, source: str = ""
) -> Iterator[AntibodyRecord | Reject]:
    """Read a table of text with one header line; blank lines are skipped.

    Args:
        path: plain or gzip; see `open_text`.
        delimiter: what the file's name promises; no other one is tried, because a guess that goes
            wrong is harder to see than this error.
        source: what to call the file in records and rejects, if not by its path.

    Raises:
        DataError: see `open_text` and `read_rows`; or the header is separated by something else.
    """
    lines = _rows(path, delimiter)
    _, header = next(lines, (0, []))
    _check_header(path, header, delimiter)
    columns = tuple(str(name).strip() for name in header)
    return read_rows(Rows(source=source or str(path), columns=columns, rows=lines))


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, Sequence[object]]]:
    with open_text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        for values in reader:
            if values:
                yield reader.line_num, values


def _check_header(path: Path, header: Sequence[object], delimiter: str) -> None:
    if not header:
        raise DataError(f"{path}: only blank lines")
    line = str(header[0])
    if len(header) > 1:
        return
    others = {name: line.count(mark) for mark, name in _NAMES.items() if mark != delimiter}
    found, n_found = max(others.items(), key=lambda item: item[1])
    if n_found:
        raise DataError(
            f"{path}: expected {_NAMES[delimiter]} between columns, found {found} in line 1 "
            f"({line[:60]!r}); rename the file to match (.tsv for tabs, .csv for commas) or "
            "save it again"
        )
