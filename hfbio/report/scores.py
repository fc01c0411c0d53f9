"""Scores of chains as a CSV file. Computes no score."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfbio.data import Reject
from hfbio.data.staging import staged_file


@dataclass(frozen=True)
class WrittenScores:
    """Where scores were written, and what was not scored."""

    path: Path
    n_scored: int
    rejects: tuple[Reject, ...]

    def __str__(self) -> str:
        lines = [f"scored {self.n_scored}, rejected {len(self.rejects)}"]
        lines += [
            f"  {r.source}:{r.line} {r.sequence_id}: {r.reason} ({r.detail})"
            for r in self.rejects[:20]
        ]
        return "\n".join([*lines, f"scores   {self.path}"])


def write_scores(
    rows: Iterable[Mapping[str, Any]], rejects: Sequence[Reject], path: Path
) -> WrittenScores:
    """Write one line per chain as it is scored; the file appears when all are done."""
    n_scored = 0
    with staged_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
            writer.writerow(row)
            n_scored += 1
    return WrittenScores(path, n_scored, tuple(rejects))
