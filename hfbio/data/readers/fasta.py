"""Records of a FASTA file, amino acids or nucleotides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

from hfbio.data.columns import are_nucleotides
from hfbio.data.readers.text import open_text
from hfbio.data.readers.translation import find_reading_frame
from hfbio.data.reject import Fault, Reject
from hfbio.errors import DataError
from hfbio.record import AntibodyRecord

_EXAMPLES: Final = 100  # records looked at to tell amino acids from nucleotides


def read_fasta(path: Path) -> Iterator[AntibodyRecord | Reject]:
    """Read a FASTA file; the id is the first word of the header.

    Whether it holds nucleotides is decided once, over the first records. Nucleotides are translated
    in the frame, of six, that gives an antibody domain without a stop; see `find_reading_frame`.

    Raises:
        DataError: see `open_text`; or text comes before the first ``>``, or there is none.
    """
    entries = _entries(path)
    examples = list(islice(entries, _EXAMPLES))
    nucleotides = bool(are_nucleotides(sequence for _, _, sequence in examples))
    return (_record(path, *entry, nucleotides) for entry in chain(examples, entries))


def _entries(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line of the header, id, sequence."""
    start, name, parts = 0, "", list[str]()
    with open_text(path) as file:
        for line, raw in enumerate(file, start=1):
            content = raw.strip()
            if content.startswith(">"):
                if start:
                    yield start, name, "".join(parts)
                words = content[1:].split(maxsplit=1)
                start, name, parts = line, words[0] if words else "", []
            elif content and not start:
                raise DataError(f"{path}: line {line} is not FASTA, no '>' before {content[:40]!r}")
            elif content:
                parts.append("".join(content.split()))
    if not start:
        raise DataError(f"{path}: only blank lines")
    yield start, name, "".join(parts)


def _record(
    path: Path, line: int, name: str, sequence: str, nucleotides: bool
) -> AntibodyRecord | Reject:
    name = name or f"{path.name.split('.')[0]}_{line}"
    if not sequence:
        return Reject(str(path), line, name, Fault.NO_SEQUENCE)
    if nucleotides:
        amino = find_reading_frame(sequence)
        if isinstance(amino, Fault):
            return Reject(str(path), line, name, amino)
        sequence = amino
    return AntibodyRecord(name, sequence, source=f"{path}:{line}")
