"""Probes as a table for the terminal and as JSON. Fits no probe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from hfbio.bundle import write_json
from hfbio.model.probe import ProbeReport
from hfbio.score.folds import MIN_CLONES, N_FOLDS
from hfbio.score.probe import RIDGE, Interval, Probed


@dataclass(frozen=True)
class WrittenProbe:
    """Where probes were written, and their numbers as text."""

    path: Path
    table: str

    def __str__(self) -> str:
        return f"{self.table}\n\nprobe       {self.path}"


def write_probe(report: ProbeReport, path: Path) -> WrittenProbe:
    """Write every number as JSON, and give the table."""
    settings = {"folds": N_FOLDS, "min_clones": MIN_CLONES, "ridge": RIDGE}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**dataclasses.asdict(report), "settings": settings})
    return WrittenProbe(path, probe_table(report))


def probe_table(report: ProbeReport) -> str:
    """One block a label: what each kind of vector tells, beside guessing and the largest class."""
    blocks = [_block(probed) for probed in report.probed]
    blocks += [f"{label}: not probed, {why}" for label, why in report.skipped.items()]
    return "\n\n".join(blocks)


def _block(probed: Probed) -> str:
    classes = ", ".join(f"{name} {n}" for name, n in probed.n_clones.items())
    lines = [f"{probed.label}: {probed.n_chains} chains; clones: {classes}"]
    if probed.left_out:
        few = ", ".join(f"{name} {n}" for name, n in probed.left_out.items())
        lines.append(f"  left out, fewer than {MIN_CLONES} clones: {few}")
    if probed.n_unlabelled:
        lines.append(f"  left out, label not known: {probed.n_unlabelled} chains")
    lines.append(f"{'':<18}{'balanced accuracy (95 %)':>31}{'accuracy':>10}")
    lines.append(f"  {'a guess':<16}{probed.chance:>12.3f}")
    lines.append(f"  {'largest class':<16}{probed.chance:>12.3f}{'':19}{probed.majority:>10.3f}")
    for name, reading in probed.readings.items():
        balanced = _interval(reading.balanced_accuracy, "")
        lines.append(f"  {name:<16}{balanced}{reading.accuracy:>10.3f}")
    if probed.difference is not None:
        lines.append(f"  {'tuned - base':<16}{_interval(probed.difference, '+')}")
    return "\n".join(lines)


def _interval(number: Interval, sign: str) -> str:
    low, high = format(number.low, f"{sign}.3f"), format(number.high, f"{sign}.3f")
    return f"{format(number.value, f'{sign}.3f'):>12}{f'[{low}, {high}]':>19}"
