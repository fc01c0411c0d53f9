"""Motifs of residues: a small language, and those that have a name. Judges no chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hfbio.alphabet import RESIDUES

Motif = tuple[frozenset[int], ...]
"""One set of residues a place, each as indices into `alphabet.RESIDUES`."""

SEQUON: Final = ("N[^P][ST]",)
"""Where sugar is attached to Asn: Asn-Xaa-Ser/Thr, Xaa not Pro (Gavel and von Heijne 1990, Protein
Eng. 3, 433-442)."""

FAST_DEAMIDATION: Final = ("NG", "NS")
FAST_ISOMERISATION: Final = ("DG", "DS")
"""Succinimide forms fastest before Gly, then before Ser, from Asn (deamidation) as from Asp
(isomerisation) (Geiger and Clarke 1987, J. Biol. Chem. 262, 785-794)."""

_ANY: Final = frozenset(range(len(RESIDUES)))


def parse(pattern: str) -> Motif:
    """A motif from its text: residues, ``.`` for any, ``[ST]`` for some, ``[^P]`` for all but some.

    Read letter by letter: a pattern of a user is never given to ``re``.

    Raises:
        ValueError: the text is no motif, or every chain has it; the message is the reason alone.
    """
    places, at = [], 0
    while at < len(pattern):
        if pattern[at] != "[":
            letters = _ANY if pattern[at] == "." else _residues(pattern[at], at)
            places.append(letters)
            at += 1
            continue
        end = pattern.find("]", at)
        if end < 0:
            raise ValueError(f"'[' at character {at + 1} is not closed")
        inside = pattern[at + 1 : end]
        negated = inside.startswith("^")
        letters = _residues(inside[negated:], at + 1 + negated)
        letters = _ANY - letters if negated else letters
        if not letters:
            raise ValueError(f"no residue fits {pattern[at : end + 1]!r}")
        places.append(letters)
        at = end + 1
    if not places:
        raise ValueError("it is empty")
    if all(letters == _ANY for letters in places):
        raise ValueError("every chain would break it")
    return tuple(places)


def occurrences(motif: Motif, chain: Sequence[int]) -> list[int]:
    """Where ``motif`` begins in ``chain``, in order; occurrences may overlap.

    Args:
        motif: as `parse` gives it.
        chain: residues as indices into `alphabet.RESIDUES`; another number matches nothing.
    """
    return [
        first
        for first in range(len(chain) - len(motif) + 1)
        if all(residue in letters for residue, letters in zip(chain[first:], motif))
    ]


def _residues(letters: str, first: int) -> frozenset[int]:
    for i, letter in enumerate(letters):
        if letter not in RESIDUES:
            raise ValueError(f"{letter!r} at character {first + i + 1} is not one of {RESIDUES}")
    return frozenset(map(RESIDUES.index, letters))
