"""A chain that a user gives by hand, numbered. Reads no file."""

from __future__ import annotations

from hfbio.numbering import number_whole
from hfbio.record import AntibodyRecord


def numbered(sequence: str, name: str) -> AntibodyRecord:
    """One variable domain as a record, its locus and regions found.

    Args:
        sequence: residues in upper case, nothing before or after the domain.
        name: what messages call it, and its ``sequence_id``.

    Raises:
        SequenceError: a letter that is no residue, or not one whole variable domain alone.
    """
    domain = number_whole(sequence, name)
    return AntibodyRecord(name, sequence, locus=domain.locus, regions=domain.regions)
