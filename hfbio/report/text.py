"""metrics.json as a table for the terminal. Computes no metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

LABELS: Final = {
    "base": "base",
    "base_calibrated": "base, calibrated",
    "tuned": "tuned",
    "model": "model",  # trained from nothing
    "position": "IMGT frequency",
    "position_family": "+ V family",
}


def contenders(metrics: Mapping[str, Any]) -> list[str]:
    """The names measured, in the order of `LABELS`."""
    return [name for name in LABELS if name in metrics["held_out"][0]]


def items(metrics: Mapping[str, Any]) -> str:
    """What was measured: ``chains``, or ``pairs``; metrics of earlier versions name no layout."""
    return "pairs" if metrics.get("layout") == "paired" else "chains"


def held_out_table(metrics: Mapping[str, Any]) -> str:
    """Nats per residue by region, one block per share of masked residues."""
    names = contenders(metrics)
    lines = []
    for masked in dict.fromkeys(row["masked"] for row in metrics["held_out"]):
        head = "".join(f"{LABELS[name]:>18}" for name in names)
        head += f"{'tuned - base (95 %)':>26}" if "tuned" in names else ""
        lines.append(f"{f'{masked:.0%} masked':<16}{head}")
        for row in metrics["held_out"]:
            if row["masked"] == masked:
                lines.append(_line(row, names))
        lines.append("")
    lines.append(
        f"nats per hidden residue, lower is better; {metrics['chains']} held-out {items(metrics)} "
        f"in {metrics['clones']} clones; a uniform guess is {metrics['chance_nats']:.3f}"
    )
    return "\n".join(lines)


def cell_name(row: Mapping[str, Any]) -> str:
    """What a row of ``held_out`` is about: a region, a germline status, or everything."""
    if row["status"] != "all":
        return str(row["status"]).replace("_", "-")
    return "all residues" if row["region"] == "all" else str(row["region"]).upper()


def _line(row: Mapping[str, Any], names: list[str]) -> str:
    values = "".join(f"{row[name]['nats_per_residue']:>18.3f}" for name in names)
    line = f"  {cell_name(row):<14}{values}"
    if gap := row.get("difference"):
        interval = f"{gap['nats_per_residue']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        line += f"{interval:>26}"
    return line
