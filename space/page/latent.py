"""The tab with the map of what the model was trained on, and where other chains fall on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hfbio.errors import HfbioError, SettingError
from hfbio.record import Antibody
from page import ask, paste, show
from page.scatter import Point, scatter
from page.studio import Studio

COLOURS = {"V family": "v_family", "isotype": "isotype", "chain": "locus", "perplexity": "score"}


@dataclass(frozen=True)
class Placing:
    """Chains to be placed on the map."""

    pasted: str
    designs: tuple[str, ...]
    colour: str


@dataclass(frozen=True)
class Placed:
    """All points of the map."""

    points: list[Point]
    explained: tuple[float, float]


def asked(sent: dict[str, Any]) -> Placing:
    """Check a request.

    Raises:
        SettingError: a value of the wrong type or out of its range.
    """
    designs = sent.get("designs") or []
    if not isinstance(designs, list) or len(designs) > 4 * ask.LIMITS.designs:
        raise SettingError(f"designs must be at most {4 * ask.LIMITS.designs} sequences")
    return Placing(
        ask.text("sequence", sent.get("sequence") or "", ask.LIMITS.characters),
        tuple(ask.text("a design", d, ask.LIMITS.characters) for d in designs),
        ask.choice("colour", sent.get("colour") or "v_family", list(COLOURS.values())),
    )


def build(
    studio: Studio, compute: Callable[[Any], Iterator[Any]], fresh: Sequence[gr.State]
) -> dict[str, Any]:
    """The tab's widgets by the names of its link; ``fresh`` hold the designs of other tabs."""
    there = studio.model.latent is not None
    gr.Markdown(
        "Each point is a chain, placed by what the model sees in it: the two directions in which "
        "the training chains differ most. "
        + ("" if there else "This model carries no map of its training set.")
    )
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            box = paste.box(
                studio, "Chains to place on the map", "Optional; your last designs are placed too"
            )
            fields: dict[str, Any] = {
                "sequence": box.text,
                "colour": gr.Radio(list(COLOURS.items()), value="v_family", label="Coloured by"),
            }
            button = gr.Button("Draw the map", variant="primary", elem_id="draw", interactive=there)
        with gr.Column(scale=3, min_width=300):
            hint = "Press Draw the map: training chains, yours and your designs in one picture."
            said = gr.HTML(show.status(hint if there else ""), js_on_load=show.LIVE)
            drawn = gr.HTML()
    box.on_change(studio, lambda antibody: (), {"inputs": [], "outputs": []})

    def run(text: Any, colour: Any, *designs: Any) -> Iterator[tuple[str, str]]:
        sent = {"sequence": text, "colour": colour, "designs": [d for ds in designs for d in ds]}
        try:
            wanted = asked(sent)
            yield show.status(show.WAITING), ""
            for step in compute(wanted):
                if isinstance(step, Placed):
                    yield show.status("Point at a mark to see what it is."), view(step)
        except HfbioError as error:
            yield show.message(error), ""

    button.click(
        run,
        [*fields.values(), *fresh],
        [said, drawn],
        api_visibility="private",
        preprocess=False,
        concurrency_id="model",
        concurrency_limit=1,
        show_progress_on=said,
    )
    return fields


def view(placed: Placed) -> str:
    """The map as a picture."""
    one, two = placed.explained
    axes = f"{one:.0%} of the variance", f"{two:.0%} of the variance"
    return scatter(placed.points, axes, "Map of training chains, pasted chains and designs")


def place(studio: Studio, wanted: Placing, tell: Callable[[Any], None]) -> Placed:
    """Points of the training set, of pasted chains and of designs.

    Raises:
        SettingError: the model carries no map.
    """
    latent = studio.model.latent
    if latent is None:
        raise SettingError("this model carries no map of its training set")
    # How well the model knows its own training chains is nobody's business here.
    labels = latent.labels.get(wanted.colour) or [""] * len(latent.ids)
    rows = zip(latent.points.tolist(), labels, latent.ids, *latent.labels.values())
    found = [
        Point(x, y, "training", label, "\n".join(value for value in told if value))
        for (x, y), label, *told in rows
    ]
    for origin, texts in (("pasted", [wanted.pasted]), ("designs", list(wanted.designs))):
        records = [record for text in texts for record in studio.read(text)[0]]
        found += _placed(studio, records, origin, wanted.colour, tell)
    return Placed(found, latent.explained)


def _placed(
    studio: Studio,
    records: Sequence[Antibody],
    origin: str,
    colour: str,
    tell: Callable[[Any], None],
) -> list[Point]:
    places = studio.place(records, tell)
    if places is None:
        return []
    labels = studio.labels(records, colour, tell)
    return [
        Point(
            x, y, origin, label,
            "\n".join([record.sequence_id, label, *(c.sequence_aa for c in record.chains)]),
        )
        for (x, y), record, label in zip(places.tolist(), records, labels)
    ]  # fmt: skip
