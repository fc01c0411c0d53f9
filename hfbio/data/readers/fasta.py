"""Records of a FASTA file, amino acids or nucleotides, and the pairs that their names tell.

Judges no sequence; `hfbio.data.clean` cuts single-chain Fv into their domains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Final

from hfbio.alphabet import CHAIN_BREAK
from hfbio.data.columns import are_nucleotides
from hfbio.data.readers.text import LONGEST, read_lines
from hfbio.data.readers.translation import find_reading_frame
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError
from hfbio.numbering import Refusal, check
from hfbio.record import AntibodyRecord, Locus

_EXAMPLES: Final = 100  # records looked at to tell amino acids from nucleotides
_WORD: Final = "VH|VL|VK|HC|LC|heavy|light|kappa|lambda"
_SECOND_WORD: Final = re.compile(f"{_WORD}|H|L", re.IGNORECASE)
# A single letter needs a sign that is rarely part of a name: PD-L is no light chain of PD.
_MARKED: Final = re.compile(rf"(.+)(?:[_|.-](?:{_WORD})|[_|][HL])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands between two ``>``."""

    line: int  # of the header, 1-based
    header: str  # without ``>``
    sequence: str  # without blanks

    @property
    def name(self) -> str:
        """The first word of the header; empty if there is none."""
        words = self.header.split(maxsplit=1)
        return words[0] if words else ""


def read_fasta(path: Path) -> Iterator[AntibodyRecord | Reject]:
    """Read a FASTA file; the id is the first word of the header.

    Whether it holds nucleotides is decided once, over the first records. Nucleotides are translated
    in the frame, of six, that gives an antibody domain without a stop; see `find_reading_frame`.

    Records are of one cell (have the same ``cell_id``) if

    - their names are the same but for a mark of the chain at the end: ``X_VH`` and ``X_VL``,
      ``X|H`` and ``X|L``, ``X-heavy`` and ``X-light``, or ``X VH`` and ``X VL`` as two words, which
      then make the id ``X_VH``; ``HC``, ``LC``, ``VK``, ``kappa`` and ``lambda`` are marks too;
    - their names are the same and nothing stands between them;
    - they are one entry, ``HEAVY:LIGHT`` in either order, which gives two chains.

    Whether a cell makes a pair is told by numbering, later on: see `hfbio.data.pairs`.

    Raises:
        DataError: see `read_lines`; or text comes before the first ``>``, or there is none.
    """
    entries = fasta_entries(path)
    examples = list(islice(entries, _EXAMPLES))
    sequences = (entry.sequence for entry in examples if isinstance(entry, Entry))
    nucleotides = bool(are_nucleotides(sequences))
    named = _neighbours(chain(examples, entries))
    return chain.from_iterable(
        _records(path, entry, repeated, nucleotides) for entry, repeated in named
    )


def fasta_entries(path: Path) -> Iterator[Entry | Reject]:
    """The entries in order; one that is damaged or longer than `LONGEST` is a reject.

    Raises:
        DataError: see `read_fasta`.
    """
    at, header, parts, n_letters = 0, "", list[str](), 0
    fault: Reject | None = None
    for number, line in read_lines(path):
        if isinstance(line, Reject):
            if not at:
                raise DataError(f"{path}: line {number} is not FASTA, {line.reason}")
            fault = fault or line
            continue
        content = line.strip()
        if content.startswith(">"):
            if at:
                yield _entry(at, header, parts, fault)
            at, header, parts, n_letters, fault = number, content[1:], [], 0, None
        elif content and not at:
            raise DataError(f"{path}: line {number} is not FASTA, no '>' before {content[:40]!r}")
        elif content and fault is None:
            parts.append("".join(content.split()))
            n_letters += len(parts[-1])
            if n_letters > LONGEST:
                parts, detail = [], f"more than {LONGEST:,} letters"
                fault = Reject(str(path), at, "", Fault.TOO_LONG, detail)
    if not at:
        raise DataError(f"{path}: only blank lines")
    yield _entry(at, header, parts, fault)


def _entry(at: int, header: str, parts: list[str], fault: Reject | None) -> Entry | Reject:
    entry = Entry(at, header, "".join(parts))
    return replace(fault, sequence_id=entry.name) if fault else entry


def _neighbours(entries: Iterable[Entry | Reject]) -> Iterator[tuple[Entry | Reject, bool]]:
    """Each entry, and whether the one before or behind it has the same name."""
    before, entry = "", None
    for behind in chain(entries, repeat(None, 1)):
        if entry is not None:
            name = _name(entry)
            yield entry, bool(name) and name in (before, _name(behind) if behind else "")
            before = name
        entry = behind


def _name(entry: Entry | Reject) -> str:
    return entry.sequence_id if isinstance(entry, Reject) else entry.name


def _records(
    path: Path, entry: Entry | Reject, repeated: bool, nucleotides: bool
) -> Iterator[AntibodyRecord | Reject]:
    if isinstance(entry, Reject):
        yield entry
        return
    name, cell = _names(entry, repeated)
    name = name or f"{path.name.split('.')[0]}_{entry.line}"
    chains = entry.sequence.split(CHAIN_BREAK)
    if len(chains) > 2:
        detail = f"{len(chains)} chains; write HEAVY{CHAIN_BREAK}LIGHT"
        yield Reject(str(path), entry.line, name, Fault.NOT_A_PAIR, detail)
        return
    for i, sequence in enumerate(chains, start=1):
        residues = find_reading_frame(sequence) if nucleotides and sequence else sequence
        mark = f"_{_chain(residues, i)}" if len(chains) > 1 else ""
        if isinstance(residues, Fault) or not residues:
            reason = residues or Fault.NO_SEQUENCE
            yield Reject(str(path), entry.line, name + mark, Fault(reason))
            continue
        yield AntibodyRecord(
            name + mark, residues, cell_id=name if mark else cell, source=f"{path}:{entry.line}"
        )


def _names(entry: Entry, repeated: bool) -> tuple[str, str]:
    """The id, and the cell if the header tells it."""
    name, *others = entry.header.split(maxsplit=2) or [""]
    if others and _SECOND_WORD.fullmatch(others[0]):
        return f"{name}_{others[0]}", name
    if marked := _MARKED.fullmatch(name):
        return name, marked[1]
    return name, name if repeated else ""


def _chain(residues: str, place: int) -> str:
    """``heavy``, ``light``, or the place in the entry where that cannot be told."""
    found = check(residues)
    if isinstance(found, Refusal):
        return str(place)
    return "heavy" if found.locus == Locus.IGH else "light"
