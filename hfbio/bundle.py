"""The folder that travels: adapter, tokenizer and hfbio.json. Reads and writes; loads no model."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hfbio.errors import BundleError
from hfbio.tokens import Tags

MANIFEST: Final = "hfbio.json"
FORMAT: Final = 1


@dataclass(frozen=True)
class Manifest:
    """What hfbio.json holds: all that weights alone do not say."""

    base: str  # alias or Hub id; never a local path unless the base was one
    base_revision: str | None  # commit of a Hub base
    family: str  # key of models.catalogue
    base_license: str
    method: str  # lora, dora or full
    objective: Mapping[str, Any]  # kind and settings
    tags: Tags
    lengths: Mapping[str, Mapping[str, int]]  # tag row, joined by "|" -> residues -> count
    sampler: Mapping[str, Any]  # kind and settings that sampling starts from
    data: Mapping[str, Any]  # source, license, digest, split digest, rows
    training: Mapping[str, Any]  # seed, steps, seconds and the settings that are not defaults
    versions: Mapping[str, str]  # package -> version
    scheme: str = "imgt"
    layout: str = "single"  # one chain per sequence
    format: int = field(default=FORMAT)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write hfbio.json, whole or not at all."""
    write_json(folder / MANIFEST, dataclasses.asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read and check hfbio.json.

    Raises:
        BundleError: no such file, not JSON, a missing, unknown or ill-typed field, or a format
            newer than this hfbio.
    """
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{folder} holds no {MANIFEST}; give a folder that `hfbio finetune` wrote"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BundleError(f"{path} must hold an object, got {type(raw).__name__}")
    if raw.get("format") != FORMAT:
        raise BundleError(
            f"{path} has format {raw.get('format')!r}; this hfbio reads format {FORMAT}"
        )
    fields = {f.name for f in dataclasses.fields(Manifest)}
    if fields != set(raw):
        raise BundleError(
            f"{path}: missing fields {sorted(fields - set(raw))}, "
            f"unknown fields {sorted(set(raw) - fields)}"
        )
    for name in ("base", "family", "base_license", "method", "scheme", "layout"):
        if not isinstance(raw[name], str):
            raise BundleError(f"{path}: {name} must be a string, got {raw[name]!r:.80}")
    for name in ("objective", "tags", "lengths", "sampler", "data", "training", "versions"):
        if not isinstance(raw[name], dict):
            raise BundleError(f"{path}: {name} must be an object, got {raw[name]!r:.80}")
    return Manifest(**{**raw, "tags": _read_tags(raw["tags"], path)})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to a temporary name beside ``path`` and move it into place."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _read_tags(raw: Mapping[str, Any], path: Path) -> Tags:
    try:
        if raw["style"] not in ("composite", "prefix"):
            raise ValueError(f"style {raw['style']!r}")
        values = {str(k): tuple(map(str, v)) for k, v in raw["values"].items()}
        seen = tuple(tuple(map(str, row)) for row in raw["seen"])
        if any(len(row) != len(values) for row in seen):
            raise ValueError("a row of `seen` has another length than `values`")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: tags cannot be read: {error}") from None
    return Tags(style=raw["style"], values=values, seen=seen)
