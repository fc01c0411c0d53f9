"""What a table holds, counted row group by row group. Draws nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hfbio.data.table import read_groups
from hfbio.errors import DataError

Counts = Mapping[str, Mapping[int, int]]
"""By locus: how many rows have a number."""

_FAMILY = r"^(?P<family>IG[HKL]V[0-9]+)"


@dataclass(frozen=True)
class TableStats:
    """Counts of rows, most frequent first where they are of names; "" is unknown."""

    table: str
    n_rows: int
    n_reads: int  # reads or molecules behind the rows
    loci: Mapping[str, int]
    isotypes: Mapping[str, int]
    species: Mapping[str, int]
    v_families: Mapping[str, int]
    lengths: Counts  # residues of the domain
    cdr3_lengths: Counts  # residues
    germline_identity: Counts  # per cent, rounded down, of the residues whose germline is known
    n_without_germline: int  # rows in none of the above

    def __str__(self) -> str:
        lines = [_line("rows", f"{self.n_rows:,}"), _line("reads", f"{self.n_reads:,}")]
        for title, counts in (
            ("locus", self.loci),
            ("isotype", self.isotypes),
            ("species", self.species),
            ("V family", self.v_families),
        ):
            lines += [_line(f"{title} {k or 'unknown'}", f"{n:,}") for k, n in counts.items()]
        for title, found in (
            ("residues", self.lengths),
            ("CDR3 residues", self.cdr3_lengths),
            ("germline identity, %", self.germline_identity),
        ):
            lines += [
                _line(f"{title}, {locus or 'unknown'}: 5 %, median, 95 %", _spread(histogram))
                for locus, histogram in found.items()
            ]
        return "\n".join(lines)


def table_stats(table: str | Path) -> TableStats:
    """Count what is in a table that `import_table` wrote, in bounded memory.

    Raises:
        DataError: see `hfbio.data.table.read_groups`; or the table has no rows.
    """
    names: dict[str, Counter[str]] = {n: Counter() for n in ("locus", "isotype", "species", "v")}
    numbers: dict[str, dict[str, Counter[int]]] = {n: {} for n in ("all", "cdr3", "germline")}
    n_rows = n_reads = n_without = 0
    for rows in read_groups(Path(table)):
        n_rows += rows.num_rows
        n_reads += pc.sum(rows["duplicate_count"]).as_py() or 0
        for name in ("locus", "isotype", "species"):
            _add(names[name], rows[name])
        family = pc.struct_field(pc.extract_regex(rows["v_call"], _FAMILY), "family")
        _add(names["v"], pc.fill_null(family, ""))
        known = pc.not_equal(rows["germline_alignment_aa"], "")
        n_without += rows.num_rows - (pc.sum(known).as_py() or 0)
        for locus in pc.unique(rows["locus"]).to_pylist():
            own = pc.equal(rows["locus"], locus)
            chains = rows.filter(own)
            _count(numbers["all"], locus, pc.utf8_length(chains["sequence_aa"]).to_numpy())
            _count(numbers["cdr3"], locus, pc.utf8_length(chains["cdr3_aa"]).to_numpy())
            _count(numbers["germline"], locus, _identity(rows.filter(pc.and_(own, known))))
    if not n_rows:
        raise DataError(f"{table}: a table without rows")
    sorted_numbers = {
        name: {locus: dict(sorted(found[locus].items())) for locus in sorted(found)}
        for name, found in numbers.items()
    }
    return TableStats(
        table=str(table),
        n_rows=n_rows,
        n_reads=n_reads,
        loci=dict(names["locus"].most_common()),
        isotypes=dict(names["isotype"].most_common()),
        species=dict(names["species"].most_common()),
        v_families=dict(names["v"].most_common()),
        lengths=sorted_numbers["all"],
        cdr3_lengths=sorted_numbers["cdr3"],
        germline_identity=sorted_numbers["germline"],
        n_without_germline=n_without,
    )


def _line(name: str, value: str) -> str:
    return f"{name:<48} {value:>13}"


def _identity(rows: pa.Table) -> NDArray[np.int64]:
    """Per cent of equal residues, rounded down, of rows whose germline is not empty.

    A residue with ``-`` for its germline does not count; a row with nothing else is left out.
    """
    sequences, germlines = (
        rows[name].to_pylist() for name in ("sequence_aa", "germline_alignment_aa")
    )
    if not sequences:
        return np.zeros(0, np.int64)
    ours, theirs = (
        np.frombuffer("".join(part).encode(), np.uint8) for part in (sequences, germlines)
    )
    starts = list(accumulate(map(len, sequences[:-1]), initial=0))
    known = np.add.reduceat((theirs != ord("-")).astype(np.int64), starts)
    equal = np.add.reduceat((ours == theirs).astype(np.int64), starts)
    return 100 * equal[known > 0] // known[known > 0]


def _add(counter: Counter[str], column: pa.ChunkedArray) -> None:
    counts = column.value_counts()
    counter.update(dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist())))


def _count(found: dict[str, Counter[int]], locus: str, values: NDArray[np.int64]) -> None:
    kinds, counts = np.unique(values, return_counts=True)
    if len(kinds):
        found.setdefault(locus, Counter()).update(dict(zip(kinds.tolist(), counts.tolist())))


def _spread(histogram: Mapping[int, int]) -> str:
    values, counts = np.array(list(histogram)), np.array(list(histogram.values()))
    reached = np.cumsum(counts) / counts.sum()
    return ", ".join(str(values[np.searchsorted(reached, share)]) for share in (0.05, 0.5, 0.95))
