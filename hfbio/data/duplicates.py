"""Keep one row per sequence and one row per id. Exact matches only; similarity is for splits.

The rule, for what fits in memory. `hfbio.data.merge` follows it for any number of rows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from hfbio.data.reject import Fault, Reject
from hfbio.record import AntibodyRecord

_COUNTED: Final = re.compile(r"_[0-9]+\Z")


class Duplicates:
    """Remembers the rows kept so far.

    A sequence seen before is rejected and its ``duplicate_count`` added to that of the first row,
    whatever its isotype, donor or cell. The two chains of a pair are told apart by ``cell_id``: a
    light chain that two cells share stays in both, since each pair is a molecule of its own.

    An id seen before, on another sequence, is kept and renamed (``x`` becomes ``x_2``), because
    ids are only unique within a file, and often not even there.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []  # reads behind each kept row, in order
        self.n_renamed = 0
        self._rows: dict[str, int] = {}
        self._first_ids: list[str] = []
        self._names = FreeNames()

    def admit(self, record: AntibodyRecord) -> AntibodyRecord | Reject:
        """The record, under a name of its own, or a reject that names the first row."""
        identity = identity_of(record)
        row = self._rows.get(identity)
        if row is not None:
            self.counts[row] += record.duplicate_count
            source, _, line = record.source.rpartition(":")
            first = f"same as {self._first_ids[row]}"
            return Reject(source, int(line or 0), record.sequence_id, Fault.DUPLICATE, first)
        name = self._names.take(record.sequence_id)
        self._rows[identity] = len(self.counts)
        self._first_ids.append(name)
        self.counts.append(record.duplicate_count)
        if name == record.sequence_id:
            return record
        self.n_renamed += 1
        return replace(record, sequence_id=name)


class FreeNames:
    """Gives each row a name that no row before it has."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}  # name -> how often it was asked for

    def take(self, wanted: str) -> str:
        """``wanted``, or with the first free number behind it: ``wanted_2``."""
        if wanted not in self._asked:
            self._asked[wanted] = 1
            return wanted
        while True:
            self._asked[wanted] += 1
            name = f"{wanted}_{self._asked[wanted]}"
            if name not in self._asked:
                self._asked[name] = 1
                return name


def identity_of(record: AntibodyRecord) -> str:
    """What two rows must share to be one: sequence and cell."""
    return f"{record.sequence_aa}|{record.cell_id}"


def stems(name: str) -> list[str]:
    """``name`` and what is left of it without each number behind it: x_2_3, x_2, x.

    `FreeNames` can only give the last of them to a row that wanted another.
    """
    found = [name]
    while cut := _COUNTED.search(found[-1]):
        found.append(found[-1][: cut.start()])
    return found
