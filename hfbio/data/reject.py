"""What was left out of a table, and why. Decides nothing."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path

from hfbio.numbering import Reason


class Fault(StrEnum):
    """Why a row is left out, apart from the reasons of `hfbio.numbering.Reason`."""

    UNUSABLE = "file cannot be used"
    DAMAGED = "file is cut off or damaged here"
    TOO_LONG = "line or record too long"
    MALFORMED = "row does not fit the header"
    REPEATED_HEADER = "header repeated"
    NO_SEQUENCE = "no sequence"
    SEVERAL = "several sequences in one cell"
    NOT_A_CELL = "not a cell, says the file"
    LOW_CONFIDENCE = "low confidence, says the file"
    NOT_PRODUCTIVE = "not productive, says the file"
    OUT_OF_FRAME = "out of frame, says the file"
    STOP_CODON = "stop codon"
    NO_READING_FRAME = "no reading frame holds an antibody variable domain"
    AMBIGUOUS = "ambiguous residue in the domain"
    LOCUS = "locus in the file and in the sequence disagree"
    UNREADABLE = "not a chain this model reads"
    NOT_A_PAIR = "not one heavy and one light chain"
    DUPLICATE = "same sequence as an earlier row"


@dataclass(frozen=True, slots=True)
class Reject:
    """One row that did not become a record.

    ``reason`` is one of a few kinds, for counting; ``detail`` is what was seen in this row.
    """

    source: str  # file or spec
    line: int  # 1-based line of a text file (of the header line in FASTA), else row number
    sequence_id: str
    reason: Fault | Reason
    detail: str = ""


def write_rejects(rejects: Iterable[Reject], path: Path) -> None:
    """One tab-separated line per reject, as they come; columns are the fields of `Reject`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(field.name for field in fields(Reject))
        writer.writerows(astuple(reject) for reject in rejects)
