"""Where designs appear: chains, table, files, and the link that makes them again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from hfbio.errors import HfbioError
from hfbio.model.describe import Described
from hfbio.report.designs import write_rows
from hfbio.score.panel import CHAIN_ENDS, Design
from page import ask, show
from page.studio import Answer, Step, Studio, row

FORMATS = {"FASTA": "designs.fasta", "CSV": "designs.csv", "AIRR TSV": "designs.tsv"}
# Column of the table -> name in the row, and what it is.
COLUMNS = {
    "design": "sequence_id",
    "locus": "locus",
    "CDR3": "cdr3_aa",
    "V gene": "v_call",
    "V identity": "v_identity",
    "nearest training chain": "training_identity",
    "training copy": "training_copy",
    "perplexity, about": "perplexity_estimate",
    "OASis": "oasis_identity",
    "liabilities": "n_liabilities",
    "pI": "isoelectric_point",
    "charge": "charge",
    "sequence": "sequence_aa",
}
NUMBERS = {"V identity", "nearest training chain", "perplexity, about", "OASis", "pI", "charge"}
OF_EXTRA = {"numbering": "germline", "humanness": "OASis humanness"}
ABSENT = gr.update(visible=False)
GROWING = 16  # of the designs that are being made are shown, the last ones
PAUSE = 0.2  # seconds between two states of designs that are being made: a browser must keep up


@dataclass(frozen=True)
class Results:
    """Widgets that show an answer."""

    said: gr.HTML
    chains: gr.HTML
    table: gr.Dataframe
    files: tuple[gr.DownloadButton, ...]
    link: gr.HTML
    fresh: gr.State  # the last designs as FASTA, one each, for the map

    @property
    def outputs(self) -> list[Any]:
        """In the order of `view`."""
        return [self.said, self.chains, self.table, *self.files, self.link, self.fresh]


def results(hint: str, studio: Studio) -> Results:
    """An empty place for an answer.

    Args:
        hint: how to get one.
        studio: of pairs a cell holds the values of both chains, as text.
    """
    said = gr.HTML(show.status(hint), js_on_load=show.LIVE)
    files = downloads(FORMATS)
    link = gr.HTML()
    chains = gr.HTML(elem_classes="chains")
    table = gr.Dataframe(
        headers=list(COLUMNS),
        datatype=[
            "number" if name in NUMBERS and studio.model.layout == "single" else "str"
            for name in COLUMNS
        ],
        label="⋮ sorts and filters",
        interactive=False,
        show_search="filter",
        max_height=420,
        visible=False,
    )
    return Results(said, chains, table, files, link, gr.State([]))


def fault(error: object) -> tuple[Any, ...]:
    """What is shown instead of an answer."""
    return show.message(error), "", gr.update(visible=False), *[ABSENT] * len(FORMATS), "", []


def downloads(formats: Iterable[str]) -> tuple[gr.DownloadButton, ...]:
    """A button for each format, hidden until there is a file."""
    with gr.Row(elem_classes="downloads"):
        return tuple(
            gr.DownloadButton(f"Download {name}", visible=False, size="sm", min_width=80)
            for name in formats
        )


def stops(button: gr.Button, event: Any, said: gr.HTML) -> None:
    """Make a button end the work of an event, and say so."""
    stopped = button.click(None, cancels=[event], queue=False, api_visibility="private")
    stopped.then(
        lambda: show.status("Stopped."), None, said, queue=False, show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip


def answers(
    tab: str,
    studio: Studio,
    compute: Callable[[Any], Iterator[Any]],
    buttons: tuple[gr.Button, gr.Button],
    fields: dict[str, Any],
    place: Results,
    read: Callable[[dict[str, Any]], Any],
) -> None:
    """Let one button ask for designs and another end that.

    Args:
        tab: of the link.
        studio: for what the model is called.
        compute: does what was asked for, step by step.
        buttons: the one that asks, the one that ends.
        fields: widgets by the names of the link.
        place: where designs go.
        read: checks the values of the fields, by their names, and raises `HfbioError`.
    """

    def run(*values: Any) -> Iterator[tuple[Any, ...]]:
        sent = dict(zip(fields, values, strict=True))
        try:
            wanted = read(sent)
        except HfbioError as error:
            yield fault(error)
            return
        yield from answered(studio, lambda: compute(wanted), ask.link(tab, sent))

    start, stop = buttons
    event = start.click(
        run,
        list(fields.values()),
        place.outputs,
        api_visibility="private",
        preprocess=False,
        concurrency_id="model",
        concurrency_limit=1,
        show_progress_on=place.said,
    )
    stops(stop, event, place.said)


def answered(
    studio: Studio, steps: Callable[[], Iterator[Any]], query: str
) -> Iterator[tuple[Any, ...]]:
    """Updates of `Results.outputs`, from the first step to the files; a fault is shown, not raised.

    Args:
        studio: for what the model is called.
        steps: starts the work.
        query: of the address that leads to the same settings.
    """
    skip = gr.skip()
    blank = [ABSENT] * len(FORMATS)
    folder = Path(mkdtemp(prefix="hfbio-designs-"))
    try:
        yield show.status(show.WAITING), "", gr.update(visible=False), *blank, "", skip
        told = 0.0
        for step in steps():
            if isinstance(step, Step):
                if time.monotonic() < told + PAUSE:
                    continue
                told = time.monotonic()
                said = f"Designing: {step.kept} of {step.num} finished"
                kept = [skip] * len(FORMATS)
                grown = show.growing(step.chains[-GROWING:])
                yield show.status(said), grown, skip, *kept, skip, skip
            elif isinstance(step, Answer):
                yield view(studio, step, folder, query)
    except HfbioError as error:
        yield fault(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # gradio has its own copy by now


def view(studio: Studio, answer: Answer, folder: Path, query: str) -> tuple[Any, ...]:
    """An answer on the page."""
    designs = answer.designs
    details = answer.described or [None] * len(designs.kept)
    rows = [row(design, one) for design, one in zip(designs.kept, details)]
    report = designs.report
    said = f"{report.kept} designs. {report.valid} of {report.drawn} draws were valid chains"
    if report.kept < report.asked:
        said = f"Only {report.kept} of {report.asked} designs: {shortfall(designs)}"
    if not answer.described and rows:
        said += "; working out germline, humanness and perplexity, then the files"
    said += lacking(answer.described)
    shown = "".join(card(d, r, answer) for d, r in zip(designs.kept, rows))
    html = f'<ol class="designs">{shown}</ol>'
    if answer.base is not None:
        beside = "".join(card(d, row(d, None), answer) for d in answer.base.kept)
        counts = answer.base.report
        html = (
            f'<div class="beside"><section><h3>{show.escape(studio.name)}</h3>{html}</section>'
            f"<section><h3>Its base, same seed: {counts.valid} of {counts.drawn} valid</h3>"
            f'<ol class="designs">{beside}</ol></section></div>'
        )
    files: list[Any] = []
    for name in FORMATS.values():
        if rows and answer.described:
            write_rows(rows, folder / name, header=["locus", "v_call", "perplexity_estimate"])
            files.append(gr.update(value=str(folder / name), visible=True))
        else:
            files.append(ABSENT)
    cells = [[cell(r, name) for name in COLUMNS.values()] for r in rows]
    table = gr.update(value={"headers": list(COLUMNS), "data": cells}, visible=bool(rows))
    fresh = [f">{design.sequence_id}\n{design.sequence_aa}" for design in designs.kept]
    return show.status(f"{said}."), html, table, *files, show.permalink(query), fresh


def lacking(described: Sequence[Described]) -> str:
    """Which numbers this machine cannot work out, and what to install; empty if it can all."""
    missing = described[0].missing if described else ()
    if not missing:
        return ""
    numbers = " and ".join(OF_EXTRA[extra] for extra in missing)
    return (
        f"; without {numbers}: whoever runs this page can add that with "
        f"pip install 'hfbio[{','.join(missing)}]'"
    )


def shortfall(designs: Any) -> str:
    """Why there are fewer than were asked for."""
    report = designs.report
    if report.exhausted:
        return "there are no more fillings"
    worst = max(report.faults.items(), key=lambda fault: fault[1], default=None)
    told = f"; {worst[1]} of them: {worst[0]}" if worst else ""
    return f"{report.drawn} draws gave {report.unique} that are valid and distinct{told}"


def cell(values: dict[str, Any], name: str) -> Any:
    """One cell: of a pair both chains, the heavy one first."""
    if name in values:
        return _rounded(values[name])
    both = [values[name + end] for end in CHAIN_ENDS[1:] if name + end in values]
    return " : ".join(str(_rounded(value)) for value in both)


def _rounded(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return round(value, 3) if isinstance(value, float) else value


def card(design: Design, values: dict[str, Any], answer: Answer) -> str:
    """One design: its chains by region, and what there is to say of it."""
    chains = design.chains or (design,)
    lines = []
    for one, end in zip(chains, CHAIN_ENDS[1:] if design.chains else CHAIN_ENDS[:1]):
        lines.append(show.chain(one.sequence_aa, one.regions, marked=_changed(one, end, answer)))
        lines.append(show.details(_facts(values, end)))
    fault = f'<p class="fault">not valid: {show.escape(design.fault)}</p>' if design.fault else ""
    name = show.escape(design.sequence_id)
    return f'<li><p class="heading">{name}</p>{fault}{"".join(lines)}</li>'


def _changed(design: Design, end: str, answer: Answer) -> list[int]:
    if answer.start is None:
        return []
    chain = answer.start.chains[1 if end == "_light" else 0].sequence_aa
    if len(chain) != len(design.sequence_aa):
        return []
    return [i for i, (a, b) in enumerate(zip(chain, design.sequence_aa)) if a != b]


def _facts(values: dict[str, Any], end: str) -> list[tuple[str, object]]:
    def of(name: str) -> Any:
        return values.get(name + end, values.get(name))

    def share(name: str) -> str:
        value = of(name)
        return f"{value:.1%}" if isinstance(value, float) else ""

    def number(name: str, form: str) -> str:
        value = of(name)
        return format(value, form) if isinstance(value, float) else ""

    return [
        ("germline", f"{of('v_call')} ({share('v_identity')})" if of("v_call") else ""),
        ("nearest training chain", _near(of("training_identity"), of("training_copy"))),
        ("perplexity, about", number("perplexity_estimate", ".2f")),
        ("OASis humanness", share("oasis_identity")),
        ("pI", number("isoelectric_point", ".1f")),
        ("charge at pH 7.4", show.signed(number("charge", "+.1f"))),
        (
            show.LIABILITIES,
            show.liabilities(of("liabilities")) if "liabilities" + end in values else "",
        ),
    ]


def _near(identity: Any, copy: Any) -> str:
    """How near the training set a chain is: an estimate, and never 100 % unless it is a copy."""
    if copy is True:
        return "the same: a copy of a training chain"
    if not isinstance(identity, float):
        return ""
    if identity < 0.995:
        return f"about {identity:.0%}"
    return "more than 99%" + (", no copy" if copy is False else "")
