"""Residues, ambiguity codes and the genetic code. Knows nothing of tokens or antibodies."""

from __future__ import annotations

from typing import Final

RESIDUES: Final = "ACDEFGHIKLMNPQRSTVWY"
"""The 20 standard amino acids, alphabetical by one-letter code (IUPAC-IUB 1984)."""

AMBIGUOUS: Final = "BJOUXZ"
"""IUPAC codes that are letters but not one of the 20: B (D or N), J (I or L), O (pyrrolysine),
U (selenocysteine), X (any), Z (E or Q)."""

STOP: Final = "*"
GAP: Final = "-"
UNKNOWN: Final = "X"
CHAIN_BREAK: Final = ":"
"""Between the chains of a pair, where it is written as text."""

_BASES = "TCAG"
_CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS: Final = {
    a + b + c: _CODE[16 * i + 4 * j + k]
    for i, a in enumerate(_BASES)
    for j, b in enumerate(_BASES)
    for k, c in enumerate(_BASES)
}
"""The standard genetic code (NCBI translation table 1), DNA letters, ``*`` for stop."""


def translate(nucleotides: str) -> str:
    """Translate codon by codon from the first letter; a trailing part codon is dropped.

    Args:
        nucleotides: upper-case DNA without gaps. A codon with any other letter (``N``, IUPAC
            codes) becomes ``X``: no guess is made from its unambiguous letters.

    Returns:
        One letter per codon, ``*`` for a stop codon.
    """
    codons = (nucleotides[i : i + 3] for i in range(0, len(nucleotides) - 2, 3))
    return "".join(CODONS.get(codon, UNKNOWN) for codon in codons)
