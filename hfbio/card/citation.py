"""How to cite a model: BibTeX for its card, and CITATION.cff. Knows no dates."""

from __future__ import annotations

import re
from typing import Any

import yaml

from hfbio.bundle import Manifest
from hfbio.card.front import on_hub
from hfbio.card.markdown import plain
from hfbio.models.catalogue import find


def bibtex(manifest: Manifest, repo_id: str) -> str:
    """Entries for the model and for hfbio."""
    key = re.sub(r"\W+", "-", repo_id)
    owner = repo_id.split("/")[0]
    return (
        f"@misc{{{key},\n"
        f"  author = {{{{{_braced(owner)}}}}},\n"
        f"  title = {{{_braced(title(manifest, repo_id))}}},\n"
        f"  howpublished = {{\\url{{https://huggingface.co/{repo_id}}}}}\n"
        "}\n\n"
        "@software{hfbio,\n"
        "  author = {{The hfbio authors}},\n"
        "  title = {hfbio},\n"
        f"  version = {{{_braced(manifest.versions.get('hfbio', 'unknown'))}}}\n"
        "}\n"
    )


def cff(manifest: Manifest, repo_id: str) -> str:
    """CITATION.cff, Citation File Format 1.2.0."""
    url = f"https://huggingface.co/{repo_id}"
    content = {
        "cff-version": "1.2.0",
        "message": "If you use this model, please cite it, its base and hfbio."
        if manifest.has_base
        else "If you use this model, please cite it and hfbio.",
        "type": "software",
        "title": title(manifest, repo_id),
        "authors": [{"name": repo_id.split("/")[0]}],
        "url": url,
        "license-url": f"{url}#licences",
        "references": [
            *([_base_reference(manifest)] if manifest.has_base else []),
            {
                "type": "software",
                "title": "hfbio",
                "authors": [{"name": "The hfbio authors"}],
                "version": plain(manifest.versions.get("hfbio", "unknown")),
            },
        ],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def title(manifest: Manifest, repo_id: str) -> str:
    """``quickstart: sapiens-vh fine-tuned on antibodies``."""
    name = repo_id.split("/")[1]
    if not manifest.has_base:
        return f"{name}: a language model of antibodies, trained from nothing"
    return f"{name}: {plain(manifest.base)} fine-tuned on antibodies"


def _base_reference(manifest: Manifest) -> dict[str, Any]:
    base = find(manifest.base)
    if base is not None:
        authors, _, doi = base.citation.partition(", doi:")
        reference: dict[str, Any] = {
            "type": "article",
            "title": f"{base.alias}, the base model: {authors}",
            "authors": [{"name": re.split(r" \d{4}", authors)[0]}],
        }
        return reference | ({"doi": doi} if doi else {})
    name = plain(manifest.base)
    owner = name.split("/")[0] if "/" in name else "unknown"
    made: dict[str, Any] = {"type": "software", "title": name, "authors": [{"name": owner}]}
    return made | ({"url": f"https://huggingface.co/{name}"} if on_hub(manifest) else {})


def _braced(value: str) -> str:
    return re.sub(r"[{}\\\\]", "", plain(value))
