"""Write README.md, CITATION.cff and figures from hfbio.json and metrics.json.

Of the files about training chains it tells how many they hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from jinja2 import UndefinedError

from hfbio.bundle import LATENT_MAP, SKETCH, Manifest, read_manifest
from hfbio.card.architecture import architecture
from hfbio.card.citation import bibtex, cff
from hfbio.card.details import combinations, settings
from hfbio.card.example import Example, command, common_conditions
from hfbio.card.findings import best_counting, find, listed
from hfbio.card.front import (
    front_matter,
    hub_datasets,
    known_base,
    loci,
    on_hub,
    sources,
    task_type,
)
from hfbio.card.licences import Licences, licences
from hfbio.card.markdown import Escaped, environment, fence, share
from hfbio.card.plain_load import plain_load
from hfbio.errors import BundleError
from hfbio.licences import terms_of
from hfbio.report.figures import loss_png, regions_png
from hfbio.report.task import masks, words
from hfbio.report.text import LABELS, cell_name, contenders, own_name
from hfbio.score.latent_map import LatentMap
from hfbio.score.sketch import Sketch

_SHOWN: Final = 0.5  # share of masks of the figure, where it was measured


def write_card(
    folder: Path,
    repo_id: str,
    *,
    example: Example | None,
    license: str | None = None,
    step: tuple[int, int] | None = None,
) -> None:
    """Write the model card of a bundle into its folder.

    The same inputs give the same bytes. Text from data is escaped; settings that look like paths
    or tokens are withheld.

    Args:
        folder: a bundle, with metrics.json unless ``step`` is given.
        repo_id: ``USER/REPO``, where the folder is going.
        example: what the card shows under "Sample from it".
        license: the Hub's identifier, in place of what base and data lead to.
        step: (done, planned) of a training that still runs: nothing has been measured then.

    Raises:
        BundleError: hfbio.json or metrics.json is missing, or does not hold what a run writes; or
            a file about training chains does not.
    """
    manifest = read_manifest(folder)
    licence = licences(manifest, license)
    metrics = read_metrics(folder) if step is None else None
    traces = _about_traces(folder)
    figures = {}
    try:
        context = _about_run(manifest, repo_id, licence) | traces
        context["front"] = Escaped(front_matter(manifest, metrics, repo_id, licence))
        if metrics is None:
            page = environment().get_template("interim.md").render(step=step, **context)
        else:
            merged = (folder / "merged" / "config.json").is_file()
            context |= _about_use(manifest, repo_id, example, merged) | _about_metrics(metrics)
            if not manifest.has_base:
                context["architecture"] = architecture(folder, manifest)
            template = "card.md" if manifest.has_base else "new.md"
            page = environment().get_template(template).render(**context)
            figures["regions.png"] = regions_png(metrics, _shown(metrics))
            figures["loss.png"] = loss_png(metrics)
        citation = cff(manifest, repo_id)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, UndefinedError) as error:
        raise BundleError(
            f"{folder}: hfbio.json or metrics.json does not hold what `hfbio finetune` writes: "
            f"{error!r:.200}"
        ) from error
    (folder / "README.md").write_text(page, encoding="utf-8")
    (folder / "CITATION.cff").write_text(citation, encoding="utf-8")
    for name, png in figures.items():
        (folder / "figures").mkdir(exist_ok=True)
        (folder / "figures" / name).write_bytes(png)


def _about_run(manifest: Manifest, repo_id: str, licence: Licences) -> dict[str, Any]:
    rows = combinations(manifest)
    return {
        "base": known_base(manifest),
        "base_on_hub": on_hub(manifest),
        "has_base": manifest.has_base,
        "bibtex": fence(bibtex(manifest, repo_id), "bibtex"),
        "combinations": rows,
        "dataset": next(iter(hub_datasets(manifest)), None) if manifest.has_base else None,
        "items": "pairs" if manifest.layout == "paired" else "chains",
        "licence": licence,
        "listed": listed,
        "loci": loci(manifest),
        "longest": max(row.longest for row in rows),
        "m": manifest,
        "paired": manifest.layout == "paired",
        "repo_id": repo_id,
        "causal": task_type(manifest) == "text-generation",
        "settings": settings(manifest),
        **_kinds(sources(manifest)),
        "sources": {name: terms_of(name) for name in sources(manifest)},
        "terms": _terms(sources(manifest)),
        "shortest": min(row.shortest for row in rows),
    }


def _about_traces(folder: Path) -> dict[str, Any]:
    """What the bundle tells of its training chains, where it does."""
    sketch, latent = folder / SKETCH, folder / LATENT_MAP
    return {
        "sketch": Sketch.read(sketch) if sketch.is_file() else None,
        "latent": LatentMap.read(latent) if latent.is_file() else None,
    }


def _about_use(
    manifest: Manifest, repo_id: str, example: Example | None, merged: bool
) -> dict[str, Any]:
    plain = plain_load(manifest, repo_id, merged=merged)
    return {
        "code": fence(example.code, "python") if example else "",
        "command": fence(command(repo_id, common_conditions(manifest)), "bash"),
        "output": fence(example.output, "text") if example else "",
        "plain": plain,
        "plain_code": fence(plain.code, "python") if plain.code else "",
    }


def _about_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": partial(_at, metrics),
        "cell_name": cell_name,
        "given": partial(_given, metrics),
        "masks": masks(metrics),
        "own": own_name(metrics),
        "total_weight": sum(s["weight"] for s in metrics.get("sources", {}).values()),
        "words": words(metrics),
        "counting": best_counting,
        "findings": find(metrics),
        "labels": LABELS,
        "metrics": metrics,
        "names": contenders(metrics),
        "shares": _shares(metrics),
        "shown": _shown(metrics),
    }


def _kinds(names: list[str]) -> dict[str, bool]:
    """Which kinds of source there are, by how they are named."""
    antibodies = [name for name in names if not name.startswith("proteins:")]
    simulated = [name.startswith("simulate:") for name in antibodies]
    return {
        "has_proteins": len(antibodies) < len(names),
        "simulated": any(simulated),
        "all_simulated": all(simulated),
    }


def _terms(names: list[str]) -> list[Escaped]:
    """What is known of the terms of the sources, a paragraph each, none twice."""
    known = dict.fromkeys(terms for name in names if (terms := terms_of(name)))
    # Our own words, longer than what a card prints of a value.
    return [Escaped(f"{terms.words} ([terms]({terms.url}))") for terms in known]


def _at(metrics: Mapping[str, Any], masked: float) -> Escaped:
    """``15 %``, or what was asked where nothing was masked: the first cell of a row."""
    return share(masked) if masks(metrics) else Escaped(words(metrics).asked)


def _given(metrics: Mapping[str, Any], masked: float) -> Escaped:
    """The beginning of a sentence that goes on ``, it predicts …``."""
    told = words(metrics).given
    return Escaped(f"With {share(masked)} {told}" if masks(metrics) else told)


def _shares(metrics: Mapping[str, Any]) -> list[float]:
    return list(dict.fromkeys(row["masked"] for row in metrics["held_out"]))


def _shown(metrics: Mapping[str, Any]) -> float:
    shares = _shares(metrics)
    return _SHOWN if _SHOWN in shares else shares[len(shares) // 2]


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of a finished run.

    Raises:
        BundleError: there is none, it is not JSON, or holds no held-out numbers.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        raise BundleError(f"{path.parent} holds no metrics.json; give a run that has finished")
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from None
    if not isinstance(metrics, dict) or not metrics.get("held_out"):
        raise BundleError(f"{path} holds no held-out numbers")
    return metrics
