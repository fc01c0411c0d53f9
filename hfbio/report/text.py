"""metrics.json as a table for the terminal. Computes no metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hfbio.report.task import heading, words

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


def own_name(metrics: Mapping[str, Any]) -> str:
    """Which contender the model itself is: ``tuned``, or ``model`` where it has no base."""
    return "tuned" if "tuned" in metrics["held_out"][0] else "model"


def held_out_table(metrics: Mapping[str, Any]) -> str:
    """Nats per residue by region, one block per share of masked residues; sources below.

    Of tasks that mask none there is one block.
    """
    names = contenders(metrics)
    lines = []
    for masked in dict.fromkeys(row["masked"] for row in metrics["held_out"]):
        head = "".join(f"{LABELS[name]:>18}" for name in names)
        head += f"{'tuned - base (95 %)':>26}" if "tuned" in names else ""
        above = heading(metrics, masked)
        if len(above) > 16:
            lines.append(above)
            above = ""
        lines.append(f"{above:<16}{head}")
        for row in metrics["held_out"]:
            if row["masked"] == masked:
                lines.append(_line(row, names))
        lines.append("")
    if bound := metrics.get("bound"):
        lines += ["whole chains, diffusion bound", _bound(bound, names), ""]
    if sources := metrics.get("sources"):
        lines += [*_sources(sources), ""]
    lines.append(
        f"nats per {words(metrics).counted} residue, lower is better; {metrics['chains']} held-out "
        f"{items(metrics)} in {metrics['clones']} clones; a uniform guess is "
        f"{metrics['chance_nats']:.3f}"
    )
    return "\n".join(lines)


def cell_name(row: Mapping[str, Any]) -> str:
    """What a row of ``held_out`` is about: a region, a germline status, or everything."""
    if row["status"] != "all":
        return str(row["status"]).replace("_", "-")
    return "all residues" if row["region"] == "all" else str(row["region"]).upper()


def _sources(sources: Mapping[str, Any]) -> list[str]:
    """What the model learnt of each source, beside counting its letters."""
    shares = list(next(iter(sources.values()))["nats_per_residue"])
    names = [f"at {float(share):.0%}" for share in shares] if len(shares) > 1 else ["model"]
    width = max(16, *(len(name) + 4 for name in sources))
    lines = [f"{'sources':<{width}}{''.join(f'{name:>10}' for name in names)}{'letters':>10}"]
    for name, source in sources.items():
        nats = [*source["nats_per_residue"].values(), source["unigram_nats"]]
        lines.append(f"  {name:<{width - 2}}{''.join(f'{value:>10.3f}' for value in nats)}")
    return lines


def _bound(bound: Mapping[str, Any], names: list[str]) -> str:
    cells = (f"{bound[n]['nats_per_residue']:.3f}" if n in bound else "" for n in names)
    line = f"  {'all residues':<14}{''.join(f'{cell:>18}' for cell in cells)}"
    return line + _interval(bound)


def _line(row: Mapping[str, Any], names: list[str]) -> str:
    values = "".join(f"{row[name]['nats_per_residue']:>18.3f}" for name in names)
    line = f"  {cell_name(row):<14}{values}"
    return line + _interval(row)


def _interval(row: Mapping[str, Any]) -> str:
    if not (gap := row.get("difference")):
        return ""
    interval = f"{gap['nats_per_residue']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
    return f"{interval:>26}"
