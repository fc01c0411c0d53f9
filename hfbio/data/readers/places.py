"""From what a user names to files: folders, globs, 10x outputs. Opens none of them."""

from __future__ import annotations

import glob
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hfbio.data.readers.tenx import ANNOTATIONS
from hfbio.errors import DataError

log = logging.getLogger(__name__)

FORMATS: Final = {
    ".tsv": "tsv", ".tab": "tsv", ".csv": "csv",
    ".fasta": "fasta", ".fa": "fasta", ".faa": "fasta", ".fna": "fasta", ".fas": "fasta",
    ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".pdb": "pdb", ".ent": "pdb", ".cif": "pdb", ".mmcif": "pdb",
}  # fmt: skip
"""Formats by suffix, in lower case."""

_COMPRESSED: Final = (".gz", ".zst")
_REJECTS: Final = ".rejects.tsv"  # what an import left beside its table
# Cell Ranger writes the same contigs several times; the first of these that is there is read.
_TENX: Final = ("filtered" + ANNOTATIONS, "airr_rearrangement.tsv")
_TENX_TOO: Final = frozenset({
    "filtered_contig.fasta", "all_contig.fasta", "all_contig_annotations.csv", "clonotypes.csv",
    "consensus.fasta", "consensus_annotations.csv", "concat_ref.fasta", "donor_regions.fa", *_TENX,
})  # fmt: skip


def format_of(path: Path) -> str:
    """One of the values of `FORMATS`, by the name; empty if it tells none."""
    plain = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    return FORMATS.get(plain.suffix.lower(), "")


def find_files(name: str) -> list[Path]:
    """The files of a folder, with those of its folders, or of a glob, sorted by name.

    Of the outputs of Cell Ranger in one folder, ``filtered_contig_annotations.csv`` is taken, or
    else ``airr_rearrangement.tsv``: the others hold the same contigs, or no cells. Hidden files and
    the rejects of an earlier import are passed over. What has no known suffix is not read, and
    logged.

    Raises:
        DataError: nothing there can be read.
    """
    path = Path(name)
    if path.is_dir():
        found = [p for p in path.rglob("*") if not _is_hidden(p.relative_to(path))]
    else:
        found = [Path(p) for p in glob.glob(name, recursive=True)]
    files = sorted(p for p in found if p.is_file())
    read = [p for p in _one_of_tenx(files) if format_of(p) and not p.name.endswith(_REJECTS)]
    if not read:
        known = " ".join(FORMATS)
        raise DataError(f"{name}: no file to read in {len(files)}; known are: {known}")
    if unread := sorted(set(files) - set(read)):
        kinds = Counter(p.suffix or "no suffix" for p in unread)
        counted = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
        first = ", ".join(p.name for p in unread[:3])
        log.warning("%s: %d files are not read (%s): %s", name, len(unread), counted, first)
    return read


def is_glob(name: str) -> bool:
    """Whether ``name`` is a pattern, and not a file that is called so."""
    return glob.has_magic(name) and not Path(name).exists()


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _one_of_tenx(files: Iterable[Path]) -> list[Path]:
    names: dict[Path, set[str]] = {}
    for file in files:
        names.setdefault(file.parent, set()).add(_plain(file))
    chosen = {
        folder: next((name for name in _TENX if name in held), "") for folder, held in names.items()
    }
    return [
        file
        for file in files
        if not chosen[file.parent]
        or _plain(file) == chosen[file.parent]
        or _plain(file) not in _TENX_TOO
    ]


def _plain(file: Path) -> str:
    return file.stem if file.suffix.lower() in _COMPRESSED else file.name
