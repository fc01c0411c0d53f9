"""One antibody chain, or a pair, with AIRR field names. Holds data; reads and numbers nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

REGIONS: Final = ("fwr1", "cdr1", "fwr2", "cdr2", "fwr3", "cdr3", "fwr4")
"""The regions of a variable domain in order, as the AIRR schema 1.5 names them."""


class Locus(StrEnum):
    """Immunoglobulin locus, as in the AIRR field ``locus``."""

    IGH = "IGH"
    IGK = "IGK"
    IGL = "IGL"


@dataclass(frozen=True, slots=True)
class AntibodyRecord:
    """One chain. Empty string means "not known".

    A record leaves a reader with whatever the file held; ``hfbio.data.clean`` returns it
    numbered: then ``sequence_aa`` is exactly the variable domain and ``regions`` cuts it.
    """

    sequence_id: str
    sequence_aa: str  # residues, upper case, no gaps
    locus: str = ""  # a Locus value
    species: str = ""  # lower-case common name: human, mouse, dog
    v_call: str = ""  # first call, IMGT name with allele where known: IGHV3-11*05
    j_call: str = ""
    c_call: str = ""  # constant gene as the file gives it: IGHG1
    isotype: str = ""  # class of the constant gene: IGHM, IGHD, IGHG, IGHA, IGHE; or IGKC, IGLC
    clone_id: str = ""
    subject: str = ""  # donor; STUDY/DONOR where the file names the study too
    study: str = ""
    disease: str = ""
    cell_id: str = ""
    germline_alignment_aa: str = ""  # one letter per residue of sequence_aa, `-` where unknown
    duplicate_count: int = 1  # reads or molecules behind this row
    regions: tuple[int, ...] = field(default=())  # 8 cut points: region i is [r[i], r[i + 1])
    source: str = ""  # file:line, for messages

    @property
    def chains(self) -> tuple[AntibodyRecord, ...]:
        """The chain itself, so that it can be treated like a `PairedRecord`."""
        return (self,)

    def region(self, name: str) -> str:
        """The residues of region ``name`` (see `REGIONS`); the record must be numbered."""
        i = REGIONS.index(name)
        return self.sequence_aa[self.regions[i] : self.regions[i + 1]]


@dataclass(frozen=True, slots=True)
class PairedRecord:
    """The heavy and the light chain of one cell; `hfbio.data.pairs.pair` makes them."""

    heavy: AntibodyRecord
    light: AntibodyRecord

    @property
    def sequence_id(self) -> str:
        """The name of the pair: its ``cell_id``."""
        return self.heavy.cell_id

    @property
    def chains(self) -> tuple[AntibodyRecord, ...]:
        """Heavy, then light: the order in which a model reads them."""
        return (self.heavy, self.light)


Antibody = AntibodyRecord | PairedRecord
"""What one example of training or scoring is made of: a chain, or a pair of them."""


@dataclass(frozen=True, slots=True)
class ProteinRecord:
    """A chain of any protein, or a window of one: nothing is known of it but its residues."""

    sequence_id: str
    sequence_aa: str  # residues, upper case, no gaps
