"""Counts of a table as JSON and a page with figures. Counts nothing itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2
from matplotlib.figure import Figure

from hfbio.bundle import write_json
from hfbio.data.staging import staged_file
from hfbio.data.stats import Counts, TableStats
from hfbio.report.figures import svg

_COLOURS: Final = {"IGH": "#0072B2", "IGK": "#E69F00", "IGL": "#009E73"}  # Okabe and Ito 2008
_MOST: Final = 24  # bars of names; what is rarer is in the JSON


@dataclass(frozen=True)
class WrittenStats:
    """Where the counts of a table lie, and what they say as text."""

    numbers: Path
    page: Path
    table: str

    def __str__(self) -> str:
        return f"{self.table}\n\nnumbers  {self.numbers}\nreport   {self.page}"


def write_stats(stats: TableStats, folder: Path) -> WrittenStats:
    """Write ``stats.json`` and a self-contained ``stats.html`` into ``folder``.

    Text from the table is escaped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {"Loci": stats.loci, "Isotypes": stats.isotypes, "V families": stats.v_families}
    numbers = {
        "Residues of the domain": stats.lengths,
        "Residues of CDR3": stats.cdr3_lengths,
        "Identity with the germline, %": stats.germline_identity,
    }
    figures = [_bars(title, counts) for title, counts in names.items()]
    figures += [_histogram(title, counts) for title, counts in numbers.items() if counts]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hfbio.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("stats.html").render(stats=stats, figures=figures)
    path = folder / "stats.html"
    with staged_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    write_json(folder / "stats.json", dataclasses.asdict(stats))
    return WrittenStats(folder / "stats.json", path, str(stats))


def _bars(title: str, counts: Mapping[str, int]) -> str:
    # A name of the table is text that a stranger wrote: no $ begins a formula.
    shown = {(name or "unknown").replace("$", r"\$")[:24]: n for name, n in counts.items()}
    shown = dict(list(shown.items())[:_MOST])
    figure = Figure(figsize=(8.2, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(shown)), list(shown.values()), 0.8, color="#0072B2")
    axes.set_xticks(range(len(shown)), list(shown), rotation=60 if len(shown) > 6 else 0)
    axes.set_ylabel("rows")
    axes.set_title(title)
    return svg(figure, title)


def _histogram(title: str, counts: Counts) -> str:
    figure = Figure(figsize=(8.2, 2.4), layout="constrained")
    axes = figure.subplots()
    for locus, histogram in counts.items():
        total = sum(histogram.values())
        heights = [100 * n / total for n in histogram.values()]
        colour = _COLOURS.get(locus, "#999999")
        label = f"{locus or 'unknown'} ({total:,})".replace("$", r"\$")
        axes.bar(list(histogram), heights, 1.0, alpha=0.6, color=colour, label=label)
    axes.set_xlabel(title)
    axes.set_ylabel("% of the locus")
    axes.legend(frameon=False)
    return svg(figure, title)
