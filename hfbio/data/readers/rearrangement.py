"""One chain of one table row to a record. Numbers only where the reading frame is unknown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hfbio.data import values as clean
from hfbio.data.columns import ChainColumns
from hfbio.data.readers.translation import (
    alignment_frames,
    find_reading_frame,
    translate_alignment,
)
from hfbio.data.reject import Fault, Reject
from hfbio.numbering import Numbered, check
from hfbio.record import AntibodyRecord, Locus

_FLAGS: Final = (
    "stop_codon", "v_frameshift", "vj_in_frame", "productive", "is_cell", "high_confidence",
)  # fmt: skip
_WHOLE: Final = 60  # letters; half a domain. Less beside a sequence is a remark or a tag
_BETWEEN: Final = re.compile(r"[^A-Za-z.*-]+")


def read_chain(
    columns: ChainColumns, values: Sequence[object], source: str, line: int
) -> AntibodyRecord | Reject:
    """Read one chain of a row.

    Residues are the amino-acid column's; without one, the aligned nucleotides translated in the
    alignment's frame; without those, the read translated in the frame that holds a domain. The
    germline is translated from the nucleotide alignment where that is possible, because amino-acid
    alignments of several programs drop indels and so lose the pairing of letters.

    A pair's chains share its ``cell_id``: the file's, else the id of the row, else file and line.
    A second Fv is a cell of its own, with ``_2``. Donors of two studies may have one name, so that
    the study, where the file names it, becomes part of the subject.

    Returns:
        A record whose sequence has not been checked, or a reject: no sequence, several, or the file
        says that it is not productive, no cell, or of low confidence.
    """
    row = {field: clean.text(values[i]) for field, i in columns.index.items()}
    name = row.get("sequence_id", "") or f"{Path(source).name.split('.')[0]}_{line}"
    cell = row.get("cell_id", "")
    if columns.chain:
        cell, second = cell or name, columns.chain.endswith("_2")
        name = row.get("chain_id", "") or f"{name}_{columns.chain}"
        cell += "_2" if second else ""

    def reject(reason: Fault, detail: str = "") -> Reject:
        return Reject(source, line, name, reason, detail)

    if fault := _quality(row):
        return reject(fault)
    read = _residues(row)
    if isinstance(read, Fault):
        return reject(read)
    residues, germline = read
    locus = clean.locus(row.get("locus", ""))
    isotype = clean.isotype(row.get("isotype", ""))
    if isotype.startswith(Locus.IGH) and locus not in ("", Locus.IGH):
        isotype = ""  # OAS: the class of the sorted cells, also beside their light chains
    study, subject = row.get("study", ""), row.get("subject", "")
    v_call, j_call, c_call = (row.get(f"{segment}_call", "") for segment in "vjc")
    return AntibodyRecord(
        sequence_id=name,
        sequence_aa=residues,
        locus=locus,
        species=clean.species(row.get("species", ""), v_call, j_call),
        v_call=clean.gene(v_call),
        j_call=clean.gene(j_call),
        c_call=clean.gene(c_call),
        isotype=isotype,
        clone_id=row.get("clone_id", ""),
        subject=_subject(study, subject),
        study=study,
        disease=row.get("disease", ""),
        cell_id=cell,
        germline_alignment_aa=germline,
        duplicate_count=clean.count(row.get("duplicate_count", "")),
        source=f"{source}:{line}",
    )


def _quality(row: dict[str, str]) -> Fault | None:
    flags = {name: clean.boolean(row.get(name, "")) for name in _FLAGS}
    if flags["stop_codon"]:
        return Fault.STOP_CODON
    if flags["v_frameshift"] or flags["vj_in_frame"] is False:
        return Fault.OUT_OF_FRAME
    if flags["productive"] is False:
        return Fault.NOT_PRODUCTIVE
    if flags["is_cell"] is False:
        return Fault.NOT_A_CELL
    if flags["high_confidence"] is False:
        return Fault.LOW_CONFIDENCE
    return None


def _residues(row: dict[str, str]) -> tuple[str, str] | Fault:
    """Residues and the germline beside them (empty if unknown)."""
    amino = _ungapped(row.get("amino", "").upper())
    alignment = row.get("alignment", "").upper()
    germline = row.get("germline_alignment", "").upper()
    if _are_several(amino or alignment or row.get("nucleotides", "")):
        return Fault.SEVERAL
    if amino:
        if alignment and germline:
            for frame in alignment_frames(alignment):
                residues, germlines = translate_alignment(alignment, germline, frame)
                if (start := residues.find(amino)) >= 0:
                    return amino, germlines[start : start + len(amino)]
        return amino, _same_length(row, amino)
    if alignment:
        return _from_alignment(alignment, germline)
    if nucleotides := row.get("nucleotides", ""):
        found = find_reading_frame(nucleotides)
        return found if isinstance(found, Fault) else (found, "")
    return Fault.NO_SEQUENCE


def _from_alignment(alignment: str, germline: str) -> tuple[str, str] | Fault:
    frames = alignment_frames(alignment)
    translations = [translate_alignment(alignment, germline, frame) for frame in frames]
    if len(translations) == 1:
        residues, germlines = translations[0]
        return residues, germlines if germline else ""
    for residues, germlines in translations:
        found = check(residues, max_missing=len(residues))
        if isinstance(found, Numbered):
            return residues, germlines if germline else ""
    found_elsewhere = find_reading_frame(_ungapped(alignment))
    return found_elsewhere if isinstance(found_elsewhere, Fault) else (found_elsewhere, "")


def _same_length(row: dict[str, str], amino: str) -> str:
    """The file's own germline residues, if they are one per residue, else nothing."""
    gapped = row["amino"]
    germline = row.get("germline_alignment_aa", "").upper()
    if len(germline) == len(gapped):
        letters = (g for a, g in zip(gapped, germline) if a not in ".-")
        return "".join("-" if g in ".-X" else g for g in letters)
    return ""


def _subject(study: str, subject: str) -> str:
    inside = f"{study}/"
    if not study or not subject or subject.startswith(inside):
        return subject
    return inside + subject


def _are_several(cell: str) -> bool:
    if cell.isalpha():
        return False
    return sum(len(part) >= _WHOLE for part in _BETWEEN.split(cell)) > 1


def _ungapped(sequence: str) -> str:
    return sequence.replace(".", "").replace("-", "")
