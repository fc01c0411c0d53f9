"""Keep one row per sequence and one row per id. Exact matches only; similarity is for splits."""

from __future__ import annotations

from dataclasses import replace

from hfbio.data.reject import Fault, Reject
from hfbio.record import AntibodyRecord


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
        self._rows: dict[tuple[str, str], int] = {}
        self._first_ids: list[str] = []
        self._ids: dict[str, int] = {}  # id -> how often it was asked for

    def admit(self, record: AntibodyRecord) -> AntibodyRecord | Reject:
        """The record, under a name of its own, or a reject that names the first row."""
        key = (record.sequence_aa, record.cell_id)
        row = self._rows.get(key)
        if row is not None:
            self.counts[row] += record.duplicate_count
            source, _, line = record.source.rpartition(":")
            first = f"same as {self._first_ids[row]}"
            return Reject(source, int(line or 0), record.sequence_id, Fault.DUPLICATE, first)
        name = self._free_name(record.sequence_id)
        self._rows[key] = len(self.counts)
        self._first_ids.append(name)
        self.counts.append(record.duplicate_count)
        return record if name == record.sequence_id else replace(record, sequence_id=name)

    def _free_name(self, wanted: str) -> str:
        if wanted not in self._ids:
            self._ids[wanted] = 1
            return wanted
        self.n_renamed += 1
        while True:
            self._ids[wanted] += 1
            name = f"{wanted}_{self._ids[wanted]}"
            if name not in self._ids:
                self._ids[name] = 1
                return name
