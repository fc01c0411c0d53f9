"""Chains of any protein, for pretraining. Numbers and cleans nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from hfbio.alphabet import AMBIGUOUS, RESIDUES
from hfbio.data.readers.fasta import read_fasta
from hfbio.data.reject import Reject
from hfbio.errors import DataError, MissingExtra
from hfbio.record import ProteinRecord

HUMAN: Final = "example:HumanSwissProt"
_UNREADABLE: Final = re.compile(f"[^{RESIDUES}{''.join(AMBIGUOUS)}]")


def read_proteins(source: str) -> Iterator[ProteinRecord]:
    """Chains of a FASTA file, plain or gz, with every letter that is no residue as ``X``.

    Args:
        source: a file, or ``example:HumanSwissProt``: the 20,417 reviewed human proteins of
            UniProt (CC BY 4.0) that promb carries.

    Raises:
        MissingExtra: the example without promb.
        DataError: no such file, or not FASTA.
    """
    path = _human() if source == HUMAN else Path(source)
    if not path.is_file():
        raise DataError(f"no file {source}")
    for record in read_fasta(path):
        if not isinstance(record, Reject):
            letters = _UNREADABLE.sub("X", record.sequence_aa)
            yield ProteinRecord(record.sequence_id, letters)


def _human() -> Path:
    try:
        return Path(str(files("promb").joinpath("resources", "uniprot_sprot_human.fasta.gz")))
    except ModuleNotFoundError:
        raise MissingExtra("pretrain") from None
