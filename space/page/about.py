"""The tab that tells where the model comes from, what it was measured to do, and its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gradio as gr

from page import show
from page.limits import LIMITS
from page.studio import Studio

_CONTENDERS = ("base", "tuned", "model")
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
    """Held-out numbers as a table; nothing where there are none."""
    rows = measured_rows(metrics)
    if not rows:
        return ""
    names = [name for name in _CONTENDERS if any(row[name] is not None for row in rows)]
    header = ("masked", "region", *(f"{name}, nats" for name in names), "difference, 95% interval")
    cells = [
        (
            "" if row["masked"] in (None, 1.0) else f"{row['masked']:.0%}",
            row["region"],
            *("" if row[name] is None else f"{row[name]:.3f}" for name in names),
            " to ".join(show.signed(f"{end:+.3f}") for end in row["interval"]),
        )
        for row in rows
    ]
    return show.table(header, cells, "Nats a residue on held-out chains: less is better")


def measured_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What metrics.json holds by region: checked, because it may come from a stranger.

    Returns:
        At most 60 rows of ``masked`` (share of residues hidden), ``region``, nats a residue of
        ``base``, ``tuned`` and ``model`` (one that has no base), and ``interval`` of the gain.
    """
    rows: list[dict[str, Any]] = []
    found = metrics.get("held_out")
    for one in found if isinstance(found, list) else []:
        if not isinstance(one, Mapping) or one.get("status") != "all":
            continue
        nats = {name: _number(one.get(name), "nats_per_residue") for name in _CONTENDERS}
        if all(value is None for value in nats.values()):
            continue
        ends = [_number(one.get("difference"), end) for end in ("low", "high")]
        rows.append(
            {
                "masked": _number(one, "masked"),
                "region": str(one.get("region", ""))[:20],
                **nats,
                "interval": [] if None in ends else ends,
            }
        )
    return rows[:60]


def _number(told: object, name: str) -> float | None:
    value = told.get(name) if isinstance(told, Mapping) else None
    return float(value) if isinstance(value, float) and math.isfinite(value) else None


def _page() -> list[tuple[str, object]]:
    return [
        ("designs at once", LIMITS.designs),
        ("seconds of computing for one request", f"{LIMITS.seconds:.0f}"),
        (
            "what is kept of what you paste",
            "nothing but files to download, which are removed within two hours",
        ),
    ]
