"""What a scientist pastes, as numbered chains and pairs. Reads no files, repairs no sequence."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from hfbio.alphabet import AMBIGUOUS, CHAIN_BREAK, RESIDUES, STOP
from hfbio.data.clean import clean_record
from hfbio.data.columns import are_nucleotides
from hfbio.data.entries import MAX_NAME, Entry, entries, n_headers
from hfbio.data.reject import Fault, Reject
from hfbio.errors import SettingError
from hfbio.numbering import Numbered, Reason, Refusal, check, domains
from hfbio.record import Antibody, AntibodyRecord, Locus, PairedRecord

SOURCE: Final = "pasted"
_LETTERS: Final = frozenset(RESIDUES + AMBIGUOUS)
_PART: Final = 60  # residues; less than half a domain is not worth a remark
_IN_PART: Final = (Reason.START, Reason.END, Reason.EMPTY_REGION, Reason.CONSERVED)


@dataclass(frozen=True, slots=True)
class Pasted:
    """What became of a text: each entry gave antibodies, or one reject."""

    antibodies: tuple[Antibody, ...]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]  # a sentence each: what was left out, split or exchanged


def read_pasted(text: str, *, max_chars: int, max_chains: int) -> Pasted:
    """Read chains and pairs from text that a user pasted; what cannot be read is a `Reject`.

    Sequences of amino acids, bare or as FASTA, in either case, wrapped or one a line (see
    `hfbio.data.entries.entries`). Blanks, counts, gaps and a stop at the end are taken out. Each
    variable domain is cut out and cleaned by `hfbio.data.clean.clean_record`; what stood around it
    is told in ``notes``. An entry becomes

    - one chain if it holds one domain;
    - a pair if it is ``HEAVY:LIGHT``, or if its two domains are a heavy and a light one, in either
      order (a single-chain Fv); the pair has the entry's name as ``cell_id``, its chains
      ``NAME_heavy`` and ``NAME_light``;
    - a chain for each domain if it holds others or more: which of them pair is not known.

    Two sequences of their own never become a pair.

    Names are unique and have at most 80 characters, none of them a control character; without one
    an entry is ``pasted-1``, ``pasted-2``, ... by its place. They are otherwise as pasted: whoever
    puts them on a page escapes them.

    Args:
        text: as pasted; nothing in it is trusted.
        max_chars: characters of ``text`` at most, looked at first.
        max_chains: chains at most, of which a pair has two; counted before any is read, but for
            those of entries with several domains.

    Raises:
        SettingError: ``text`` is too long, or holds too many chains.
    """
    if len(text) > max_chars:
        raise SettingError(
            f"{len(text):,} characters were pasted; at most {max_chars:,} are read, "
            "paste fewer sequences"
        )
    if (n := n_headers(text)) > max_chains:
        raise _too_many(f"{n:,}", max_chains)
    found = list(islice(entries(text), max_chains + 1))
    if (n := sum(1 + entry.sequence.count(CHAIN_BREAK) for entry in found)) > max_chains:
        raise _too_many(f"at least {n:,}", max_chains)
    names = _Names()
    parts = [
        _read(replace(entry, name=names.take(entry.name or f"{SOURCE}-{i}")), names)
        for i, entry in enumerate(found, start=1)
    ]
    antibodies = tuple(antibody for part in parts for antibody in part.antibodies)
    if (n := sum(len(antibody.chains) for antibody in antibodies)) > max_chains:
        raise _too_many(f"{n:,}", max_chains)
    rejects = tuple(reject for part in parts for reject in part.rejects)
    return Pasted(antibodies, rejects, tuple(note for part in parts for note in part.notes))


@dataclass(slots=True)
class _Names:
    """Gives each name once; a name that is taken gets a number."""

    taken: set[str] = field(default_factory=set)

    def take(self, name: str) -> str:
        free, n = name, 2
        while free in self.taken:
            free, n = f"{name[: MAX_NAME - len(str(n)) - 1]}-{n}", n + 1
        self.taken.add(free)
        return free


def _read(entry: Entry, names: _Names) -> Pasted:
    sequences = entry.sequence.split(CHAIN_BREAK)
    for which, sequence in enumerate(sequences, start=1):
        fault = _fault(sequence)
        if fault is not None:
            reason, detail = fault
            of = f"chain {which}: " if len(sequences) > 1 else ""
            return _rejected(_reject(entry, reason, f"{of}{detail}"))
    if len(sequences) == 1:
        return _construct(entry, names)
    if len(sequences) > 2:
        detail = f"{len(sequences)} chains; write HEAVY{CHAIN_BREAK}LIGHT"
        return _rejected(_reject(entry, Fault.NOT_A_PAIR, detail))
    return _written_pair(entry, sequences, names)


def _fault(sequence: str) -> tuple[Fault | Reason, str] | None:
    if not sequence:
        return Fault.NO_SEQUENCE, "empty"
    for at, letter in enumerate(sequence, start=1):
        if letter == STOP:
            return Fault.STOP_CODON, f"at residue {at}"
        if letter not in _LETTERS:
            return Reason.LETTERS, f"{_spelled(letter)} at residue {at}"
    if are_nucleotides([sequence]):
        return Reason.NOT_ANTIBODY, "nucleotides; paste their translation"
    return None


def _construct(entry: Entry, names: _Names) -> Pasted:
    found = domains(entry.sequence)
    chains = []
    for i, (start, stop) in enumerate(_spans(entry.sequence, found)):
        chain = _chain(entry, entry.sequence[start:stop])
        if isinstance(chain, Reject):
            return _rejected(chain)
        chains.append(replace(chain, sequence_id=names.take(entry.name)) if i else chain)
    notes = _left_out(entry.name, entry.sequence, found)
    loci = [chain.locus for chain in chains]
    if len(chains) == 2 and loci.count(Locus.IGH) == 1:
        notes.append(f"{entry.name}: one sequence with {' and '.join(loci)}, read as a pair.")
        return Pasted((_pair(entry.name, chains, names),), (), tuple(notes))
    if len(chains) > 1:
        notes.append(f"{entry.name}: one sequence with {', '.join(loci)}, not read as a pair.")
    return Pasted(tuple(chains), (), tuple(notes))


def _written_pair(entry: Entry, sequences: Sequence[str], names: _Names) -> Pasted:
    chains: list[AntibodyRecord] = []
    notes: list[str] = []
    for which, sequence in enumerate(sequences, start=1):
        found = domains(sequence)
        if len(found) > 1:
            detail = f"chain {which}: {len(found)} domains"
            return _rejected(_reject(entry, Fault.NOT_A_PAIR, detail))
        ((start, stop),) = _spans(sequence, found)
        chain = _chain(entry, sequence[start:stop])
        if isinstance(chain, Reject):
            return _rejected(replace(chain, detail=f"chain {which}: {chain.detail}"))
        chains.append(chain)
        notes += _left_out(entry.name, sequence, found, f" of chain {which}")
    loci = [chain.locus for chain in chains]
    if loci.count(Locus.IGH) != 1:
        return _rejected(_reject(entry, Fault.NOT_A_PAIR, " and ".join(loci)))
    if loci[1] == Locus.IGH:
        notes.append(f"{entry.name}: the light chain was written first; the heavy one is now.")
    return Pasted((_pair(entry.name, chains, names),), (), tuple(notes))


def _spans(sequence: str, found: Sequence[Numbered]) -> list[tuple[int, int]]:
    """Where the domains lie; without one all residues, for `clean_record` to say what they lack."""
    return [(domain.start, domain.stop) for domain in found] or [(0, len(sequence))]


def _chain(entry: Entry, sequence: str) -> AntibodyRecord | Reject:
    return clean_record(AntibodyRecord(entry.name, sequence, source=f"{SOURCE}:{entry.line}"))


def _pair(name: str, chains: Sequence[AntibodyRecord], names: _Names) -> PairedRecord:
    heavy, light = sorted(chains, key=lambda chain: chain.locus != Locus.IGH)
    stem = name[: MAX_NAME - len("_heavy")]
    return PairedRecord(
        replace(heavy, sequence_id=names.take(f"{stem}_heavy"), cell_id=name),
        replace(light, sequence_id=names.take(f"{stem}_light"), cell_id=name),
    )


def _left_out(name: str, sequence: str, found: Sequence[Numbered], of: str = "") -> list[str]:
    """A sentence for each stretch that is in no domain."""
    borders = [0, *(border for domain in found for border in (domain.start, domain.stop))]
    stretches = list(zip(borders[::2], [*borders[1::2], len(sequence)]))
    places = ["before the domain", *["between domains"] * (len(found) - 1), "behind the domain"]
    notes = []
    for (start, stop), place in zip(stretches, places):
        if start == stop:
            continue
        note = f"{name}: residues {start + 1}-{stop}{of}, {place}, are left out"
        other = check(sequence[start:stop]) if stop - start >= _PART else None
        if isinstance(other, Refusal) and other.reason in _IN_PART:
            note += f"; they resemble a further domain ({other})"
        notes.append(f"{note}.")
    return notes


def _reject(entry: Entry, reason: Fault | Reason, detail: str = "") -> Reject:
    return Reject(SOURCE, entry.line, entry.name, reason, detail)


def _rejected(reject: Reject) -> Pasted:
    return Pasted((), (reject,), ())


def _spelled(letter: str) -> str:
    """What cannot be mistaken for an ASCII letter, and does nothing to the line it stands in."""
    if letter.isascii() and letter.isprintable():
        return repr(letter)
    return f"U+{ord(letter):04X} ({unicodedata.name(letter, 'without a name')})"


def _too_many(n: str, max_chains: int) -> SettingError:
    return SettingError(
        f"{n} chains were pasted; at most {max_chains:,} are read, paste fewer sequences"
    )
