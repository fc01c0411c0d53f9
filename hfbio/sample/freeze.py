"""Which residues of a numbered chain may not change, from what a user wrote."""

from __future__ import annotations

import re
from typing import Final

import torch
from torch import Tensor

from hfbio.errors import SettingError
from hfbio.record import REGIONS, AntibodyRecord

_GROUPS: Final = {
    "cdrs": tuple(name for name in REGIONS if name.startswith("cdr")),
    "fwrs": tuple(name for name in REGIONS if name.startswith("fwr")),
    **{name: (name,) for name in REGIONS},
}
_RANGE: Final = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def freeze(text: str, record: AntibodyRecord) -> Tensor:
    """The residues that ``text`` names.

    Args:
        text: names and numbers between commas, such as ``cdr3,1-5,20``: regions (``cdr1``,
            ``fwr2``, all ``cdrs``, all ``fwrs``), and residues counted from 1, both ends included.
            Empty: none.
        record: numbered.

    Returns:
        ``(n,)`` bool, one value a residue of ``sequence_aa``.

    Raises:
        SettingError: a part is neither, or goes beyond the chain.
    """
    n = len(record.sequence_aa)
    frozen = torch.zeros(n, dtype=torch.bool)
    if not text.strip():
        return frozen
    for part in (part.strip() for part in text.split(",")):
        if part in _GROUPS:
            for name in _GROUPS[part]:
                k = REGIONS.index(name)
                frozen[record.regions[k] : record.regions[k + 1]] = True
            continue
        found = _RANGE.fullmatch(part)
        if found is None:
            raise SettingError(
                f"{part!r:.80} names no residues; write {', '.join(_GROUPS)}, or residues counted "
                "from 1 such as 20 or 1-5"
            )
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= n:
            raise SettingError(f"residues {part} do not lie within 1 and {n}, in this order")
        frozen[first - 1 : last] = True
    return frozen
