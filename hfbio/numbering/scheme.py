"""The IMGT scheme as numbers: region borders, conserved residues, gaps. Aligns nothing.

Source for every constant here: Lefranc et al. 2003, Dev. Comp. Immunol. 27, 55-77 ("IMGT unique
numbering for immunoglobulin and T cell receptor variable domains and Ig superfamily V-like
domains"), table 1 and figures 1-4; IMGT Scientific chart, "Correspondence between V numberings".
"""

from __future__ import annotations

from typing import Final

from hfbio.record import Locus

Position = tuple[int, str]
"""An IMGT position: number and insertion letter, ``""`` for most; 111A is ``(111, "A")``."""

REGION_FIRST: Final = (1, 27, 39, 56, 66, 105, 118)
"""First position of fwr1, cdr1, fwr2, cdr2, fwr3, cdr3, fwr4 (in the order of `record.REGIONS`)."""

CONSERVED: Final = ((23, "C", "Cys23"), (41, "W", "Trp41"), (104, "C", "Cys104"))
"""1st-CYS, CONSERVED-TRP and 2nd-CYS: the disulfide bridge and the residue packed against it."""

LAST_POSITION: Final = {Locus.IGH: 128, Locus.IGK: 127, Locus.IGL: 127}
"""Last position of the domain: the J regions of light chains are one residue shorter."""

UNOCCUPIED_IN_FWR1: Final = {Locus.IGH: (10,), Locus.IGK: (), Locus.IGL: (10,)}
"""Positions of fwr1 that no germline gene of the locus fills: strand A is one residue shorter in
heavy and lambda domains than in kappa domains."""


def label(position: Position) -> str:
    """A position as it is written: ``111A``."""
    number, letter = position
    return f"{number}{letter}"
