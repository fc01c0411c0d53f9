"""Sources in, one table out, and an account of every row. Chooses no splits."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from hfbio.data.clean import clean
from hfbio.data.duplicates import Duplicates
from hfbio.data.readers import read
from hfbio.data.reject import Reject, write_rejects
from hfbio.data.staging import staged_file
from hfbio.data.table import SCHEMA, digest, from_arrow, read_arrow, to_arrow
from hfbio.errors import DataError
from hfbio.numbering import MAX_MISSING
from hfbio.record import AntibodyRecord

log = logging.getLogger(__name__)

_CHUNK: Final = 20_000  # records held as Python objects before they become Arrow columns
_COUNT: Final = "duplicate_count"


@dataclass(frozen=True)
class ImportReport:
    """What became of every chain: ``n_read == n_kept + n_rejected``."""

    sources: tuple[str, ...]
    n_read: int
    n_kept: int
    rejected: Mapping[str, int]  # by reason, most frequent first
    n_renamed: int  # kept under a new sequence_id, because theirs was taken
    loci: Mapping[str, int]  # of kept rows
    isotypes: Mapping[str, int]  # of kept rows; "" is unknown
    digest: str  # see `table.digest`
    output: str = ""
    rejects: str = ""  # the file that lists the rejects; empty if none was written

    @property
    def n_rejected(self) -> int:
        """Chains left out, for any reason."""
        return sum(self.rejected.values())

    def __str__(self) -> str:
        rows = [("read", self.n_read), ("kept", self.n_kept), ("rejected", self.n_rejected)]
        rows += [(f"  {reason}", n) for reason, n in self.rejected.items()]
        rows += [(f"kept {name or 'unknown'}", n) for name, n in self.loci.items()]
        rows += [(f"  {name or 'unknown isotype'}", n) for name, n in self.isotypes.items()]
        if self.n_renamed:
            rows.append(("renamed, id was taken", self.n_renamed))
        return "\n".join(f"{name:<52} {n:>9,}" for name, n in rows)


def import_table(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    species: str = "",
    max_missing: int = MAX_MISSING,
    progress: bool = True,
) -> ImportReport:
    """Read, clean, number and de-duplicate ``sources`` into one Parquet table.

    Rejects are listed with their lines in ``OUTPUT`` with the suffix ``.rejects.tsv``. Both files
    appear complete or not at all.

    Args:
        sources: see `hfbio.data.read`.
        output: the table, ``.parquet``; replaced if it exists.
        species: for rows whose source names none.
        max_missing: residues that a domain may lack at either end; see `hfbio.numbering.check`.
        progress: show a running count on standard error, if that is a terminal.

    Raises:
        DataError: a source cannot be used, the output is not called ``.parquet``, or no chain is
            left.
        MissingExtra: an ``example:`` needs a package that is not installed.
    """
    path = table_path(output)
    items = _cleaned(sources, species, max_missing)
    return write_table(items, path, sources=sources, progress=progress)


def table_path(output: str | Path) -> Path:
    """``output`` as a path.

    Raises:
        DataError: it is not called ``.parquet``.
    """
    path = Path(output)
    if path.suffix != ".parquet":
        raise DataError(f"{path}: the table is Parquet; call it {path.with_suffix('.parquet')}")
    return path


def write_table(
    items: Iterable[AntibodyRecord | Reject],
    output: Path,
    *,
    sources: Sequence[str | Path],
    n_wanted: int | None = None,
    progress: bool = True,
) -> ImportReport:
    """De-duplicate cleaned ``items`` into a table and a list of rejects, as `import_table` does.

    Args:
        items: numbered records and rejects.
        output: see `table_path`.
        sources: where the items come from, for messages and the report.
        n_wanted: rows after which no further item is taken; ``None`` takes all.
        progress: see `import_table`.

    Raises:
        DataError: no chain is left.
    """
    rejects = output.with_suffix(".rejects.tsv")
    intake = _Intake(sources)
    with staged_file(output) as partial, staged_file(rejects) as partial_rejects:
        shown = _shown(items) if progress and sys.stderr.isatty() else items
        write_rejects(intake.take(shown, n_wanted), partial_rejects)
        table = intake.table()
        pq.write_table(table, partial, compression="zstd")
    return replace(intake.report(table), output=str(output), rejects=str(rejects))


def read_numbered(
    source: str | Path, *, species: str = "", max_missing: int = MAX_MISSING
) -> tuple[list[AntibodyRecord], list[Reject]]:
    """Read and number every chain of a source, duplicates too: for scoring, not for training.

    Args:
        source: see `hfbio.data.read`.
        species: for rows that name none.
        max_missing: see `import_table`.

    Returns:
        Numbered records and rejects, each in the order of the source.

    Raises:
        DataError: the source cannot be used.
        MissingExtra: see `import_table`.
    """
    records: list[AntibodyRecord] = []
    rejects: list[Reject] = []
    for item in _cleaned([source], species, max_missing):
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            records.append(item)
    return records, rejects


def load_table(source: str | Path) -> list[AntibodyRecord]:
    """The numbered records of a table, or of any other source that `hfbio.data.read` takes.

    A Parquet table of `import_table` is taken as it is. Anything else (a Hub data set, FASTA, an
    AIRR file) is cleaned and de-duplicated on the way in, and what was rejected is logged.

    Raises:
        DataError: see `import_table` and `read_arrow`.
        MissingExtra: see `import_table`.
    """
    path = Path(source)
    if path.suffix == ".parquet" and not str(source).startswith("hf://"):
        return from_arrow(read_arrow(path))
    intake = _Intake([source])
    for item in _cleaned([source], "", MAX_MISSING):
        intake.add(item)
    table = intake.table()
    if intake.rejected:
        log.warning("%s:\n%s", source, intake.report(table))
    return from_arrow(table)


class _Intake:
    """Takes items one by one and becomes a table; counts all of them."""

    def __init__(self, sources: Sequence[str | Path]) -> None:
        self.rejected: Counter[str] = Counter()
        self._sources = tuple(map(str, sources))
        self._n_read = 0
        self._examples: list[Reject] = []
        self._duplicates = Duplicates()
        self._chunk: list[AntibodyRecord] = []
        self._tables: list[pa.Table] = []

    def take(
        self, items: Iterable[AntibodyRecord | Reject], n_wanted: int | None
    ) -> Iterator[Reject]:
        """Add items until ``n_wanted`` rows are kept; gives the rejects as they come."""
        for item in items:
            if reject := self.add(item):
                yield reject
            if len(self._duplicates.counts) == n_wanted:
                return

    def add(self, item: AntibodyRecord | Reject) -> Reject | None:
        """Keep a cleaned record, or give back the reject that it is or becomes."""
        self._n_read += 1
        result = item if isinstance(item, Reject) else self._duplicates.admit(item)
        if isinstance(result, Reject):
            self.rejected[result.reason] += 1
            if len(self._examples) < 3:
                self._examples.append(result)
            return result
        self._chunk.append(result)
        if len(self._chunk) == _CHUNK:
            self._tables.append(to_arrow(self._chunk))
            self._chunk.clear()
        return None

    def table(self) -> pa.Table:
        """All that was kept, in order, with the reads of duplicates added up."""
        if not self._duplicates.counts:
            raise DataError(self._nothing_kept())
        table = pa.concat_tables([*self._tables, to_arrow(self._chunk)])
        counts = pa.array(self._duplicates.counts, pa.int64())
        return table.set_column(SCHEMA.get_field_index(_COUNT), _COUNT, counts)

    def report(self, table: pa.Table) -> ImportReport:
        return ImportReport(
            sources=self._sources,
            n_read=self._n_read,
            n_kept=table.num_rows,
            rejected={str(reason): n for reason, n in self.rejected.most_common()},
            n_renamed=self._duplicates.n_renamed,
            loci=dict(Counter(table["locus"].to_pylist()).most_common()),
            isotypes=dict(Counter(table["isotype"].to_pylist()).most_common()),
            digest=digest(table),
        )

    def _nothing_kept(self) -> str:
        reasons = "; ".join(f"{reason}: {n}" for reason, n in self.rejected.most_common())
        examples = "; ".join(
            f"{r.source}:{r.line} {r.sequence_id}: {r.reason} {r.detail}".rstrip()
            for r in self._examples
        )
        return (
            f"{', '.join(self._sources)}: none of {self._n_read} chains is a full, new antibody "
            f"variable domain ({reasons}); the first: {examples}"
        )


def _cleaned(
    sources: Sequence[str | Path], species: str, max_missing: int
) -> Iterator[AntibodyRecord | Reject]:
    readers = [read(source) for source in sources]  # a wrong source stops before any work
    return clean(chain.from_iterable(readers), species=species, max_missing=max_missing)


def _shown(items: Iterable[AntibodyRecord | Reject]) -> Iterator[AntibodyRecord | Reject]:
    """The same items, with a running count on standard error."""
    for n_read, item in enumerate(items, start=1):
        if n_read % 1000 == 0:
            print(f"\r{n_read:,} chains read", end="", file=sys.stderr, flush=True)
        yield item
    print("\r\033[K", end="", file=sys.stderr, flush=True)
