"""Sources in, one table out, and an account of every row. Chooses no splits."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hfbio.data.clean import clean
from hfbio.data.duplicates import identity_of
from hfbio.data.firsts import key
from hfbio.data.merge import Merged, merge
from hfbio.data.numberers import Numbering, Piece, number_pieces
from hfbio.data.readers import Source, read
from hfbio.data.reject import Reject
from hfbio.data.shards import Shards, kept_shards
from hfbio.data.staging import staged_file
from hfbio.data.table import from_arrow, read_arrow
from hfbio.errors import DataError, SettingError
from hfbio.numbering import MAX_MISSING
from hfbio.record import AntibodyRecord

log = logging.getLogger(__name__)

_PIECE: Final = 5_000  # records or rejects held as Python objects before they go to disk


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
    sources: Sequence[str | Path | Source],
    output: str | Path,
    *,
    species: str = "",
    max_missing: int = MAX_MISSING,
    num_proc: int = 1,
    progress: bool = True,
) -> ImportReport:
    """Read, clean, number and de-duplicate ``sources`` into one Parquet table.

    Rejects are listed with their lines in ``OUTPUT`` with the suffix ``.rejects.tsv``. Both files
    appear complete or not at all. However many rows there are, one row group of the table and a
    few pieces of 5,000 rows for each process are in memory. What is numbered waits in the folder
    ``OUTPUT.partial``: the same call goes on there after a kill or Ctrl-C, if the sources are
    files that have not changed; else it starts anew and says so.

    Args:
        sources: see `hfbio.data.read`.
        output: the table, ``.parquet``; replaced if it exists.
        species: for rows whose source names none.
        max_missing: residues that a domain may lack at either end; see `hfbio.numbering.check`.
        num_proc: processes that number, started where there are more than 20,000 rows; more than
            one needs a script whose own work stands under ``if __name__ == "__main__"``. The
            result does not depend on it.
        progress: show count, rate and rejects on standard error, if that is a terminal.

    Raises:
        DataError: a source cannot be used, the output is not called ``.parquet``, no chain is
            left, or another import writes the same table.
        MissingExtra: an ``example:`` needs a package that is not installed.
        SettingError: ``num_proc`` is below 1.
    """
    path = table_path(output)
    if num_proc < 1:
        raise SettingError(f"num_proc must be at least 1, got {num_proc}")
    readers = [read(source) for source in sources]  # a wrong source stops before any work
    items = chain.from_iterable(readers)
    return _import(items, path, sources, Numbering(species, max_missing), num_proc, progress)


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
    sources: Sequence[str | Path | Source],
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
    wanted = items if n_wanted is None else _distinct(items, n_wanted)
    return _import(wanted, output, sources, None, 1, progress)


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
    for item in clean(read(source), species=species, max_missing=max_missing):
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
    with TemporaryDirectory() as folder:
        table = Path(folder) / "table.parquet"
        report = import_table([source], table, progress=False)
        if report.n_rejected:
            log.warning("%s:\n%s", source, report)
        return from_arrow(read_arrow(table))


def _import(
    items: Iterable[AntibodyRecord | Reject],
    output: Path,
    sources: Sequence[str | Path | Source],
    numbering: Numbering | None,
    num_proc: int,
    progress: bool,
) -> ImportReport:
    rejects = output.with_suffix(".rejects.tsv")
    # Records that were made and not read cannot be asked for again.
    known = tuple(map(str, sources)) if numbering else ()
    reading = [repr(source) for source in sources if isinstance(source, Source)]
    settings = {"numbering": numbering, "piece": _PIECE, "reading": reading}
    with kept_shards(output, known, settings) as shards:
        paths: list[Path] = []
        done = number_pieces(_pieces(items, shards, paths), numbering, num_proc)
        for _ in _shown(done) if progress and sys.stderr.isatty() else done:
            pass
        with staged_file(output) as partial, staged_file(rejects) as partial_rejects:
            merged = merge(paths, shards.folder / "merge", partial, partial_rejects)
            if not merged.n_kept:
                raise DataError(_nothing_kept(sources, merged))
    return ImportReport(
        sources=tuple(map(str, sources)),
        n_read=merged.n_read,
        n_kept=merged.n_kept,
        rejected=dict(merged.rejected.most_common()),
        n_renamed=merged.n_renamed,
        loci=dict(merged.loci.most_common()),
        isotypes=dict(merged.isotypes.most_common()),
        digest=merged.digest,
        output=str(output),
        rejects=str(rejects),
    )


def _pieces(
    items: Iterable[AntibodyRecord | Reject], shards: Shards, paths: list[Path]
) -> Iterator[Piece]:
    """The pieces that are not finished yet; ``paths`` gets those of all, in order."""
    items = iter(items)
    while piece := list(islice(items, _PIECE)):
        path = shards.path(len(paths))
        paths.append(path)
        if not path.exists():
            yield path, piece


def _distinct(
    items: Iterable[AntibodyRecord | Reject], n_wanted: int
) -> Iterator[AntibodyRecord | Reject]:
    """Items up to the one with which ``n_wanted`` different records have come."""
    seen: set[bytes] = set()
    for item in items:
        yield item
        if isinstance(item, AntibodyRecord):
            seen.add(key(identity_of(item)))
            if len(seen) == n_wanted:
                return


def _nothing_kept(sources: Sequence[str | Path | Source], merged: Merged) -> str:
    reasons = "; ".join(f"{reason}: {n}" for reason, n in merged.rejected.most_common())
    examples = "; ".join(
        f"{r.source}:{r.line} {r.sequence_id}: {r.reason} {r.detail}".rstrip()
        for r in merged.examples
    )
    return (
        f"{', '.join(map(str, sources))}: none of {merged.n_read} chains is a full, new antibody "
        f"variable domain ({reasons}); the first: {examples}"
    )


def _shown(done: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same counts, with what they add up to on standard error."""
    n_read = n_rejected = 0
    started = time.monotonic()
    for n_items, n_rejects in done:
        n_read += n_items
        n_rejected += n_rejects
        rate = n_read / max(time.monotonic() - started, 1e-3)
        shown = f"{n_read:,} chains numbered, {n_rejected:,} rejected, {rate:,.0f}/s"
        print(f"\r\033[K{shown}", end="", file=sys.stderr, flush=True)
        yield n_items, n_rejects
    print("\r\033[K", end="", file=sys.stderr, flush=True)
