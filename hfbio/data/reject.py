"""What was left out of a table, and why. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hfbio.numbering import Reason


class Fault(StrEnum):
    """Why a row is left out, apart from the reasons of `hfbio.numbering.Reason`."""

    MALFORMED = "row does not fit the header"
    NO_SEQUENCE = "no sequence"
    NOT_PRODUCTIVE = "not productive, says the file"
    OUT_OF_FRAME = "out of frame, says the file"
    STOP_CODON = "stop codon"
    NO_READING_FRAME = "no reading frame holds an antibody variable domain"
    AMBIGUOUS = "ambiguous residue in the domain"
    LOCUS = "locus in the file and in the sequence disagree"
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
