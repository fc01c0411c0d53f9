"""The tab that draws new chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from page import ask, controls
from page.results import Results, answers, results
from page.studio import Studio

TAG = "tags."
ORDER = ("locus", "species", "isotype", "v_family")
LABELS = {"locus": "Chain", "v_family": "V family"}
# What the tags' values are called at the bench.
WORDS = {
    "IGH": "heavy (IGH)",
    "IGK": "light, kappa (IGK)",
    "IGL": "light, lambda (IGL)",
    **{f"IGH{letter}": f"Ig{letter} (IGH{letter})" for letter in "ADEGM"},
}


def build(
    studio: Studio, compute: Callable[[Any], Iterator[Any]]
) -> tuple[dict[str, Any], Results]:
    """The tab's widgets by the names of its link, and where its designs go."""
    model = studio.model
    fields: dict[str, Any] = {}
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            values = model.tags.values
            for name in sorted(values, key=lambda n: ORDER.index(n) if n in ORDER else len(ORDER)):
                choices = [(WORDS.get(value, value), value) for value in values[name]]
                fields[TAG + name] = gr.Dropdown(
                    choices if len(choices) == 1 else [(ask.ANY, ask.ANY), *choices],
                    label=LABELS.get(name, name.capitalize()),
                )
            fields["num"] = controls.number()
            fields["seed"] = controls.seed()
            with gr.Accordion("More settings", open=False):
                fields |= controls.drawing(studio)
                fields["length"] = gr.Number(
                    0 if model.manifest else min(120, model.base.max_residues),
                    label="Length",
                    info="Residues; 0: as in training" if model.manifest else "Residues",
                    precision=0,
                    minimum=0 if model.manifest else 1,
                    maximum=model.base.max_residues,
                )
                if studio.base is not None:
                    fields["compare"] = gr.Checkbox(
                        False, label="Show the base model beside it", info="Same seed, no tags"
                    )
            with gr.Row():
                button = gr.Button("Generate", variant="primary", elem_id="generate")
                stop = gr.Button("Stop", variant="secondary", min_width=80)
        with gr.Column(scale=3, min_width=300):
            place = results("Press Generate. Designs fill in here, and can be downloaded.", studio)

    def read(sent: dict[str, Any]) -> ask.Generation:
        tags = {name.removeprefix(TAG): v for name, v in sent.items() if name.startswith(TAG)}
        return ask.generation({**sent, "tags": tags}, model)

    answers("generate", studio, compute, (button, stop), fields, place, read)
    return fields, place
