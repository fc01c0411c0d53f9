"""Scans of chains as one long CSV file. Asks no model."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hfbio.data.staging import staged_file
from hfbio.errors import SettingError
from hfbio.score.scan import Scan

COLUMNS: Final = (
    "sequence_id",
    "locus",
    "position",
    "index",
    "residue",
    "mutant",
    "log_p",
    "log_ratio",
)


def require_mutations(path: Path, output: Path) -> None:
    """Check the name of the file before the work.

    Raises:
        SettingError: not ``.csv``, or the file that the scores go to.
    """
    if path.suffix != ".csv":
        raise SettingError(f"{path}: mutations are written as .csv")
    if path.resolve() == output.resolve():
        raise SettingError(f"{path} is where the scores go; write the mutations to another file")


@contextmanager
def mutations_file(path: Path) -> Iterator[Callable[[Scan], None]]:
    """What writes scans, 20 lines a residue; the file appears when the block succeeds."""
    with staged_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS)
        writer.writeheader()
        yield lambda scan: writer.writerows(scan.rows())
