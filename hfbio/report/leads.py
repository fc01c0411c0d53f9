"""Variants of a lead as a file, with the account of how they came about. Makes no variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hfbio.bundle import write_json
from hfbio.model.optimize import Optimized, Search
from hfbio.report.designs import write_rows

_HEADER = (
    "locus",
    "edits",
    "path",
    "log_ratio",
    "nats_per_residue",
    "guide",
    "lead_guide",
    "total",
)


@dataclass(frozen=True)
class WrittenLeads:
    """Where variants were written, and the counts behind them."""

    path: Path
    report_path: Path
    report: Search

    def __str__(self) -> str:
        r = self.report
        lines = [
            f"asked {r.asked}, found {r.found}, examined {r.examined}, valid {r.valid}, "
            f"kept {r.kept}; {r.n_free} residues were free",
            f"lead     {r.lead_nats_per_residue:.3f} nats per residue"
            + ("" if r.lead_guide is None else f", guide {r.lead_guide:.4g}"),
        ]
        lines += [f"  not valid: {n} x {fault}" for fault, n in r.faults.items()]
        return "\n".join([*lines, f"designs  {self.path}", f"account  {self.report_path}"])


def write_leads(optimized: Optimized, path: Path) -> WrittenLeads:
    """Write the variants, best first, and the account beside them as ``NAME.report.json``.

    Raises:
        SettingError: a suffix that is no format of designs.
    """
    report_path = path.with_suffix(".report.json")
    write_rows([variant.row() for variant in optimized.kept], path, header=_HEADER)
    write_json(report_path, optimized.report.to_dict())
    return WrittenLeads(path, report_path, optimized.report)
