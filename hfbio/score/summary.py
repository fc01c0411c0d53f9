"""Held-out measurements as the numbers of metrics.json. Measures nothing itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hfbio.alphabet import RESIDUES
from hfbio.record import REGIONS
from hfbio.score.compare import difference
from hfbio.score.heldout import STATUS, HeldOut

CHANCE_NATS = math.log(len(RESIDUES))
"""Nats per residue of a uniform guess among the 20 residues: ln 20 = 2.996."""


def summarise_bound(
    measured: Mapping[str, HeldOut],
    groups: Sequence[int] | NDArray[np.int64],
    *,
    compare: tuple[str, str] | None,
) -> dict[str, Any]:
    """Bounds on whole chains (`hfbio.score.bound`) as one row: per name ``nats_per_residue``.

    Args:
        measured: name -> bound, all on the same chains and masks.
        groups: as for `summarise`.
        compare: as for `summarise`.
    """
    (row, *_) = summarise(measured, groups, compare=compare)["held_out"]
    told = {name: {"nats_per_residue": row[name]["nats_per_residue"]} for name in measured}
    return {**told, **({"difference": row["difference"]} if compare else {})}


def summarise(
    measured: Mapping[str, HeldOut],
    groups: Sequence[int] | NDArray[np.int64],
    *,
    compare: tuple[str, str] | None,
    task: str = "masked",
    layout: str = "single",
) -> dict[str, Any]:
    """One entry per mask fraction, region and germline status.

    Args:
        measured: name -> measurement, all on the same chains and masks.
        groups: clone of each chain, for the intervals.
        compare: two names of ``measured``; adds their difference, second minus first, with its
            95 % interval over clones.
        task: what was asked, see `hfbio.score.assess.Task`.
        layout: ``single``; or ``paired``, where each of the ``chains`` is a pair and each region
            that of both chains.

    Returns:
        ``{"task": …, "layout": …, "chance_nats": …, "chains": …, "clones": …,
        "held_out": [row, …]}`` where a row has ``masked`` (fraction; 1 for tasks that mask none),
        ``region``, ``status``,
        ``residues`` (hidden, over all draws), per name ``nats_per_residue``, ``perplexity`` and
        ``recovery`` (share of hidden residues whose most likely token was right), and where asked
        ``difference``. Cells without residues are left out.
    """
    first = next(iter(measured.values()))
    rows = []
    for f, fraction in enumerate(first.fractions):
        cells = [("all", "all"), *((region, "all") for region in REGIONS)]
        cells += [("all", status) for status in STATUS]
        for region, status in cells:
            n = int(first.cell(first.residues, region, status)[f].sum())
            if not n:
                continue
            row: dict[str, Any] = {
                "masked": fraction,
                "region": region,
                "status": status,
                "residues": n,
            }
            for name, held_out in measured.items():
                nats = float(held_out.cell(held_out.nats, region, status)[f].sum()) / n
                row[name] = {
                    "nats_per_residue": nats,
                    "perplexity": math.exp(nats),
                    "recovery": int(held_out.cell(held_out.hits, region, status)[f].sum()) / n,
                }
            if compare and status == "all":
                gap = difference(
                    measured[compare[1]],
                    measured[compare[0]],
                    groups,
                    fraction=fraction,
                    region=region,
                )
                row["difference"] = {
                    "nats_per_residue": gap.nats_per_residue,
                    "low": gap.low,
                    "high": gap.high,
                }
            rows.append(row)
    return {
        "task": task,
        "layout": layout,
        "chance_nats": CHANCE_NATS,
        "chains": len(groups),
        "clones": len(np.unique(groups)),
        "held_out": rows,
    }
