"""10x Genomics V(D)J contigs: the table of annotations, joined with the sequences beside it.

Source: Cell Ranger's output files, ``filtered_contig_annotations.csv`` (calls, CDR3, flags; since
version 5 also the regions as amino acids) and ``filtered_contig.fasta`` (the assembled contigs).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hfbio.data.columns import has_sequences
from hfbio.data.readers.fasta import fasta_entries
from hfbio.data.readers.rows import Row, Rows
from hfbio.data.reject import Reject
from hfbio.data.values import text
from hfbio.errors import DataError
from hfbio.record import REGIONS

ANNOTATIONS: Final = "_contig_annotations.csv"
_COLUMNS: Final = frozenset({"barcode", "contig_id", "chain"})
_COMPRESSED: Final = ("", ".gz", ".zst")


def is_contigs(names: Sequence[str], chosen: Mapping[str, str]) -> bool:
    """Whether a header is that of contig annotations, which hold no sequences."""
    return set(names) >= _COLUMNS and not has_sequences(names, chosen)


def with_sequences(table: Rows, path: Path) -> Rows:
    """Add the sequences of contigs, as two columns that `hfbio.data.columns` knows.

    ``sequence`` is the contig of the FASTA file, held in memory (about 1 kB each);
    ``sequence_aa`` the seven regions joined, where the table has all of them.

    Args:
        table: contig annotations.
        path: of the annotations; the FASTA file lies beside them under their name, with
            ``.fasta`` for ``_annotations.csv``, compressed or not.

    Raises:
        DataError: there is no such FASTA file and the table has no regions; or it is not FASTA.
    """
    have_regions = set(table.columns) >= set(REGIONS)
    found = _fasta(path)
    if found is None and not have_regions:
        raise DataError(
            f"{path}: 10x annotations hold no sequences, and {_fasta_name(path)} is not beside "
            "them; put it there (Cell Ranger writes both), or import airr_rearrangement.tsv"
        )
    contigs = {} if found is None else _contigs(found)
    contig = table.columns.index("contig_id")
    regions = [table.columns.index(region) for region in REGIONS] if have_regions else []

    def rows() -> Iterator[Row]:
        for line, row in table.rows:
            if isinstance(row, Reject):
                yield line, row
                continue
            parts = [text(row[i]) for i in regions]
            residues = "".join(parts) if all(parts) else ""
            yield line, (*row, contigs.get(str(row[contig]), ""), residues)

    return replace(table, columns=(*table.columns, "sequence", "sequence_aa"), rows=rows())


def _fasta_name(path: Path) -> str:
    plain = path.name.removesuffix(".gz").removesuffix(".zst").removesuffix(".csv")
    return plain.removesuffix("_annotations") + ".fasta"


def _fasta(path: Path) -> Path | None:
    places = (path.with_name(_fasta_name(path) + suffix) for suffix in _COMPRESSED)
    return next((place for place in places if place.is_file()), None)


def _contigs(path: Path) -> dict[str, str]:
    entries = (entry for entry in fasta_entries(path) if not isinstance(entry, Reject))
    return {entry.name: entry.sequence for entry in entries}
