"""Make a read record a numbered one, or say why not. Reads no files and drops no duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from hfbio.alphabet import RESIDUES, STOP
from hfbio.data.reject import Fault, Reject
from hfbio.numbering import MAX_MISSING, Reason, Refusal, check, domains
from hfbio.record import AntibodyRecord, Locus

_RESIDUES: Final = frozenset(RESIDUES)
_GAPS: Final = ".-"


def clean(
    items: Iterable[AntibodyRecord | Reject],
    *,
    species: str = "",
    max_missing: int = MAX_MISSING,
) -> Iterator[AntibodyRecord | Reject]:
    """Clean each record with `clean_record`; rejects pass through, so that none is lost.

    What holds several variable domains becomes a record, or a reject, for each (see
    `split_domains`): a single-chain Fv counts as two chains from here on.

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
        several = isinstance(cleaned, Reject) and cleaned.reason is Reason.TWO_DOMAINS
        for result in split_domains(item, max_missing) if several else (cleaned,):
            if species and isinstance(result, AntibodyRecord) and not result.species:
                result = replace(result, species=species)
            yield result


def split_domains(
    record: AntibodyRecord, max_missing: int = MAX_MISSING
) -> Iterator[AntibodyRecord | Reject]:
    """Each variable domain of a construct as a record of its own, cleaned.

    One heavy and one light domain, in either order, are a single-chain Fv: ``ID_heavy`` and
    ``ID_light``, with the record's id as ``cell_id`` if it has none. Of others it is not known
    which belong together: ``ID_1``, ``ID_2``, ... in order, without a cell of their own. Gene
    calls, constant gene, isotype and clone, which are of one domain, are dropped.

    Args:
        record: as read, with a sequence that `hfbio.numbering.domains` finds several in.
        max_missing: see `clean`.
    """
    sequence, germline = _ungap(record.sequence_aa.strip().upper(), record.germline_alignment_aa)
    found = domains(sequence, max_missing=max_missing)
    is_fv = len(found) == 2 and sum(domain.locus == Locus.IGH for domain in found) == 1
    names = [
        "heavy" if is_fv and domain.locus == Locus.IGH else "light" if is_fv else str(i)
        for i, domain in enumerate(found, start=1)
    ]
    for name, domain in zip(names, found):
        part = replace(
            record,
            sequence_id=f"{record.sequence_id}_{name}",
            sequence_aa=sequence[domain.start : domain.stop],
            germline_alignment_aa=germline[domain.start : domain.stop],
            cell_id=record.cell_id or record.sequence_id * is_fv,
            locus="",
            v_call="",
            j_call="",
            c_call="",
            isotype="",
            clone_id="",
        )
        yield clean_record(part, max_missing)


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
