"""The YAML block of a README: what the Hub indexes. Written by huggingface_hub's own classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from huggingface_hub import EvalResult, ModelCardData

from hfbio.bundle import Manifest
from hfbio.card.licences import Licences
from hfbio.card.markdown import plain
from hfbio.models.catalogue import FAMILIES, find
from hfbio.record import Locus

_REPO: Final = r"[\w.-]+/[\w.-]+"


def front_matter(
    manifest: Manifest, metrics: Mapping[str, Any] | None, repo_id: str, licence: Licences
) -> str:
    """The block with its two ``---`` lines; results are in it once there are metrics."""
    full = manifest.is_whole
    masked = FAMILIES[manifest.family].auto_class == "AutoModelForMaskedLM"
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
        datasets=[name] if (name := hub_dataset(manifest)) else None,
        tags=_tags(manifest),
        pipeline_tag="fill-mask" if masked else None,
        **fields,
    )
    return f"---\n{data.to_yaml()}\n---"


def on_hub(manifest: Manifest) -> bool:
    """Whether the base has a page to link to."""
    return "/" in manifest.base


def hub_dataset(manifest: Manifest) -> str | None:
    """``USER/NAME`` if the data came from a dataset on the Hub."""
    match = re.match(rf"hf://datasets/({_REPO})", str(manifest.data.get("source", "")))
    return match[1] if match else None


def loci(manifest: Manifest) -> tuple[str, ...]:
    """Loci seen in training: those of the tags, else the one locus the base can read.

    Pairs are tagged with the locus of their light chain; each has a heavy one as well.
    """
    known = [str(locus) for locus in Locus]
    if tagged := manifest.tags.values.get("locus"):
        heavy = (str(Locus.IGH),) if manifest.layout == "paired" else ()
        return (*heavy, *(value for value in tagged if value in known))
    base = find(manifest.base)
    return (str(base.loci[0]),) if base and len(base.loci) == 1 else ()


def _tags(manifest: Manifest) -> list[str]:
    method = [] if manifest.is_whole else [manifest.method]
    kind = manifest.objective["kind"]
    return ["hfbio", "antibody", "protein", *method, kind, *loci(manifest)]


def _results(manifest: Manifest, metrics: Mapping[str, Any]) -> list[EvalResult]:
    source = plain(manifest.data.get("source", "unknown"))
    dataset: dict[str, Any] = {
        "task_type": "fill-mask",
        "task_name": "Masked residues of held-out antibody chains",
        "dataset_type": hub_dataset(manifest) or _slug(source),
        "dataset_name": f"{source}, test part of a split by {plain(metrics['split']['by'])}",
        "dataset_split": "test",
    }
    return [
        EvalResult(
            metric_type=key,
            metric_name=f"{label}, {100 * row['masked']:g} % of residues masked",
            metric_value=round(float(row["tuned"][key]), 4),
            **dataset,
        )
        for row in metrics["held_out"]
        if row["region"] == row["status"] == "all"
        for key, label in (("nats_per_residue", "Nats per residue"), ("perplexity", "Perplexity"))
    ]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"
