"""Lines of text files and of standard input, decompressed, with their numbers and their damage.

Knows nothing of what the text holds.
"""

from __future__ import annotations

import gzip
import io
import logging
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import pyarrow as pa

from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError

STDIN: Final = "-"
LONGEST: Final = 1 << 20
"""Characters of a line, or residues of a FASTA record, at most; a row of OAS has about 5,000."""

Line = tuple[int, str | Reject]
"""The 1-based number of a line, and its text without the line end, or why it has none."""

log = logging.getLogger(__name__)
_GZIP: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1
_ZSTD: Final = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
# zlib and gzip have their own kinds; pyarrow's faults of zstd are OSError or ArrowInvalid.
_DAMAGE: Final = (EOFError, zlib.error, OSError, pa.ArrowException)


def read_lines(path: Path, *, source: str = "") -> Iterator[Line]:
    """Read ``path`` line by line in bounded memory, or standard input if it is ``-``.

    gzip and zstd are recognised by content. A byte order mark is dropped; lines end with LF, CRLF
    or CR. A line that is not UTF-8 is read as Latin-1, which leaves sequences as they are and may
    misspell a name; how many there were is logged at the end. A line of more than `LONGEST`
    characters is a `Reject` and is not held in memory. Where the file is cut off or damaged, that
    is the last item, a `Reject`; the lines before it are good but for those that a wrong checksum
    puts in doubt.

    Args:
        path: the file.
        source: what to call it, if not by its path.

    Raises:
        DataError: the file is missing, a folder, empty, UTF-16 or binary; is called ``.gz`` or
            ``.zst`` and is not; or its first line cannot be read. With the first item.
    """
    source = source or str(path)
    text = _open(path, source)
    number, n_odd, first_odd = 0, 0, 0
    with text:
        while True:
            number += 1
            try:
                line = text.readline(LONGEST + 1)
                is_long = len(line) > LONGEST and line[-1] != "\n"
                n_more = _skip_rest(text) if is_long else 0
            except _DAMAGE as fault:
                if number == 1:
                    raise DataError(f"{source}: damaged or cut-off file ({fault})") from fault
                yield number, Reject(source, number, "", Fault.DAMAGED, str(fault))
                break
            if not line:
                break
            if is_long:
                detail = f"{LONGEST + 1 + n_more:,} characters, at most {LONGEST:,} are read"
                yield number, Reject(source, number, "", Fault.TOO_LONG, detail)
                continue
            if not line.isascii():
                line, is_utf8 = _decode(line)
                n_odd, first_odd = n_odd + (not is_utf8), first_odd or number * (not is_utf8)
            if number == 1:
                line = line.removeprefix("\ufeff")
                if "\0" in line:
                    raise DataError(f"{source}: a binary file, not text")
            yield number, line.removesuffix("\n")
    if n_odd:
        log.warning(
            "%s: %d lines are not UTF-8 and were read as Latin-1, the first is line %d",
            source, n_odd, first_odd,
        )  # fmt: skip


def _open(path: Path, source: str) -> IO[str]:
    """As Latin-1, which maps every byte to one character, so that decoding never fails."""
    name = str(path)
    if name == STDIN:
        file = io.BufferedReader(cast(Any, sys.stdin.buffer))
    elif path.is_dir():
        raise DataError(f"{path} is a folder; name the files in it")
    elif not path.exists():
        raise DataError(f"{path}: no such file")
    else:
        file = path.open("rb")
    start = file.peek(4)[:4]
    if not start:
        raise DataError(f"{source}: empty file")
    if start[:2] in _UTF16:
        raise DataError(f"{source}: UTF-16 text; save it as UTF-8")
    for suffix, magic in ((".gz", _GZIP), (".zst", _ZSTD)):
        if path.suffix == suffix and not start.startswith(magic):
            raise DataError(
                f"{path}: called {suffix} and not compressed so; rename it to {path.stem}"
            )
    binary: Any = file
    if start.startswith(_GZIP):
        binary = gzip.GzipFile(fileobj=file)
    elif start.startswith(_ZSTD):
        binary = io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
    return io.TextIOWrapper(binary, encoding="latin-1")


def _skip_rest(text: IO[str]) -> int:
    """How many characters the line goes on for; none of them is kept."""
    n = 0
    while (piece := text.readline(LONGEST)) and piece[-1] != "\n":
        n += len(piece)
    return n + len(piece.removesuffix("\n"))


def _decode(line: str) -> tuple[str, bool]:
    try:
        return line.encode("latin-1").decode("utf-8"), True
    except UnicodeDecodeError:
        return line, False
