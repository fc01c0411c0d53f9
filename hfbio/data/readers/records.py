"""From lines of delimited text to rows of cells. Knows nothing of what the cells hold."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from hfbio.data.readers.text import Line
from hfbio.data.reject import Fault, Reject

_QUOTE: Final = '"'
_MOST_LINES: Final = 100  # in one quoted cell; an abstract has about 30


def split_rows(
    lines: Iterable[Line], delimiter: str, source: str
) -> Iterator[tuple[int, list[str] | Reject]]:
    """Cut lines into cells as `csv` does (RFC 4180), each row with the line where it begins.

    A quote that is not closed within 100 lines makes its line a reject, and reading goes on with
    the next one; `csv` alone would take the rest of the file for one cell. Blank lines are skipped.

    Args:
        lines: see `read_lines`; rejects pass through.
        delimiter: one character.
        source: for rejects.
    """
    waiting = _Waiting(iter(lines), deque())
    for number, line in waiting:
        if isinstance(line, Reject):
            yield number, line
        elif _QUOTE in line:
            yield number, _quoted(number, line, waiting, delimiter, source)
        elif line.strip(" "):
            yield number, line.split(delimiter)


@dataclass(slots=True)
class _Waiting:
    """Lines, some of which were given back."""

    lines: Iterator[Line]
    back: deque[Line]

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self.back.popleft() if self.back else next(self.lines)


def _quoted(
    number: int, first: str, waiting: _Waiting, delimiter: str, source: str
) -> list[str] | Reject:
    taken: list[Line] = []
    closed = True

    def further() -> Iterator[str]:  # asked for only while a quote is open
        nonlocal closed
        for item in waiting:
            taken.append(item)
            if isinstance(item[1], Reject) or len(taken) > _MOST_LINES:
                break
            yield item[1] + "\n"
        closed = False

    reader = csv.reader(chain([first + "\n"], further()), delimiter=delimiter)
    try:
        row = next(reader)
        detail = "a quote is not closed"
    except csv.Error as fault:
        closed, detail = False, str(fault)
    if closed:
        return row
    waiting.back.extendleft(reversed(taken))
    return Reject(source, number, "", Fault.MALFORMED, detail)
