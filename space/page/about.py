"""The tab that tells where the model comes from, what it was measured to do, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from page import show
from page.limits import LIMITS
from page.studio import Studio

LIMITS_OF_IT = (
    "Designs are suggestions of a model. Nobody has made or tested them, and nothing here says "
    "that one binds, folds, expresses or is safe. Valid means: a whole variable domain with its "
    "conserved residues, by numbering alone. Novelty is estimated from a hashed sketch of the "
    "training chains; the chains themselves are not here."
)


def build(studio: Studio, revision: str, metrics: Mapping[str, Any]) -> None:
    """The tab; it has nothing to press."""
    told = show.facts(groups(studio, revision)) + f"<h3>Limits</h3><p>{LIMITS_OF_IT}</p>"
    gr.HTML(told + measured(metrics), elem_classes="about")


def groups(studio: Studio, revision: str) -> dict[str, list[tuple[str, object]]]:
    """Names and values of model, data, sampler and page."""
    model, manifest = studio.model, studio.model.manifest
    if manifest is None:
        return {
            "model": [("base, not tuned", studio.name), ("licence", model.base.licence)],
            "page": _page(),
        }
    data: Mapping[str, Any] = manifest.data
    split = data.get("split") if isinstance(data.get("split"), Mapping) else {}
    rows = split.get("n_rows") if isinstance(split.get("n_rows"), Mapping) else {}
    return {
        "model": [
            ("name", studio.name),
            ("revision", revision),
            ("base", manifest.base if manifest.has_base else "none: trained from nothing"),
            ("revision of the base", manifest.base_revision),
            ("method", manifest.method),
            ("objective", manifest.objective.get("kind")),
            ("layout", manifest.layout),
            ("licence of the base", manifest.base_license),
        ],
        "data": [
            ("source", data.get("source")),
            ("licence", data.get("license")),
            ("split", split.get("by")),
            ("digest of the split", split.get("digest")),
            *((f"{name} chains", n) for name, n in rows.items()),
            (
                "tags learnt",
                "; ".join(f"{n}: {', '.join(v)}" for n, v in model.tags.values.items()),
            ),
        ],
        "sampler": [(name, value) for name, value in manifest.sampler.items()],
        "made with": [(name, version) for name, version in manifest.versions.items()],
        "page": _page(),
    }


def measured(metrics: Mapping[str, Any]) -> str:
    """Held-out numbers of metrics.json, base beside tuned; it may come from a stranger."""
    rows = []
    found = metrics.get("held_out")
    for one in found if isinstance(found, list) else []:
        if not isinstance(one, Mapping) or one.get("status") != "all":
            continue
        nats = [_nats(one.get(name)) for name in ("base", "tuned")]
        if not any(nats):
            continue
        masked = one.get("masked")
        share = f"{masked:.0%}" if isinstance(masked, float) else ""
        gain = one.get("difference")
        ends = [gain.get(end) for end in ("low", "high")] if isinstance(gain, Mapping) else []
        interval = " to ".join(show.signed(f"{end:+.3f}") for end in ends if isinstance(end, float))
        rows.append((share, str(one.get("region", ""))[:20], *nats, interval))
    header = ("masked", "region", "base, nats", "tuned, nats", "difference, 95% interval")
    return (
        show.table(header, rows[:60], "Nats a residue on held-out chains: less is better")
        if rows
        else ""
    )


def _nats(told: object) -> str:
    value = told.get("nats_per_residue") if isinstance(told, Mapping) else None
    return f"{value:.3f}" if isinstance(value, float) else ""


def _page() -> list[tuple[str, object]]:
    return [
        ("designs at once", LIMITS.designs),
        ("seconds of computing for one request", f"{LIMITS.seconds:.0f}"),
        ("what is kept of what you paste", "nothing: files you make are removed within two hours"),
    ]
