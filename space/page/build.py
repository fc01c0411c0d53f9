"""The page put together: a heading, six tabs, the endpoints, and links that fill in the fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from hfbio.errors import SettingError
from hfbio.score.targets import TARGETS
from page import about, api, ask, generate, gpu, latent, optimise, paste, redesign, score, show
from page.ask import Generation, Optimisation, Redesign
from page.limits import LIMITS
from page.stream import stream
from page.studio import Studio

# Fonts of the visitor's machine: a page that asks other servers for fonts tells them who reads it.
THEME = gr.themes.Default(
    primary_hue="teal",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
).set(  # the theme's own teal has a contrast of 2.5 to white
    color_accent="*primary_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    button_primary_text_color="white",
)
CSS = Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def page(
    studio: Studio, *, revision: str = "", metrics: Mapping[str, Any] | None = None
) -> gr.Blocks:
    """The page of one model.

    Args:
        studio: the model.
        revision: its commit on the Hub.
        metrics: what metrics.json holds.
    """

    def work(wanted: Any) -> Iterator[Any]:
        # An iterator in its own right: what lends GPUs looks at that.
        yield from stream(lambda tell: _work(studio, wanted, tell), seconds=LIMITS.seconds)

    compute = gpu.lend(work)
    known = metrics or {}
    title = f"Antibodies from {studio.name}"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.HTML(_heading(studio), elem_classes="intro")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Generate", id="generate"):
                made, made_place = generate.build(studio, compute)
            with gr.Tab("Redesign", id="redesign"):
                again, again_place = redesign.build(studio, compute)
            fields = {"generate": made, "redesign": again}
            if _optimises(studio):
                with gr.Tab("Optimise", id="optimise"):
                    fields["optimise"] = optimise.build(studio, compute)
            with gr.Tab("Score", id="score"):
                fields["score"] = score.build(studio, compute)
            with gr.Tab("Latent map", id="map"):
                fresh = [made_place.fresh, again_place.fresh]
                fields["map"] = latent.build(studio, compute, fresh)
            with gr.Tab("About", id="about"):
                about.build(studio, revision, known)
        api.publish(studio, compute, _about(studio, revision, known), optimises=_optimises(studio))
        every = [
            (tab, name, widget) for tab, all_ in fields.items() for name, widget in all_.items()
        ]

        def fill(request: gr.Request) -> list[Any]:
            try:
                query = parse_qs(
                    str(request.query_params), keep_blank_values=True, max_num_fields=60
                )
            except ValueError:  # more fields than any link of this page has
                query = {}
            sent = {name: values[0] for name, values in query.items()}
            tab = sent.get("tab", "")
            if tab not in fields:
                return [gr.skip()] * (1 + len(every))
            updates = [
                _filled(widget, sent[name], studio, sent.get("sequence", ""))
                if here == tab and name in sent
                else gr.skip()
                for here, name, widget in every
            ]
            return [gr.update(selected=tab), *updates]

        blocks.load(
            fill, None, [tabs, *(widget for _, _, widget in every)],
            api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip
    return blocks


def _work(studio: Studio, wanted: Any, tell: Any) -> Any:
    if isinstance(wanted, Generation):
        return studio.generate(wanted, tell)
    if isinstance(wanted, Redesign):
        return studio.redesign(wanted, tell)
    if isinstance(wanted, Optimisation):
        return studio.optimize(wanted, tell)
    if isinstance(wanted, score.Scoring):
        return studio.score(wanted.text, wanted.chain, tell)
    return latent.place(studio, wanted, tell)


def _optimises(studio: Studio) -> bool:
    return not studio.model.base.family.causal and studio.model.layout == "single"


def _heading(studio: Studio) -> str:
    name = show.escape(studio.name)
    what = "pairs of heavy and light chains" if studio.model.layout == "paired" else "chains"
    return (
        f"<h1>Antibodies from <code>{name}</code></h1><p>Draw new {what}, redesign parts of yours, "
        "and see what the model makes of them. Designs are suggestions: nobody has tested them.</p>"
    )


def _about(studio: Studio, revision: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What programs are told of the model."""
    model = studio.model
    return {
        "facts": {
            head: [[name, "" if value is None else str(value)] for name, value in pairs]
            for head, pairs in about.groups(studio, revision).items()
        },
        "tags": {name: list(values) for name, values in model.tags.values.items()},
        "samplers": list(ask.samplers(model)),
        "samplers_of_redesign": list(ask.samplers(model, from_chain=True)),
        "targets": {name: target.unit for name, target in TARGETS.items()},
        "limits": LIMITS.__dict__,
        "held_out": about.measured_rows(metrics),
        "limits_of_it": about.LIMITS_OF_IT,
    }


def _filled(widget: Any, text: str, studio: Studio, sequence: str) -> Any:
    """What a link sets a widget to; nothing that the widget does not offer.

    Which chain was chosen depends on what is pasted, the ``sequence`` of the same link.
    """
    if isinstance(widget, gr.Slider | gr.Number):
        try:
            value = float(text)
        except ValueError:
            return gr.skip()
        low, high = widget.minimum, widget.maximum
        inside = math.isfinite(value) and (low is None or value >= low)
        return value if inside and (high is None or value <= high) else gr.skip()
    if isinstance(widget, gr.Checkbox):
        return text == "True"
    if isinstance(widget, gr.Dropdown) and widget.multiselect:
        try:
            return list(ask.motifs(text))
        except SettingError:
            return gr.skip()
    if isinstance(widget, gr.Radio) and not widget.choices:
        return paste.chosen(studio, sequence, text)
    if isinstance(widget, gr.Radio | gr.Dropdown):
        return text if text in [value for _, value in widget.choices] else gr.skip()
    return text[: LIMITS.characters]


__all__ = ["CSS", "THEME", "page"]
