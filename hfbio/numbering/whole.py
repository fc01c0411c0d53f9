"""Number a sequence that must be one variable domain and nothing else. Cuts nothing off."""

from __future__ import annotations

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError
from hfbio.numbering.domain import Numbered, number


def number_whole(sequence: str, name: str) -> Numbered:
    """The numbering of ``sequence``; ``positions`` has one entry for each of its residues.

    Args:
        sequence: residues in upper case, nothing before or after the domain.
        name: what messages call it.

    Raises:
        SequenceError: a letter that is not one of the 20 residues, or not one whole variable
            domain alone.
    """
    for at, letter in enumerate(sequence):
        if letter not in RESIDUES:
            raise SequenceError(
                f"{name}: {letter!a} at residue {at + 1} is not one of {RESIDUES}; replace it"
            )
    domain = number(sequence)
    if (domain.start, domain.stop) != (0, len(sequence)):
        raise SequenceError(
            f"{name}: the variable domain is residues {domain.start + 1}-{domain.stop} of "
            f"{len(sequence)}; give these alone"
        )
    return domain
