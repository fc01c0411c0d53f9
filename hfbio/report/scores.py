"""Scores of chains as a CSV file. Computes no score."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfbio.data.reject import Reject, write_rejects
from hfbio.data.staging import staged_file


@dataclass(frozen=True)
class WrittenScores:
    """Where scores were written, and what was not scored."""

    path: Path
    rejects_path: Path
    n_scored: int
    rejected: dict[str, int]  # reason -> chains

    def __str__(self) -> str:
        lines = [f"scored {self.n_scored}, rejected {sum(self.rejected.values())}"]
        lines += [f"  {n} x {reason}" for reason, n in self.rejected.items()]
        lines.append(f"scores   {self.path}")
        if self.rejected:
            lines.append(f"rejects  {self.rejects_path}")
        return "\n".join(lines)


def write_scores(
    rows: Iterable[Mapping[str, Any]], rejects: Sequence[Reject], path: Path
) -> WrittenScores:
    """Write one line per chain as it is scored; the file appears when all are done.

    Rejects, if there are any, are listed beside it as ``NAME.rejects.tsv``.
    """
    n_scored = 0
    with staged_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
            writer.writerow(row)
            n_scored += 1
    rejects_path = path.with_suffix(".rejects.tsv")
    if rejects:
        with staged_file(rejects_path) as partial:
            write_rejects(rejects, partial)
    counts = Counter(str(reject.reason) for reject in rejects)
    return WrittenScores(path, rejects_path, n_scored, dict(counts.most_common()))
