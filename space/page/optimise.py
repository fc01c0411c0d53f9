"""The tab that improves a pasted chain by few substitutions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from hfbio.errors import HfbioError
from hfbio.report.designs import write_rows
from hfbio.score.targets import TARGETS
from page import ask, controls, paste, show
from page.results import lacking
from page.studio import Improvement, Step, Studio

FORMATS = {"FASTA": "variants.fasta", "CSV": "variants.csv"}
WEIGHT = "weights."
MOST_WEIGHT = 50


def build(studio: Studio, compute: Callable[[Any], Iterator[Any]]) -> dict[str, Any]:
    """The tab's widgets by the names of its link."""
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            box = paste.box(studio, "a lead to improve")
            fields: dict[str, Any] = {"sequence": box.text, "chain": box.chain}
            gr.Markdown(
                "Naturalness, what the model thinks of each edit in nats, always counts. A weight "
                "is what one unit of a target is worth in nats."
            )
            for name, target in TARGETS.items():
                fields[WEIGHT + name] = gr.Slider(
                    0,
                    MOST_WEIGHT,
                    value=0,
                    step=0.5,
                    label=f"weight of {name}",
                    info=f"nats for one of {target.unit}",
                )
            fields["charge"] = gr.Number(0, label="wanted charge", minimum=-30, maximum=30)
            fields["edits"] = gr.Slider(1, ask.LIMITS.edits, value=5, step=1, label="edits")
            fields["freeze"] = gr.Textbox(
                "cdr3", label="what stays", info="regions or residues: cdrs, cdr3,1-5"
            )
            fields["forbid"] = controls.forbidden()
            fields["num"] = gr.Slider(
                1, ask.LIMITS.beam, value=8, step=1, label="number of variants"
            )
            fields["seed"] = controls.seed()
            with gr.Row():
                button = gr.Button("Optimise", variant="primary", elem_id="optimise")
                stop = gr.Button("Stop", variant="secondary", min_width=80)
        with gr.Column(scale=3, min_width=300):
            said = gr.HTML()
            with gr.Row(elem_classes="downloads"):
                files = [
                    gr.DownloadButton(name, interactive=False, size="sm", min_width=80)
                    for name in FORMATS
                ]
            found = gr.HTML(elem_classes="chains")
            link = gr.HTML()
    box.on_change(studio, lambda antibody: (), {"inputs": [], "outputs": []})
    off = [gr.update(interactive=False)] * len(FORMATS)

    def run(*values: Any) -> Iterator[tuple[Any, ...]]:
        sent = controls.named(fields, values)
        weights = {n.removeprefix(WEIGHT): v for n, v in sent.items() if n.startswith(WEIGHT)}
        folder = Path(mkdtemp(prefix="hfbio-variants-"))
        try:
            wanted = ask.optimisation({**sent, "weights": weights})
            yield show.status("waiting for the model"), *off, "", ""
            for step in compute(wanted):
                if isinstance(step, Step):
                    yield show.status(f"round {step.kept} of {step.num}"), *off, "", ""
                elif isinstance(step, Improvement):
                    yield _view(step, folder, ask.link("optimise", sent))
        except HfbioError as error:
            yield show.message(error), *off, "", ""
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    event = button.click(
        run,
        list(fields.values()),
        [said, *files, found, link],
        api_visibility="private",
        preprocess=False,
        concurrency_id="model",
        concurrency_limit=1,
    )
    stop.click(None, cancels=[event], api_visibility="private")
    return fields


def _view(improvement: Improvement, folder: Path, query: str) -> tuple[Any, ...]:
    report = improvement.found.report
    rows = rows_of(improvement)
    files = []
    for name in FORMATS.values():
        if rows:
            write_rows(rows, folder / name, header=["edits", "total"])
            files.append(gr.update(value=str(folder / name), interactive=True))
        else:
            files.append(gr.update(interactive=False))
    said = f"{report.kept} variants of {report.asked} asked, {report.found} chains searched"
    said += lacking(improvement.described)
    return show.status(said), *files, cards(improvement), show.permalink(query)


def rows_of(improvement: Improvement) -> list[dict[str, Any]]:
    """One row a variant, best first."""
    described = improvement.described[1:]
    return [{**one.row(), **told.row()} for one, told in zip(improvement.found.kept, described)]


def cards(improvement: Improvement) -> str:
    """The lead, then each variant with its path of edits and what changed."""
    lead, report = improvement.lead, improvement.found.report
    before = improvement.described[0].row()
    first = (
        f'<li class="lead"><p class="heading">{show.escape(lead.sequence_id)} (lead)</p>'
        f"{show.chain(lead.sequence_aa, lead.regions)}"
        + show.details([("nats a residue", f"{report.lead_nats_per_residue:.3f}"), *_worth(before)])
        + "</li>"
    )
    shown = [first]
    for one, told in zip(improvement.found.kept, improvement.described[1:]):
        sequence = one.design.sequence_aa
        changed = [
            i for i, (a, b) in enumerate(zip(lead.sequence_aa, sequence, strict=True)) if a != b
        ]
        steps = "".join(
            f"<li>{show.escape(step.edit)} <span>{step.total:+.2f}</span></li>"
            for step in one.variant.path
        )
        shown.append(
            f'<li><p class="heading">{show.escape(one.design.sequence_id)}</p>'
            f'<ol class="path" aria-label="path of edits, with the total after each">'
            f"<li>lead <span>0</span></li>{steps}</ol>"
            f"{show.chain(sequence, one.design.regions, marked=changed)}"
            + show.details(
                [
                    ("total", f"{one.variant.total:+.2f} nats"),
                    ("nats a residue", f"{one.nats_per_residue:.3f}"),
                    *_worth(told.row(), before),
                ]
            )
            + "</li>"
        )
    return f'<ol class="designs">{"".join(shown)}</ol>'


def _worth(now: dict[str, Any], before: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """What targets and liabilities are, and were in the lead."""
    told = []
    for name, words, form in (
        ("oasis_identity", "OASis humanness", ".1%"),
        ("charge", "charge at pH 7.4", "+.1f"),
        ("isoelectric_point", "pI", ".1f"),
        ("liabilities", "liabilities", ""),
    ):
        values = [format(row[name], form) for row in (before, now) if row and row.get(name) != ""]
        told.append((words, " → ".join(dict.fromkeys(values)).replace(";", ", ") or "none"))
    return told
