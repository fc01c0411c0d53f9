"""Number one variable domain with immunum, and refuse what is not a full antibody domain.

Does not correct, complete or guess: a refused sequence comes back with its reason.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final

import immunum

from hfbio.errors import SequenceError
from hfbio.numbering.scheme import (
    CONSERVED,
    LAST_POSITION,
    REGION_FIRST,
    UNOCCUPIED_IN_FWR1,
    Position,
)
from hfbio.record import REGIONS, Locus

MAX_MISSING: Final = 2
"""Residues that may be lost at either end of a full domain.

Two keeps chains with a trimmed or unread first residue and refuses amplicons whose primer sits in
fwr1. Nothing natural is near the border: of 5,000 human lambda reads 4,773 start at position 1 to
3, the others anywhere between 4 and 23 (measured; the set of the saab_plus project).
"""

_LOCI: Final = {"H": Locus.IGH, "K": Locus.IGK, "L": Locus.IGL}
_RECEPTORS: Final = {"A": "TRA", "B": "TRB", "G": "TRG", "D": "TRD"}
_FRAGMENT: Final = 60  # numbered residues, about half a domain; less is a chance likeness
_SECOND_DOMAIN: Final = 80  # residues beside a domain that could hold another; the least has ~95


class Reason(StrEnum):
    """Why a sequence is not accepted as an antibody variable domain."""

    LETTERS = "not an amino-acid sequence"
    NOT_ANTIBODY = "not an antibody variable domain"
    T_CELL_RECEPTOR = "T-cell receptor, not an antibody"
    START = "domain incomplete at its start"
    END = "domain incomplete at its end"
    EMPTY_REGION = "a region has no residues"
    CONSERVED = "a conserved residue is missing"
    TWO_DOMAINS = "more than one variable domain"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sequence that was not numbered: the kind of fault, and what was seen."""

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Numbered:
    """One variable domain inside a sequence, IMGT-numbered.

    Spans are 0-based and half-open. The residue ``sequence[start + i]`` has position
    ``positions[i]``; region ``k`` is ``sequence[start + regions[k] : start + regions[k + 1]]``.
    """

    locus: Locus
    start: int
    stop: int
    positions: tuple[Position, ...]  # one per residue of the domain
    regions: tuple[int, ...]  # 8 cut points in [0, stop - start]
    confidence: float  # immunum's alignment confidence, in [0.5, 1]


def check(sequence: str, *, max_missing: int = MAX_MISSING) -> Numbered | Refusal:
    """Number the variable domain of ``sequence``, or say why there is none.

    Rule: immunum recognises the domain; at most ``max_missing`` residues are missing at either
    end; all seven regions hold residues; Cys23, Trp41 and Cys104 are there. immunum alone is not
    enough: it finds domains in random proteins. What is no antibody is tried as a T-cell receptor,
    so that the reason can name it; receptors reach 0.41 of the 0.5 confidence that an antibody
    needs (972 mouse and human V genes joined to J genes of tcrdist3, measured).

    Never raises for a bad sequence, because bulk import calls it per row. The residues around the
    domain (leader, constant region) are ignored unless they hold a second variable domain.

    Args:
        sequence: amino acids, either case, no gaps; ``X`` and other ambiguity codes are allowed.
        max_missing: residues that fwr1 may lack at its start, and fwr4 at its end, >= 0. Position
            10, which heavy and lambda domains do not have, is not counted. However many are
            allowed, no region may be empty.
    """
    best = _best(sequence)
    if isinstance(best, Refusal):
        return best
    return _fault(best, sequence, max_missing) or _second_domain(best, sequence) or best


def domains(sequence: str, *, max_missing: int = MAX_MISSING) -> tuple[Numbered, ...]:
    """Number every variable domain of ``sequence``, in the order in which they stand there.

    For single-chain Fv and other constructs: what immunum recognises best is taken first, and then
    what lies before and behind it, each by the rule of `check`. Domains do not overlap. Each
    ``start`` and ``stop`` counts from the start of ``sequence``. A part of a domain is none.

    Args:
        sequence: as for `check`, of at most 10,000 residues (immunum's limit).
        max_missing: see `check`.

    Returns:
        Nothing if there is no domain, or the sequence is too long or not one; `check` then says
        why. Like it, this never raises for a bad sequence.
    """
    best = _best(sequence)
    if isinstance(best, Refusal):
        return ()
    whole = () if _fault(best, sequence, max_missing) else (best,)
    return (
        *_further(sequence[: best.start], 0, max_missing),
        *whole,
        *_further(sequence[best.stop :], best.stop, max_missing),
    )


def number(sequence: str) -> Numbered:
    """Number the variable domain of ``sequence``; see `check` for the rule.

    Raises:
        SequenceError: it is not a full antibody variable domain; the message says why.
    """
    result = check(sequence)
    if isinstance(result, Refusal):
        raise SequenceError(f"{sequence[:20]}{'...' * (len(sequence) > 20)}: {result}")
    return result


def _best(sequence: str) -> Numbered | Refusal:
    """The stretch most like an antibody domain, whether a whole one or not."""
    if not sequence.isalpha() or not sequence.isascii():
        return Refusal(Reason.LETTERS, _odd_letter(sequence))
    found = _antibodies().number(sequence)
    if found.error is not None:
        return _t_cell_receptor(sequence) or Refusal(Reason.NOT_ANTIBODY, found.error)
    positions, regions = _layout(tuple(found.numbering))
    if len(positions) < _FRAGMENT:
        detail = f"only {len(positions)} residues resemble one"
        return Refusal(Reason.NOT_ANTIBODY, detail)
    return Numbered(
        locus=_LOCI[found.chain],
        start=found.query_start,
        stop=found.query_end + 1,
        positions=positions,
        regions=regions,
        confidence=found.confidence,
    )


def _fault(domain: Numbered, sequence: str, max_missing: int) -> Refusal | None:
    """What keeps a stretch from being a whole domain."""
    return (
        _conserved_fault(domain, sequence)
        or _start_fault(domain, max_missing)
        or _end_fault(domain, max_missing)
        or _region_fault(domain)
    )


def _further(part: str, offset: int, max_missing: int) -> Iterator[Numbered]:
    if len(part) >= _SECOND_DOMAIN:
        for domain in domains(part, max_missing=max_missing):
            yield replace(domain, start=offset + domain.start, stop=offset + domain.stop)


@cache
def _antibodies() -> Any:
    return immunum.Annotator(chains=["H", "K", "L"], scheme="imgt")


@cache
def _t_cell_receptors() -> Any:
    return immunum.Annotator(chains=["A", "B", "G", "D"], scheme="imgt")


def _position(label: str) -> Position:
    return (int(label[:-1]), label[-1]) if label[-1].isalpha() else (int(label), "")


@lru_cache(maxsize=4096)
def _layout(labels: tuple[str, ...]) -> tuple[tuple[Position, ...], tuple[int, ...]]:
    """Positions and the 8 cut points. Cached, as most domains share a few hundred layouts."""
    positions = tuple(map(_position, labels))
    # Numbers never decrease along a chain; letters do (112B comes before 112A), but no region
    # begins at an inserted position.
    cuts = (bisect_left(positions, (first, "")) for first in REGION_FIRST)
    return positions, (*cuts, len(positions))


def _conserved_fault(domain: Numbered, sequence: str) -> Refusal | None:
    positions = domain.positions
    residues = dict(zip(positions, sequence[domain.start : domain.stop].upper()))
    # A position before the first or after the last residue is not a lost Cys but a lost end.
    for position, expected, name in CONSERVED:
        seen = residues.get((position, ""), "")
        if seen != expected and positions[0][0] <= position <= positions[-1][0]:
            return Refusal(Reason.CONSERVED, f"no {name}: {seen or 'a gap'} instead")
    return None


def _start_fault(domain: Numbered, allowed: int) -> Refusal | None:
    first = domain.positions[0][0]
    absent = sum(position < first for position in UNOCCUPIED_IN_FWR1[domain.locus])
    missing = first - 1 - absent
    if missing <= allowed:
        return None
    return Refusal(
        Reason.START, f"{domain.locus} starts at IMGT position {first} ({missing} residues missing)"
    )


def _end_fault(domain: Numbered, allowed: int) -> Refusal | None:
    last = domain.positions[-1][0]
    missing = LAST_POSITION[domain.locus] - last
    if missing <= allowed:
        return None
    return Refusal(
        Reason.END, f"{domain.locus} ends at IMGT position {last} ({missing} residues missing)"
    )


def _region_fault(domain: Numbered) -> Refusal | None:
    for name, start, stop in zip(REGIONS, domain.regions, domain.regions[1:]):
        if start == stop:
            return Refusal(Reason.EMPTY_REGION, f"{name} is empty")
    return None


def _second_domain(domain: Numbered, sequence: str) -> Refusal | None:
    for rest in (sequence[: domain.start], sequence[domain.stop :]):
        if len(rest) < _SECOND_DOMAIN:
            continue
        if others := domains(rest):
            loci = " and ".join([domain.locus, *(other.locus for other in others)])
            return Refusal(Reason.TWO_DOMAINS, f"{loci}; give each its own row")
    return None


def _t_cell_receptor(sequence: str) -> Refusal | None:
    found = _t_cell_receptors().number(sequence)
    if found.error is not None:
        return None
    # Random proteins pass as receptors too (15 of 100) unless the conserved residues are asked for.
    residues = found.numbering
    if any(residues.get(str(position)) != letter for position, letter, _ in CONSERVED):
        return None
    name = _RECEPTORS[found.chain]
    return Refusal(Reason.T_CELL_RECEPTOR, f"{name}, confidence {found.confidence:.2f}")


def _odd_letter(sequence: str) -> str:
    for index, letter in enumerate(sequence):
        if not (letter.isascii() and letter.isalpha()):
            return f"{letter!r} at residue {index}"
    return "empty sequence"
