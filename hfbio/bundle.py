"""The folder that travels: adapter, tokenizer and hfbio.json. Reads and writes; loads no model."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hfbio.errors import BundleError
from hfbio.tokens import Tags

MANIFEST: Final = "hfbio.json"
FORMAT: Final = 1
MAX_BYTES: Final = 16_000_000  # of hfbio.json; those of real runs have some 10,000


@dataclass(frozen=True)
class Manifest:
    """What hfbio.json holds: all that weights alone do not say."""

    base: str  # alias, Hub id or the name of a local folder; never a path
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
    raw = _read_json(path)
    if not isinstance(raw, dict):
        raise BundleError(f"{path} must hold an object, got {type(raw).__name__}")
    if raw.get("format") != FORMAT:
        raise BundleError(
            f"{path} has format {raw.get('format')!r:.80}; this hfbio reads format {FORMAT}"
        )
    fields = {f.name for f in dataclasses.fields(Manifest)}
    if fields != set(raw):
        raise BundleError(
            f"{path}: missing fields {sorted(fields - set(raw))}, "
            f"unknown fields {sorted(set(raw) - fields)!s:.200}"
        )
    for name in ("base", "family", "base_license", "method", "scheme", "layout"):
        if not isinstance(raw[name], str):
            raise BundleError(f"{path}: {name} must be a string, got {raw[name]!r:.80}")
    if not isinstance(raw["base_revision"], str | None):
        revision = raw["base_revision"]
        raise BundleError(f"{path}: base_revision must be a string or null, got {revision!r:.80}")
    parts = raw["base"].split("/")
    if len(parts) > 2 or not {"", ".", ".."}.isdisjoint(parts) or "\\" in raw["base"]:
        raise BundleError(
            f"{path}: base must be an alias, a folder's name or a Hub id, never a path; "
            f"got {raw['base']!r:.80}"
        )
    for name in ("objective", "tags", "lengths", "sampler", "data", "training", "versions"):
        if not isinstance(raw[name], dict):
            raise BundleError(f"{path}: {name} must be an object, got {raw[name]!r:.80}")
    if not isinstance(raw["objective"].get("kind"), str):
        raise BundleError(f"{path}: objective must name its kind, got {raw['objective']!r:.80}")
    tags = _read_tags(raw["tags"], path)
    _check_lengths(raw["lengths"], tags, path)
    return Manifest(**{**raw, "tags": tags})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to a temporary name beside ``path`` and move it into place."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise BundleError(
            f"{path.parent} holds no {MANIFEST}; give a folder that `hfbio finetune` wrote"
        )
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"{path} is larger than {MAX_BYTES:,} bytes, which none should be")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also bad UTF-8, numbers or lists without end
        raise BundleError(f"{path} is not JSON: {error}") from None


def _read_tags(raw: Mapping[str, Any], path: Path) -> Tags:
    try:
        if raw["style"] not in ("composite", "prefix"):
            raise ValueError(f"style {raw['style']!r:.80}")
        values = {name: tuple(_texts(vs)) for name, vs in raw["values"].items()}
        seen = tuple(tuple(_texts(row)) for row in raw["seen"])
        if values and not seen:
            raise ValueError("`seen` is empty")
        return Tags(style=raw["style"], values=values, seen=seen)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: tags cannot be read: {error}") from None


def _texts(raw: Any) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise ValueError(f"{raw!r:.80} is not a list of strings")
    return raw


def _check_lengths(raw: Mapping[str, Any], tags: Tags, path: Path) -> None:
    """``{"IGH|human": {"120": 7, …}, …}``: a row per combination of tags, counts above 0."""
    combinations = {"|".join(row) for row in tags.seen} or {""}
    if odd := sorted(combinations ^ set(raw)):
        raise BundleError(f"{path}: lengths and tags do not have the same rows: {odd!s:.200}")
    for row, counts in raw.items():
        if not isinstance(counts, dict) or not counts:
            raise BundleError(f"{path}: lengths of {row!r:.80} must be an object of counts")
        for length, count in counts.items():
            if not re.fullmatch("[0-9]{1,6}", length) or type(count) is not int or count < 1:
                raise BundleError(
                    f"{path}: lengths of {row!r:.80} has {length!r:.80}: {count!r:.80}, not a "
                    "number of residues and how often it was seen"
                )
