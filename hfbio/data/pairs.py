"""Chains of one cell become pairs. Reads no files and splits nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hfbio.record import AntibodyRecord, Locus, PairedRecord


def pair(
    records: Sequence[AntibodyRecord],
) -> tuple[list[PairedRecord], list[tuple[AntibodyRecord, str]]]:
    """Join the heavy and the light chain of each cell: same ``cell_id`` in the same ``subject``.

    A cell with two heavy or two light chains is a doublet, or two cells that share a barcode, or
    one that expresses both alleles: which chains belong together is not known, and none of them is
    used. Of cells with the same two sequences the first is used.

    Args:
        records: chains with their ``locus``.

    Returns:
        The pairs in the order in which their cells appear, and each chain in none of them with the
        reason. No chain is in both, and none is lost.
    """
    cells: dict[tuple[str, str], list[AntibodyRecord]] = defaultdict(list)
    left: list[tuple[AntibodyRecord, str]] = []
    for record in records:
        if record.cell_id:
            cells[record.subject, record.cell_id].append(record)
        else:
            left.append((record, "no cell_id to find its partner by"))
    pairs: list[PairedRecord] = []
    seen: set[tuple[str, str]] = set()
    for chains in cells.values():
        heavy = [chain for chain in chains if chain.locus == Locus.IGH]
        light = [chain for chain in chains if chain.locus != Locus.IGH]
        if len(heavy) > 1 or len(light) > 1:
            left += [(chain, "several heavy or light chains in its cell") for chain in chains]
        elif not heavy or not light:
            left += [(chain, "no partner in its cell") for chain in chains]
        elif (both := (heavy[0].sequence_aa, light[0].sequence_aa)) in seen:
            left += [(chain, "same pair as that of another cell") for chain in chains]
        else:
            seen.add(both)
            pairs.append(PairedRecord(heavy[0], light[0]))
    return pairs, left
