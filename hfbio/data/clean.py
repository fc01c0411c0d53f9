"""Make a read record a numbered one, or say why not. Reads no files and drops no duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from hfbio.alphabet import RESIDUES, STOP
from hfbio.data.reject import Fault, Reject
from hfbio.numbering import MAX_MISSING, Reason, Refusal, check
from hfbio.record import AntibodyRecord

_RESIDUES: Final = frozenset(RESIDUES)
_GAPS: Final = ".-"


def clean(
    items: Iterable[AntibodyRecord | Reject],
    *,
    species: str = "",
    max_missing: int = MAX_MISSING,
) -> Iterator[AntibodyRecord | Reject]:
    """Clean each record with `clean_record`; rejects pass through, so that none is lost.

    Args:
        items: what a reader gives.
        species: set where the source names none.
        max_missing: residues that either end of the domain may lack; see `hfbio.numbering.check`.
    """
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        cleaned = clean_record(item, max_missing)
        if species and isinstance(cleaned, AntibodyRecord) and not cleaned.species:
            cleaned = replace(cleaned, species=species)
        yield cleaned


def clean_record(record: AntibodyRecord, max_missing: int = MAX_MISSING) -> AntibodyRecord | Reject:
    """Upper case, no gaps, trimmed to the variable domain, numbered, locus set.

    Everything outside the domain is cut off: leader, constant region, tags. The germline is cut
    alike. Ambiguous residues (``X``, ``B``, ...) are refused inside the domain and allowed outside.

    Args:
        record: as read.
        max_missing: see `clean`.

    Returns:
        A new record with ``regions``, or a reject whose line is that of ``record.source``.

    Raises:
        ValueError: the record's germline does not have one letter per residue.
    """
    if (germline := record.germline_alignment_aa) and len(germline) != len(record.sequence_aa):
        raise ValueError(
            f"{record.source}: {len(germline)} germline letters, {len(record.sequence_aa)} residues"
        )
    sequence, germline = _ungap(record.sequence_aa.strip().upper(), germline)
    if not sequence:
        return _reject(record, Fault.NO_SEQUENCE)
    if STOP in sequence:
        return _reject(record, Fault.STOP_CODON, f"at residue {sequence.index(STOP) + 1}")
    found = check(sequence, max_missing=max_missing)
    if isinstance(found, Refusal):
        return _reject(record, found.reason, found.detail)
    domain = sequence[found.start : found.stop]
    if odd := set(domain) - _RESIDUES:
        first = min(domain.index(letter) for letter in odd)
        detail = f"{domain[first]} at residue {first + 1} of the domain"
        return _reject(record, Fault.AMBIGUOUS, detail)
    if record.locus and record.locus != found.locus:
        return _reject(
            record, Fault.LOCUS, f"{record.locus} in the file, {found.locus} by sequence"
        )
    return replace(
        record,
        sequence_aa=domain,
        locus=str(found.locus),
        germline_alignment_aa=germline[found.start : found.stop],
        regions=found.regions,
    )


def _ungap(sequence: str, germline: str) -> tuple[str, str]:
    if not any(gap in sequence for gap in _GAPS):
        return sequence, germline
    kept = [i for i, letter in enumerate(sequence) if letter not in _GAPS]
    return "".join(sequence[i] for i in kept), "".join(germline[i] for i in kept if germline)


def _reject(record: AntibodyRecord, reason: Fault | Reason, detail: str = "") -> Reject:
    source, _, line = record.source.rpartition(":")
    return Reject(source, int(line or 0), record.sequence_id, reason, detail)
