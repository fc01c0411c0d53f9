"""Open text files that may be compressed, and turn what is wrong with them into a DataError.

Knows nothing of what the text holds.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from hfbio.errors import DataError

_GZIP: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open ``path`` for reading as UTF-8; gzip is recognised by content, a BOM is dropped.

    Line ends come through as written, so that `csv` can treat them; other readers strip them.

    Raises:
        DataError: the file is missing, a folder or empty; is called ``.gz`` and is not; is cut
            short or damaged; or is not UTF-8. Also when that shows only while reading.
    """
    compressed = _looks_compressed(path)
    opener = gzip.open if compressed else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(
            f"{path}: damaged or cut-off gzip file ({fault}); fetch it again"
        ) from fault
    except UnicodeDecodeError as fault:
        raise DataError(
            f"{path}: not UTF-8 text (byte {fault.object[fault.start]:#04x}); "
            "save it as UTF-8, or give the file a name that says what it is"
        ) from fault
    except csv.Error as fault:
        raise DataError(f"{path}: {fault}") from fault


def _looks_compressed(path: Path) -> bool:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name the files in it")
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise DataError(f"{path}: empty file")
    if path.suffix == ".gz" and start != _GZIP:
        raise DataError(f"{path}: called .gz and not compressed; rename it to {path.stem}")
    return start == _GZIP
