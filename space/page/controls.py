"""Widgets that say how designs are drawn, the same on every tab that draws some."""

from __future__ import annotations

from typing import Any

import gradio as gr

from page.ask import samplers
from page.limits import LIMITS
from page.studio import Studio

# Names of the field, and words for those who do not know them.
MOTIFS = {
    "nglyc": "N-glycosylation (N-X-S/T)",
    "deamidation": "deamidation (NG, NS)",
    "isomerisation": "isomerisation (DG, DS)",
    "free_cys": "free cysteine",
}


def number() -> gr.Slider:
    """How many designs."""
    return gr.Slider(1, LIMITS.designs, value=8, step=1, label="Number of designs")


def seed() -> gr.Number:
    """The seed."""
    return gr.Number(
        0, label="Seed", info="The same seed gives the same designs", precision=0, minimum=0,
        maximum=LIMITS.seed,
    )  # fmt: skip


def drawing(studio: Studio, *, from_chain: bool = False) -> dict[str, Any]:
    """Temperature, sampler, steps and guidance, by the names that `page.ask` knows."""
    model = studio.model
    own = model.blank_sampler()
    known = list(samplers(model, from_chain=from_chain))
    widgets: dict[str, Any] = {
        "temperature": gr.Slider(
            0, LIMITS.temperature, value=own.temperature, step=0.05, label="Temperature",
            info="Low: likely residues; high: more variety, more that is not valid",
        ),
        "sampler": gr.Dropdown(known, value=known[0], label="Sampler"),
    }  # fmt: skip
    if not model.base.family.causal:
        widgets["steps"] = gr.Slider(
            1, LIMITS.steps, value=min(getattr(own, "steps", 32), LIMITS.steps), step=1,
            label="Steps", info="Passes from nothing to a chain; more are slower and finer",
        )  # fmt: skip
    if any(len(values) > 1 for values in model.tags.values.values()):
        widgets["guidance"] = gr.Slider(
            0, LIMITS.guidance, value=1, step=0.1, label="Guidance", visible=not from_chain,
            info="Above 1, what was asked for weighs more",
        )  # fmt: skip
    return widgets


def forbidden() -> gr.Dropdown:
    """Motifs that may not be designed: those with a name, and others as they are typed."""
    return gr.Dropdown(
        [(words, name) for name, words in MOTIFS.items()],
        value=[], multiselect=True, allow_custom_value=True, max_choices=LIMITS.motifs,
        label="Forbidden motifs", info="Choose, or type one such as N[^P][ST] or M",
    )  # fmt: skip
