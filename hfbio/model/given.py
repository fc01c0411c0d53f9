"""A chain that a user gives by hand, numbered. Reads no file."""

from __future__ import annotations

from hfbio.alphabet import RESIDUES
from hfbio.errors import SequenceError
from hfbio.numbering import number
from hfbio.record import AntibodyRecord


def numbered(sequence: str, name: str) -> AntibodyRecord:
    """One variable domain as a record, its locus and regions found.

    Args:
        sequence: residues in upper case, nothing before or after the domain.
        name: what messages call it, and its ``sequence_id``.

    Raises:
        SequenceError: a letter that is no residue, or not one whole variable domain alone.
    """
    for at, letter in enumerate(sequence):
        if letter not in RESIDUES:
            raise SequenceError(
                f"{name}: {letter!r} at residue {at + 1} is not one of {RESIDUES}; replace it"
            )
    domain = number(sequence)
    if (domain.start, domain.stop) != (0, len(sequence)):
        raise SequenceError(
            f"{name}: the variable domain is residues {domain.start + 1}-{domain.stop} of "
            f"{len(sequence)}; give these alone"
        )
    return AntibodyRecord(name, sequence, locus=domain.locus, regions=domain.regions)
