"""The tab that tells what the model makes of a pasted chain, residue by residue."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from hfbio.errors import HfbioError
from hfbio.report.designs import write_rows
from hfbio.score.scan import Scan
from page import ask, paste, show
from page.results import ABSENT, downloads
from page.studio import Scored, Studio

HOW = {  # kinds of likelihood, in words
    "masked": "Each residue was hidden in turn.",
    "next-residue": "Each residue follows from those before it.",
    "reversed next-residue": "Each residue follows from those after it.",
}


@dataclass(frozen=True)
class Scoring:
    """A pasted chain to be scored."""

    text: str
    chain: int = 0


def asked(sent: dict[str, Any]) -> Scoring:
    """Check a request.

    Raises:
        SettingError: a value of the wrong type or out of its range.
    """
    return Scoring(
        ask.text("sequence", sent.get("sequence"), ask.LIMITS.characters),
        ask.whole("chain", sent.get("chain") or 0, 0, ask.LIMITS.chains),
    )


def build(studio: Studio, compute: Callable[[Any], Iterator[Any]]) -> dict[str, Any]:
    """The tab's widgets by the names of its link."""
    box = paste.box(studio, "Chain to score")
    fields: dict[str, Any] = {"sequence": box.text, "chain": box.chain}
    with gr.Row(elem_classes="actions"):
        button = gr.Button("Score", variant="primary", elem_id="score")
    hint = "Paste a chain or take an example, press Score to see how likely each residue is."
    said = gr.HTML(show.status(hint), js_on_load=show.LIVE)
    (file,) = downloads(["CSV"])
    link = gr.HTML()
    shown = gr.HTML(elem_classes="chains")
    box.on_change(studio, lambda antibody: (), {"inputs": [], "outputs": []})

    def run(*values: Any) -> Iterator[tuple[Any, ...]]:
        sent = dict(zip(fields, values, strict=True))
        off = ABSENT
        folder = Path(mkdtemp(prefix="hfbio-scores-"))
        try:
            wanted = asked(sent)
            yield show.status(show.WAITING), "", off, ""
            for step in compute(wanted):
                if isinstance(step, Scored):
                    path = folder / "mutations.csv"
                    write_rows(rows_of(step), path, header=[])
                    told = show.status(
                        f"{HOW[step.tuned[0].likelihood]} Point at a residue for its number."
                    )
                    new = gr.update(value=str(path), visible=True)
                    yield told, view(studio, step), new, show.permalink(ask.link("score", sent))
        except HfbioError as error:
            yield show.message(error), "", off, ""
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    button.click(
        run,
        list(fields.values()),
        [said, shown, file, link],
        api_visibility="private",
        preprocess=False,
        concurrency_id="model",
        concurrency_limit=1,
        show_progress_on=said,
    )
    return fields


def view(studio: Studio, scored: Scored) -> str:
    """Strips and heat maps, model above base, on one scale each."""
    every = [*scored.tuned, *scored.base]
    most = max(float(scan.nats.max()) for scan in every)
    widest = max(float(scan.log_ratio.abs().max()) for scan in every)
    shown = []
    for i, tuned in enumerate(scored.tuned):
        named = {studio.name: tuned} | ({"Its base": scored.base[i]} if scored.base else {})
        sequence, positions = tuned.sequence_aa, tuned.positions
        shown.append(f'<p class="heading">{show.escape(tuned.sequence_id)}</p>')
        shown.append(show.chain(sequence, tuned.regions))
        shown.append("<h3>How likely each residue is</h3>")
        shown.append(show.legend("expected", "a surprise", diverging=False, most=most))
        for name, scan in named.items():
            shown.append(show.strip(sequence, positions, scan.nats.tolist(), most=most, name=name))
        shown.append("<h3>Every single mutation, against the residue that is there</h3>")
        shown.append(show.legend("less likely", "likelier", diverging=True, most=widest))
        for name, scan in named.items():
            ratio = scan.log_ratio.tolist()
            shown.append(show.heat(sequence, positions, ratio, most=widest, name=name))
    return "".join(shown)


def rows_of(scored: Scored) -> list[dict[str, Any]]:
    """One row for each place and residue, the base's numbers beside the model's."""
    rows = [dict(row) for scan in scored.tuned for row in scan.rows()]
    if scored.base:
        beside = (row for scan in scored.base for row in scan.rows())
        for row, base in zip(rows, beside, strict=True):
            row |= {"base_log_p": base["log_p"], "base_log_ratio": base["log_ratio"]}
    return rows


def summary(scan: Scan) -> dict[str, Any]:
    """What a program is told of one scan."""
    return {
        "sequence_id": scan.sequence_id,
        "sequence_aa": scan.sequence_aa,
        "positions": list(scan.positions),
        "likelihood": scan.likelihood,
        "nats_per_residue": float(scan.nats.mean()),
        "nats": [round(value, 5) for value in scan.nats.tolist()],
        "log_p": [[round(value, 5) for value in row] for row in scan.log_p.tolist()],
    }
