"""The chains that a model was made for, apart from the others. Scores none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hfbio.data import Fault, Reject
from hfbio.record import Antibody, AntibodyRecord
from hfbio.score.embed import residues_of

if TYPE_CHECKING:
    from hfbio.model.antibody import AntibodyModel


def sift(
    model: AntibodyModel, records: Sequence[AntibodyRecord], source: str, region: str
) -> tuple[list[Antibody], list[Reject]]:
    """See `AntibodyModel.readable`."""
    found, alone = model.paired(records)
    kept: list[Antibody] = []
    faults = {id(chain): why for chain, why in alone}
    for record in found:
        empty = "" if residues_of(record, region) else f"no residue in {region}"
        if fault := model.base.unreadable(record) or empty:
            faults |= {id(chain): fault for chain in record.chains}
        else:
            kept.append(record)
    rejects = [
        Reject(source, i, record.sequence_id, Fault.UNREADABLE, faults[id(record)])
        for i, record in enumerate(records, 1)
        if id(record) in faults
    ]
    return kept, rejects
