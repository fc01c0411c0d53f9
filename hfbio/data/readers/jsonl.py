"""Rows of JSON Lines files: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Final

from hfbio.data.readers.rows import Row, Rows, read_rows
from hfbio.data.readers.text import read_lines
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_EXAMPLES: Final = 100  # rows whose keys, together, are the columns


def read_jsonl(
    path: Path, chosen: Mapping[str, str] | None = None
) -> Iterator[AntibodyRecord | Reject]:
    """Read a JSON Lines file; keys are column names, and a key that a row lacks is missing there.

    The columns are the keys of the first 100 rows. A line that is no JSON object is a reject.

    Args:
        path: see `read_lines`.
        chosen: see `hfbio.data.columns.find_columns`.

    Raises:
        DataError: see `read_lines` and `read_rows`; or none of the first 100 lines is an object.
    """
    objects = _objects(path)
    examples = list(islice(objects, _EXAMPLES))
    names: dict[str, None] = {}
    for _, row in examples:
        if not isinstance(row, Reject):
            names |= dict.fromkeys(row)
    if not names:
        raise DataError(f"{path}: no line is a JSON object with keys")

    def rows() -> Iterator[Row]:
        for line, row in chain(examples, objects):
            yield line, row if isinstance(row, Reject) else tuple(map(row.get, names))

    return read_rows(Rows(str(path), tuple(names), rows()), chosen)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, object] | Reject]]:
    for number, line in read_lines(path):
        if isinstance(line, Reject):
            yield number, line
        elif line.strip():
            yield (
                number,
                _object(line)
                or Reject(
                    str(path), number, "", Fault.MALFORMED, f"not a JSON object: {line[:40]!r}"
                ),
            )


def _object(line: str) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
