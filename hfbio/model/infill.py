"""From a chain and what shall change in it to a request. Draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from hfbio.errors import SettingError
from hfbio.model.given import numbered
from hfbio.record import AntibodyRecord
from hfbio.sample import Request, freeze
from hfbio.sample.request import OPEN, runs_of

Length = tuple[int, int]


def infill_request(
    sequence: str, regions: str, lengths: Sequence[Length] = (), request: Request | None = None
) -> Request:
    """A request that redesigns some regions of a chain and keeps all the rest.

    Args:
        sequence: one variable domain.
        regions: what to redesign, such as ``cdr3``, ``cdr1,cdr3`` or ``26-33``; see
            `hfbio.sample.freeze`.
        lengths: for each gap in order the shortest and longest filling, in residues; one pair
            serves for all gaps. Empty: as long as what they replace.
        request: num, seed, guidance and so on; its scaffold and gaps are replaced.

    Raises:
        SequenceError: not one whole variable domain.
        SettingError: nothing to redesign, or lengths for another number of gaps.
    """
    record = numbered(sequence, "sequence")
    open_at = freeze(regions, record).tolist()
    n_gaps = sum(is_open for is_open, _ in groupby(open_at))
    if len(lengths) not in (0, 1, n_gaps):
        raise SettingError(
            f"{regions} leaves {n_gaps} gaps, and lengths are given for {len(lengths)}; give one "
            "for each, or one for all"
        )
    gaps = tuple(lengths) * (n_gaps if len(lengths) == 1 else 1)
    return _opened(record, open_at, request or Request(), gaps)


def varied(sequence: str, frozen: str, request: Request) -> Request:
    """A request that redesigns a chain but for the residues that stay.

    Args:
        sequence: one variable domain.
        frozen: what stays, as for `hfbio.sample.freeze`; empty: nothing.
        request: num, seed and so on; its scaffold is replaced.

    Raises:
        SequenceError: not one whole variable domain.
        SettingError: everything stays.
    """
    record = numbered(sequence, "sequence")
    return _opened(record, (~freeze(frozen, record)).tolist(), request, ())


def _opened(
    record: AntibodyRecord, open_at: Sequence[bool], request: Request, gaps: tuple[Length, ...]
) -> Request:
    sequence = record.sequence_aa
    if not any(open_at):
        raise SettingError("there is nothing to redesign; free at least one residue")
    scaffold = "".join(OPEN if free else residue for residue, free in zip(sequence, open_at))
    hints = {"locus": record.locus}
    same = replace(request, scaffold=scaffold, gaps=gaps, start=None, hints=hints)
    if same.keeps_lengths:
        return replace(same, gaps=(), start=sequence)
    # One length for a gap is as good as a scaffold of that length.
    sizes = iter([low if low == high else n for n, (low, high) in zip(runs_of(scaffold), gaps)])
    runs = groupby(scaffold, lambda letter: letter == OPEN)
    drawn = "".join(OPEN * next(sizes) if free else "".join(run) for free, run in runs)
    told = replace(same, scaffold=drawn)
    return replace(told, gaps=()) if told.keeps_lengths else told
