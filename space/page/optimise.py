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
from page.results import ABSENT, downloads, lacking, stops
from page.studio import Improvement, Step, Studio

FORMATS = {"FASTA": "variants.fasta", "CSV": "variants.csv"}
WEIGHT = "weights."
MOST_WEIGHT = 50
# What a weight says of its target; the model's own liking for each edit counts without one.
WEIGHTS = {
    "humanness": "What 1% more human 9-mers are worth, in nats",
    "charge": "What one charge nearer to the wanted one is worth, in nats",
}


def build(studio: Studio, compute: Callable[[Any], Iterator[Any]]) -> dict[str, Any]:
    """The tab's widgets by the names of its link."""
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            box = paste.box(studio, "Lead to improve")
            fields: dict[str, Any] = {"sequence": box.text, "chain": box.chain}
            fields["freeze"] = gr.Textbox(
                "cdr3", label="What stays", info="Regions or residues, such as cdrs or cdr3,1-5"
            )
            fields["edits"] = gr.Slider(
                1, ask.LIMITS.edits, value=5, step=1, label="Number of edits"
            )
            for name in TARGETS:
                fields[WEIGHT + name] = gr.Slider(
                    0,
                    MOST_WEIGHT,
                    value=0,
                    step=0.5,
                    label=f"Weight of {name}",
                    info=WEIGHTS.get(name, ""),
                )
            fields["charge"] = gr.Number(
                0, label="Wanted charge", info="At pH 7.4", minimum=-30, maximum=30
            )
            with gr.Accordion("More settings", open=False):
                fields["forbid"] = controls.forbidden()
                fields["num"] = gr.Slider(
                    1, ask.LIMITS.beam, value=8, step=1, label="Number of variants"
                )
                fields["seed"] = controls.seed()
            with gr.Row():
                button = gr.Button("Optimise", variant="primary", elem_id="optimise")
                stop = gr.Button("Stop", variant="secondary", min_width=80)
        with gr.Column(scale=3, min_width=300):
            hint = (
                "Paste a lead or take an example, press Optimise. It gets likelier, edit by edit."
            )
            said = gr.HTML(show.status(hint), js_on_load=show.LIVE)
            files = downloads(FORMATS)
            link = gr.HTML()
            found = gr.HTML(elem_classes="chains")
    box.on_change(studio, lambda antibody: (), {"inputs": [], "outputs": []})
    off = [ABSENT] * len(FORMATS)

    def run(*values: Any) -> Iterator[tuple[Any, ...]]:
        sent = dict(zip(fields, values, strict=True))
        weights = {n.removeprefix(WEIGHT): v for n, v in sent.items() if n.startswith(WEIGHT)}
        folder = Path(mkdtemp(prefix="hfbio-variants-"))
        try:
            wanted = ask.optimisation({**sent, "weights": weights})
            yield show.status(show.WAITING), *off, "", ""
            for step in compute(wanted):
                if isinstance(step, Step):
                    yield show.status(f"Round {step.kept} of {step.num}"), *off, "", ""
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
        show_progress_on=said,
    )
    stops(stop, event, said)
    return fields


def _view(improvement: Improvement, folder: Path, query: str) -> tuple[Any, ...]:
    report = improvement.found.report
    rows = rows_of(improvement)
    files = []
    for name in FORMATS.values():
        if rows:
            write_rows(rows, folder / name, header=["edits", "total"])
            files.append(gr.update(value=str(folder / name), visible=True))
        else:
            files.append(ABSENT)
    said = (
        f"{report.kept} variants, best first, of {report.found} chains searched. "
        "Edits count residues of the lead from 1."
    )
    if report.kept < report.asked:
        said = f"Only {report.kept} of {report.asked} variants: {report.found} chains were found."
    said += lacking(improvement.described)
    return show.status(said), *files, cards(improvement), show.permalink(query)


def rows_of(improvement: Improvement) -> list[dict[str, Any]]:
    """One row a variant, best first."""
    described = improvement.described[1:]
    # What the search knows of a variant, its exact likelihood above all, is not to be overwritten.
    rows = []
    for one, told in zip(improvement.found.kept, described, strict=True):
        known = {name: value for name, value in told.row().items() if name != "perplexity"}
        rows.append({**known, **one.row()})
    return rows


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
    ):
        values = [
            show.signed(format(row[name], form))
            for row in (before, now)
            if row and row.get(name, "") != ""
        ]
        told.append((words, " → ".join(dict.fromkeys(values))))
    both = [show.liabilities(row["liabilities"]) for row in (before, now) if row]
    return [*told, (show.LIABILITIES, " → ".join(dict.fromkeys(both)))]
