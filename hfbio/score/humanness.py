"""How much of a chain stands in human antibodies, by 9-mers. Numbers and judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from hfbio.errors import MissingExtra, SequenceError

if TYPE_CHECKING:
    from promb.db import PrombDB

PEPTIDE = 9  # residues
_READING = Lock()


def oasis_identity(sequences: Sequence[str]) -> list[float]:
    """OASis identity of each chain: the share of its 9-mers seen in human antibodies.

    A 9-mer counts as seen if at least 10 % of the human subjects of the Observed Antibody Space
    have it ("relaxed" prevalence). The first call reads the list, which takes 5 to 20 s and then
    holds 0.75 GB of memory; a chain takes 0.02 ms.

    Args:
        sequences: variable domains, at least 9 residues each.

    Returns:
        One number in [0, 1] a chain, in order.

    Raises:
        MissingExtra: promb, which brings the list, is not installed.
        SequenceError: a chain shorter than 9 residues.

    Source:
        Prihoda et al. 2022, BioPhi, mAbs 14:2020203, section "OASis"; the list is that of
        promb (MIT), ``human-oas``.
    """
    for i, sequence in enumerate(sequences):
        if len(sequence) < PEPTIDE:
            raise SequenceError(f"sequence {i} has {len(sequence)} residues; OASis needs {PEPTIDE}")
    with _READING:  # two threads would read the list twice, 0.75 GB each
        known = _peptides()
    return [float(known.compute_peptide_content(sequence)) for sequence in sequences]


@lru_cache(maxsize=1)
def _peptides() -> PrombDB:
    try:
        from promb import init_db
    except ImportError:
        raise MissingExtra("humanness") from None
    return init_db("human-oas", verbose=False)
