"""Charge, isoelectric point and hydropathy of a chain from its letters. Knows no structure."""

from __future__ import annotations

from typing import Final

import numpy as np

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError, SettingError

PK: Final = {"D": 3.67, "E": 4.25, "C": 8.55, "Y": 9.84, "H": 6.54, "K": 10.40, "R": 13.8}
"""pK of side chains at 25 degrees C, in alanine pentapeptides (Thurlkill et al. 2006, Protein Sci.
15, 1214-1218, table 2); of arginine Fitch et al. 2015, Protein Sci. 24, 752-761.

The authors later measured 3.90 for aspartate (Grimsley et al. 2009, Protein Sci. 18, 247-251). The
table is kept whole: at pH 7.4 the two differ by 0.0001 charges a residue."""

PK_START: Final = 8.00
PK_END: Final = 3.67
"""pK of the free amino group at the start of a chain and of the carboxyl group at its end; the same
table of Thurlkill et al. 2006."""

HYDROPATHY: Final = {
    **{"A": 1.8, "R": -4.5, "N": -3.5, "D": -3.5, "C": 2.5, "Q": -3.5, "E": -3.5, "G": -0.4},
    **{"H": -3.2, "I": 4.5, "L": 3.8, "K": -3.9, "M": 1.9, "F": 2.8, "P": -1.6, "S": -0.8},
    **{"T": -0.7, "W": -0.9, "Y": -1.3, "V": 4.2},
}
"""Kyte and Doolittle 1982, J. Mol. Biol. 157, 105-132, table 2; positive is hydrophobic."""

_POSITIVE: Final = "HKR"
_NEGATIVE: Final = "DECY"
_RESOLUTION: Final = 0.001  # pH units; a tenth of what is promised
# Between these every chain that fits in memory changes its sign: n arginines and one carboxyl group
# do so near 13.8 + log10(n), n aspartates and one amino group near 3.67 - log10(n).
_ACID, _BASE = -10.0, 30.0


def charge(sequence: str, ph: float = 7.4) -> float:
    """Net charge of one chain with free ends, in elementary charges (Henderson-Hasselbalch).

    Each group is taken to titrate alone, as in an unfolded chain. Every cysteine counts as a free
    thiol: a disulfide bridge, of which a variable domain has one, adds 0.13 at pH 7.4.

    Args:
        sequence: one chain of the 20 residues in upper case, at least one.
        ph: in [0, 14].

    Raises:
        SequenceError: the chain is empty or holds another letter.
        SettingError: ``ph`` is out of its range, or no number.

    Source:
        The pK are those of `PK`, `PK_START` and `PK_END`.
    """
    _check_sequence(sequence)
    _check_ph(ph)
    return _charge(sequence, ph)


def side_chain_charge(residues: str, ph: float) -> float:
    """Net charge of side chains alone, in elementary charges: for residues inside a chain, as CDRs.

    Args:
        residues: of the 20 in upper case, in any number; none have no charge.
        ph: in [0, 14].

    Raises:
        SequenceError: another letter.
        SettingError: ``ph`` is out of its range, or no number.

    Source:
        See `PK`.
    """
    _check_letters(residues)
    _check_ph(ph)
    return _side_chains(residues, ph)


def isoelectric_point(sequence: str) -> float:
    """The pH at which `charge` is zero, to 0.01.

    There is one, as the charge falls strictly with pH. A chain that has charges of one sign only
    apart from its ends can have it outside 0-14.

    Args:
        sequence: one chain of the 20 residues in upper case, at least one.

    Raises:
        SequenceError: the chain is empty or holds another letter.

    Source:
        See `charge`. What holds for an unfolded chain is about one pH unit from measured values of
        proteins (Kozlowski 2016, Biol. Direct 11, 55).
    """
    _check_sequence(sequence)
    low, high = _ACID, _BASE
    while high - low > _RESOLUTION:
        middle = (low + high) / 2
        if _charge(sequence, middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def hydropathy(sequence: str) -> float:
    """Mean of the Kyte-Doolittle scale over residues, in [-4.5, 4.5]; positive is hydrophobic.

    Args:
        sequence: of the 20 residues in upper case, at least one.

    Raises:
        SequenceError: no residue, or another letter.

    Source:
        See `HYDROPATHY`.
    """
    _check_sequence(sequence)
    return float(np.mean([HYDROPATHY[letter] for letter in sequence]))


def _charge(sequence: str, ph: float) -> float:
    ends = 1 / (1 + 10 ** (ph - PK_START)) - 1 / (1 + 10 ** (PK_END - ph))
    return _side_chains(sequence, ph) + ends


def _side_chains(residues: str, ph: float) -> float:
    total = 0.0
    for letter in residues:
        if letter in _POSITIVE:
            total += 1 / (1 + 10 ** (ph - PK[letter]))
        elif letter in _NEGATIVE:
            total -= 1 / (1 + 10 ** (PK[letter] - ph))
    return total


def _check_sequence(sequence: str) -> None:
    if not sequence:
        raise SequenceError("the chain is empty; give at least one residue")
    _check_letters(sequence)


def _check_letters(residues: str) -> None:
    for at, letter in enumerate(residues):
        if letter not in RESIDUES:
            raise SequenceError(
                f"{letter!a} at residue {at + 1} is not one of {RESIDUES}; replace it"
            )


def _check_ph(ph: float) -> None:
    if not 0 <= ph <= 14:  # NaN fails too
        raise SettingError(f"ph must be in [0, 14], got {ph}")
