"""Figures of a report, as SVG text or PNG bytes. Computes no metric."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from hfbio.report.task import heading
from hfbio.report.text import LABELS, contenders

# Okabe and Ito 2008: told apart with any colour vision. Hatches tell them apart in grey.
_STYLE = {
    "base": ("#999999", ""),
    "base_calibrated": ("#CC79A7", "\\\\"),
    "tuned": ("#0072B2", ""),
    "model": ("#0072B2", ""),
    "position": ("#E69F00", "//"),
    "position_family": ("#009E73", ".."),
}


def regions_figure(metrics: Mapping[str, Any], masked: float) -> str:
    """Bars of nats per residue by region for one share of masked residues, as SVG."""
    title = f"Nats per residue by region, {heading(metrics, masked)}"
    return svg(_regions(metrics, masked), title)


def regions_png(metrics: Mapping[str, Any], masked: float) -> bytes:
    """The same bars as PNG. The same numbers give the same bytes."""
    return _png(_regions(metrics, masked))


def loss_figure(metrics: Mapping[str, Any]) -> str:
    """Training loss, and validation nats where the run measured them, by step, as SVG."""
    return svg(_loss(metrics), "Training loss by step")


def loss_png(metrics: Mapping[str, Any]) -> bytes:
    """The same curves as PNG. The same numbers give the same bytes."""
    return _png(_loss(metrics))


def _regions(metrics: Mapping[str, Any], masked: float) -> Figure:
    rows = [
        row for row in metrics["held_out"] if row["masked"] == masked and row["status"] == "all"
    ]
    names = contenders(metrics)
    figure = Figure(figsize=(8.2, 2.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        colour, hatch = _STYLE[name]
        axes.bar(
            [x + i * width for x in range(len(rows))],
            [row[name]["nats_per_residue"] for row in rows],
            width,
            label=LABELS[name],
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
        )
    axes.set_xticks(
        [x + 0.4 - width / 2 for x in range(len(rows))],
        ["all" if row["region"] == "all" else row["region"].upper() for row in rows],
    )
    axes.set_ylabel("nats per residue")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        frameon=False, fontsize=8, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1)
    )
    return figure


def _loss(metrics: Mapping[str, Any]) -> Figure:
    log = metrics["training"]["log"]
    figure = Figure(figsize=(8.2, 2.6), layout="constrained")
    axes = figure.subplots()
    trained = [row for row in log if "loss" in row]
    axes.plot(
        [row["step"] for row in trained],
        [row["loss"] for row in trained],
        color="#0072B2",
        linewidth=1.2,
        label="training loss",
    )
    measured = [row for row in log if any(key.startswith("eval_nats") for key in row)]
    for key, dash in zip(sorted({k for r in measured for k in r if "nats" in k}), ("-", "--", ":")):
        axes.plot(
            [row["step"] for row in measured],
            [row[key] for row in measured],
            color="#D55E00",
            linestyle=dash,
            marker="o",
            markersize=3,
            label=f"validation, {heading(metrics, float(key.rsplit('_', 1)[1]))}",
        )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("nats per residue")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def svg(figure: Figure, title: str) -> str:
    """A figure as the text of an ``<svg>`` element."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()
