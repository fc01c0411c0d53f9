"""The tab that draws parts of a pasted chain anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from hfbio.errors import HfbioError
from hfbio.numbering import number as number_chain
from hfbio.numbering.scheme import label
from hfbio.record import Antibody
from page import ask, controls, paste, show
from page.places import in_words, open_places
from page.results import Results, answers, results
from page.studio import Studio

EDITOR = Path(__file__).with_name("editor.js").read_text(encoding="utf-8")


def build(
    studio: Studio, compute: Callable[[Any], Iterator[Any]]
) -> tuple[dict[str, Any], Results]:
    """The tab's widgets by the names of its link, and where its designs go."""
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            box = paste.box(studio, "Chain to redesign")
            fields: dict[str, Any] = {"sequence": box.text, "chain": box.chain}
            editor = gr.HTML(js_on_load=EDITOR, elem_id="editor")
            fields["free"] = gr.Textbox(
                "cdr3",
                label="What is redesigned",
                info="Press residues or region names, or write cdr3, cdr1,26-33, fwrs …",
            )
            fields["num"] = controls.number()
            with gr.Accordion("Loop length and forbidden motifs", open=False):
                with gr.Row():
                    fields["shortest"] = _residues("Shortest loop")
                    fields["longest"] = _residues("Longest loop")
                fields["forbid"] = controls.forbidden()
            fields["seed"] = controls.seed()
            with gr.Accordion("More settings", open=False):
                fields |= controls.drawing(studio, from_chain=True)
                if studio.base is not None:
                    fields["compare"] = gr.Checkbox(
                        False, label="Show the base model beside it", info="Same seed"
                    )
            with gr.Row():
                button = gr.Button("Redesign", variant="primary", elem_id="redesign")
                stop = gr.Button("Stop", variant="secondary", min_width=80)
        with gr.Column(scale=3, min_width=300):
            place = results(
                "Paste a chain or take an example, choose what changes, press Redesign.", studio
            )

    def number(antibody: Antibody | None, free: Any) -> str:
        if antibody is None:
            return ""
        try:
            places = open_places(antibody, ask.text("free", free, 2000))
        except HfbioError as error:
            return show.message(error) + _editor(antibody, [False] * _size(antibody))
        return _editor(antibody, places)

    box.on_change(studio, number, {"inputs": [fields["free"]], "outputs": [editor]})

    def picked(text: Any, chain: Any) -> Antibody | None:
        """The chain in the box; nothing where the box says what is wrong with it."""
        try:
            wanted = ask.whole("chain", chain or 0, 0, ask.LIMITS.chains)
            return studio.pick(ask.text("sequence", text, ask.LIMITS.characters), wanted)
        except HfbioError:
            return None

    def written(text: Any, chain: Any, free: Any) -> str:
        return number(picked(text, chain), free)

    def pressed(text: Any, chain: Any, event: gr.EventData) -> tuple[Any, Any]:
        antibody = picked(text, chain)
        sent = event._data.get("free") if isinstance(event._data, dict) else None
        if antibody is None or not isinstance(sent, list):
            return gr.skip(), gr.skip()
        there = {place for place in sent if isinstance(place, int)}
        places = [i in there for i in range(_size(antibody))]
        return in_words(antibody, places), _editor(antibody, places)

    quiet: dict[str, Any] = {
        "api_visibility": "private", "preprocess": False, "show_progress": "hidden",
        "queue": False, "trigger_mode": "always_last",
    }  # fmt: skip
    fields["free"].input(written, [box.text, box.chain, fields["free"]], editor, **quiet)
    editor.select(pressed, [box.text, box.chain], [fields["free"], editor], **quiet)

    def read(sent: dict[str, Any]) -> ask.Redesign:
        return ask.redesign(sent, studio.model)

    answers("redesign", studio, compute, (button, stop), fields, place, read)
    return fields, place


def _residues(label: str) -> gr.Number:
    return gr.Number(
        0, label=label, info="Residues; 0: as now", precision=0, minimum=0, min_width=120
    )


def _size(antibody: Antibody) -> int:
    return sum(len(chain.sequence_aa) for chain in antibody.chains)


def _editor(antibody: Antibody, places: list[bool]) -> str:
    positions = [
        [label(position) for position in number_chain(chain.sequence_aa).positions]
        for chain in antibody.chains
    ]
    return show.editor(antibody.chains, positions, places)
