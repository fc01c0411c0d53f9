"""Cut pasted text into entries: FASTA, one sequence a line, or one over several lines.

Judges no entry: what is no chain is an entry all the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from hfbio.alphabet import CHAIN_BREAK, GAP, STOP, UNKNOWN
from hfbio.numbering import domains

MAX_NAME: Final = 80  # characters
_LEAST: Final = 80  # residues; a full variable domain has about 95 or more
_MOST: Final = 10_000  # residues that are numbered at once; see `hfbio.numbering.domains`

# Only ASCII letters: the capital of a long s is an S, and must not pass as one.
_UPPER: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# Counts, as GenBank and UniProt print them: words of digits, or digits at an end of a word.
# Possessive, so that a long run of digits inside a word is looked at once.
_COUNT: Final = re.compile(r"(?<!\S)[0-9]++|(?<![0-9])[0-9]++(?!\S)")
_ODD: Final = re.compile(f"[^A-Z{CHAIN_BREAK}]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One sequence, or a pair as ``HEAVY:LIGHT``."""

    name: str  # at most `MAX_NAME` characters, none of them a control character; may be empty
    line: int  # 1-based, where it begins; that of the header in FASTA
    sequence: str  # upper case, without blanks, counts, gaps, and stops at an end; may be empty


def entries(text: str) -> Iterator[Entry]:
    """The entries of ``text`` in order, each line in one of them or in none if it holds no letter.

    - A line that begins with ``>`` names what follows, up to the next such line. The name is its
      first word, as in `hfbio.data.read`.
    - Other lines are a sequence each, but for lines of one length with a last one of at most that:
      these are one sequence if they hold more domains together than alone, or if all of them are
      too short for a domain. A blank line ends a sequence.
    - A line that ends between two domains with nothing else between them ends a sequence.
    """
    header: tuple[str, int] | None = None
    block: list[tuple[int, str]] = []
    for at, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        content = raw.strip()
        if content.startswith(">"):
            yield from _entries(header, block)
            header, block = (_name(content[1:]), at), []
        elif letters := _letters(content):
            block.append((at, letters))
        elif not content and header is None:  # a line of counts alone ends nothing
            yield from _entries(None, block)
            block = []
    yield from _entries(header, block)


def n_headers(text: str) -> int:
    """How many lines begin with ``>``."""
    return sum(line.lstrip().startswith(">") for line in text.splitlines())


def _name(header: str) -> str:
    words = header.split(maxsplit=1)
    visible = (c for c in (words[0] if words else "") if unicodedata.category(c)[0] != "C")
    return "".join(visible)[:MAX_NAME]


def _letters(content: str) -> str:
    letters = "".join(_COUNT.sub("", content).split()).translate(_UPPER)
    return letters.replace(GAP, "").replace(".", "")


def _entries(header: tuple[str, int] | None, block: Sequence[tuple[int, str]]) -> Iterator[Entry]:
    if header is None:
        for lines in _groups(block):
            for at, sequence in _sequences(lines):
                yield Entry("", at, sequence)
        return
    name, at = header
    found = _sequences(block) or [(at, "")]
    yield Entry(name, at, found[0][1])
    for further, sequence in found[1:]:
        yield Entry(name, further, sequence)


def _groups(block: Sequence[tuple[int, str]]) -> Iterator[Sequence[tuple[int, str]]]:
    """Lines that are one sequence; each line is numbered twice at most alone and twice together."""
    first = 0
    while first < len(block):
        last = first
        width = len(block[first][1])
        while last + 1 < len(block) and len(block[last + 1][1]) == width:
            last += 1
        shorter = last + 1 < len(block) and len(block[last + 1][1]) < width
        group = block[first : last + 1 + shorter]
        if _is_one(group):
            yield group
            first += len(group)
            continue
        # A shorter line may begin the next sequence.
        alone = group[:-1] if shorter else group
        yield from ([line] for line in alone)
        first += len(alone)


def _is_one(group: Sequence[tuple[int, str]]) -> bool:
    n_letters = sum(len(letters) for _, letters in group)
    if len(group) == 1 or not _LEAST <= n_letters <= _MOST:
        return False
    if all(len(letters) < _LEAST for _, letters in group):
        return True  # no line is a domain, so that together they say better what they lack
    alone = [_n_domains(letters) for _, letters in group]
    return not all(alone) and _n_domains("".join(letters for _, letters in group)) > sum(alone)


def _n_domains(letters: str) -> int:
    # Another letter is a reject later on, and no reason to take its line for a sequence.
    chains = (_ODD.sub(UNKNOWN, chain.rstrip(STOP)) for chain in letters.split(CHAIN_BREAK))
    return sum(len(domains(chain)) for chain in chains if len(chain) >= _LEAST)


def _sequences(lines: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines as one sequence, cut where one ends between neighbouring domains."""
    joined = "".join(letters for _, letters in lines)
    ends = list(accumulate(len(letters) for _, letters in lines))
    borders: set[int] = set()
    if len(lines) > 1:
        found = domains(_ODD.sub(UNKNOWN, joined))  # of a pair none: ':' is no letter
        borders = {a.stop for a, b in pairwise(found) if a.stop == b.start}
    result, start, begins = [], 0, 0
    for i, end in enumerate(ends):
        if end in borders or i + 1 == len(ends):
            result.append((lines[begins][0], _without_stops(joined[start:end])))
            start, begins = end, i + 1
    return result


def _without_stops(sequence: str) -> str:
    return CHAIN_BREAK.join(chain.rstrip(STOP) for chain in sequence.split(CHAIN_BREAK))
