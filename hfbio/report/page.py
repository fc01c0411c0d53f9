"""metrics.json and report.html of a folder. Computes no metric."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from hfbio.bundle import write_json
from hfbio.report.figures import loss_figure, regions_figure
from hfbio.report.task import heading, words
from hfbio.report.text import LABELS, cell_name, contenders, held_out_table, items


@dataclass(frozen=True)
class Report:
    """Where a report lies, and its numbers as text."""

    metrics: Path
    page: Path
    table: str

    def __str__(self) -> str:
        return f"{self.table}\n\nmetrics  {self.metrics}\nreport   {self.page}"


def write_report(metrics: Mapping[str, Any], folder: Path) -> Report:
    """Write metrics.json and a self-contained report.html into ``folder``.

    Every number on the page is read from ``metrics``; text from data is escaped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", metrics)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hfbio.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    fractions = list(dict.fromkeys(row["masked"] for row in metrics["held_out"]))
    page = environment.get_template("report.html").render(
        metrics=metrics,
        names=contenders(metrics),
        labels=LABELS,
        cell_name=cell_name,
        items=items(metrics),
        fractions=fractions,
        heading=partial(heading, metrics),
        words=words(metrics),
        total_weight=sum(s["weight"] for s in metrics.get("sources", {}).values()),
        region_figures={masked: regions_figure(metrics, masked) for masked in fractions},
        loss_figure=loss_figure(metrics) if "training" in metrics else "",
    )
    path = folder / "report.html"
    temporary = path.with_name("report.html.tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, path)
    return Report(folder / "metrics.json", path, held_out_table(metrics))
