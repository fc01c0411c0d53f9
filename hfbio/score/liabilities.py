"""Sequence liabilities of a chain: motifs that tend to change or to carry sugar. Weighs none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hfbio.alphabet import RESIDUES
from hfbio.motifs import FAST_DEAMIDATION, FAST_ISOMERISATION, SEQUON, occurrences, parse
from hfbio.numbering import Numbered, label, number_whole
from hfbio.numbering.scheme import CONSERVED
from hfbio.record import REGIONS, AntibodyRecord

FREE_CYS: Final = "free_cys"

_ANYWHERE: Final = {"nglyc": SEQUON}
_IN_CDRS: Final = {
    "deamidation": (*FAST_DEAMIDATION, "NA", "NH", "NN", "NT"),
    "isomerisation": (*FAST_ISOMERISATION, "DD", "DH", "DT"),
    "fragmentation": ("DP",),
    "oxidation": ("M", "W"),
}
KINDS: Final = (*_ANYWHERE, *_IN_CDRS, FREE_CYS)
"""What may be found, see `liabilities`."""

_MOTIFS: Final = tuple(
    (kind, parse(text), kind in _IN_CDRS)
    for kind, texts in (_ANYWHERE | _IN_CDRS).items()
    for text in texts
)
_BRIDGE: Final = tuple((number, "") for number, letter, _ in CONSERVED if letter == "C")


@dataclass(frozen=True, slots=True)
class Liability:
    """One site of a chain."""

    kind: str  # one of `KINDS`
    motif: str  # the residues themselves, such as NIT
    start: int  # residues [start, stop) of the chain, 0-based
    stop: int
    region: str  # of the first residue, one of `record.REGIONS`
    position: str  # IMGT, of the first residue: 107 or 111A


def liabilities(record: AntibodyRecord) -> tuple[Liability, ...]:
    """The liabilities of a chain, in the order of their first residues.

    - ``nglyc``: N[^P][ST], anywhere;
    - ``deamidation``: NG and NS, which are fast, NA, NH, NN and NT, in CDRs;
    - ``isomerisation``: DG and DS, which are fast, DD, DH and DT, in CDRs;
    - ``fragmentation``: DP, in CDRs;
    - ``oxidation``: M and W, in CDRs;
    - ``free_cys``: C besides IMGT 23 and 104, anywhere.

    A motif is in a CDR if its first residue is, the one that changes. Sites may overlap: ``NNG`` is
    two. A motif says that a site may change, not that it does: Satlawa et al. take 60 % for benign.
    Two further cysteines may well bind each other, as in many camelid domains; the sequence does
    not tell.

    The rules of the same names that forbid motifs (`hfbio.sample.Rules`) hold the fast ones alone,
    and look at the whole chain.

    Args:
        record: one variable domain; its ``regions`` are not read, it is numbered here.

    Raises:
        SequenceError: ``record.sequence_aa`` is not one whole variable domain of the 20 residues.

    Source:
        Satlawa et al. 2024, PLoS Comput. Biol. 20, e1011881 (LAP): its motifs of high and medium
        risk but for NP and TS; of those of low risk, integrin binding among them, none. Asn and Asp
        of CDRs in 131 antibodies of clinical stage: Lu et al. 2019, mAbs 11, 45-57.
    """
    sequence = record.sequence_aa
    domain = number_whole(sequence, f"record {record.sequence_id!r}")
    region_of = [
        name
        for name, (start, stop) in zip(REGIONS, pairwise(domain.regions))
        for _ in range(start, stop)
    ]
    labels = list(map(label, domain.positions))
    found = [
        Liability(kind, sequence[start:stop], start, stop, region_of[start], labels[start])
        for kind, start, stop in _sites(sequence, domain, region_of)
    ]
    return tuple(sorted(found, key=lambda site: (site.start, site.stop, site.kind)))


def _sites(sequence: str, domain: Numbered, region_of: list[str]) -> Iterator[tuple[str, int, int]]:
    chain = [RESIDUES.index(letter) for letter in sequence]
    for kind, motif, cdrs_only in _MOTIFS:
        for start in occurrences(motif, chain):
            if not cdrs_only or region_of[start].startswith("cdr"):
                yield kind, start, start + len(motif)
    for start, (letter, position) in enumerate(zip(sequence, domain.positions)):
        if letter == "C" and position not in _BRIDGE:
            yield FREE_CYS, start, start + 1
