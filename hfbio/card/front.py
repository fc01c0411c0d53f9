"""The YAML block of a README: what the Hub indexes. Written by huggingface_hub's own classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from huggingface_hub import EvalResult, ModelCardData

from hfbio.bundle import Manifest
from hfbio.card.licences import Licences
from hfbio.card.markdown import plain
from hfbio.models.catalogue import FAMILIES, Base, find
from hfbio.record import Locus
from hfbio.report.task import heading, masks
from hfbio.report.text import own_name

_REPO: Final = r"[\w.-]+/[\w.-]+"
_TASK_NAMES: Final = {
    "masked": "Masked residues of held-out antibody chains",
    "next": "Next residues of held-out antibody chains",
    "next_reverse": "Next residues of held-out antibody chains, read from the end",
    "span": "Regions of held-out antibody chains, given all others",
}


def front_matter(
    manifest: Manifest, metrics: Mapping[str, Any] | None, repo_id: str, licence: Licences
) -> str:
    """The block with its two ``---`` lines; results are in it once there are metrics."""
    full = manifest.is_whole
    fields: dict[str, Any] = {}
    if metrics:
        fields["model_name"] = repo_id.split("/")[1]
        fields["eval_results"] = _results(manifest, metrics)
    if on_hub(manifest):
        fields["base_model"] = manifest.base
        fields["base_model_relation"] = "finetune" if full else "adapter"
    if licence.card_name:
        fields["license_name"] = licence.card_name
        fields["license_link"] = f"https://huggingface.co/{repo_id}#licences"
    data = ModelCardData(
        library_name="transformers" if full else "peft",
        license=licence.card,
        datasets=hub_datasets(manifest) or None,
        tags=_tags(manifest),
        pipeline_tag=task_type(manifest),
        **fields,
    )
    return f"---\n{data.to_yaml()}\n---"


def on_hub(manifest: Manifest) -> bool:
    """Whether the base has a page to link to."""
    return manifest.has_base and "/" in manifest.base


def known_base(manifest: Manifest) -> Base | None:
    """The base as the catalogue has it; ``None`` for a model without a base, whatever its name."""
    return find(manifest.base) if manifest.has_base else None


def task_type(manifest: Manifest) -> str:
    """The Hub's name for what such a model does."""
    return "text-generation" if FAMILIES[manifest.family].causal else "fill-mask"


def hub_datasets(manifest: Manifest) -> list[str]:
    """``USER/NAME`` of each source that is a dataset on the Hub, in order, none twice."""
    named = (re.match(rf"hf://datasets/({_REPO})", source) for source in sources(manifest))
    return list(dict.fromkeys(match[1] for match in named if match))


def sources(manifest: Manifest) -> list[str]:
    """Names of what the model was trained on; one, but for a model without a base."""
    told = str(manifest.data.get("source", ""))
    return [told] if manifest.has_base else told.split("; ")


def loci(manifest: Manifest) -> tuple[str, ...]:
    """Loci seen in training: those of the tags, else the one locus the base can read.

    Pairs are tagged with the locus of their light chain; each has a heavy one as well.
    """
    known = [str(locus) for locus in Locus]
    if tagged := manifest.tags.values.get("locus"):
        heavy = (str(Locus.IGH),) if manifest.layout == "paired" else ()
        return (*heavy, *(value for value in tagged if value in known))
    base = known_base(manifest)
    return (str(base.loci[0]),) if base and len(base.loci) == 1 else ()


def _tags(manifest: Manifest) -> list[str]:
    method = [] if manifest.is_whole else [manifest.method]
    kind = manifest.objective["kind"]
    return ["hfbio", "antibody", "protein", *method, kind, *loci(manifest)]


def _results(manifest: Manifest, metrics: Mapping[str, Any]) -> list[EvalResult]:
    source = plain(manifest.data.get("source", "unknown"))
    datasets = hub_datasets(manifest)
    # A model without a base has a split of its own for each source.
    split = f"test part of a split by {plain(metrics['split']['by'])}" if manifest.has_base else ""
    own = own_name(metrics)
    dataset: dict[str, Any] = {
        "task_type": task_type(manifest),
        "task_name": _TASK_NAMES[metrics.get("task", "masked")],
        "dataset_type": datasets[0] if datasets else _slug(source),
        "dataset_name": f"{source}, {split or 'held-out antibody chains'}",
        "dataset_split": "test",
    }
    return [
        EvalResult(
            metric_type=key,
            metric_name=f"{label}, {_asked(metrics, row['masked'])}",
            metric_value=round(float(row[own][key]), 4),
            **dataset,
        )
        for row in metrics["held_out"]
        if row["region"] == row["status"] == "all"
        for key, label in (("nats_per_residue", "Nats per residue"), ("perplexity", "Perplexity"))
    ]


def _asked(metrics: Mapping[str, Any], masked: float) -> str:
    return f"{100 * masked:g} % of residues masked" if masks(metrics) else heading(metrics, masked)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"
