"""The folder that travels: adapter, tokenizer and hfbio.json. Reads and writes; loads no model.

hfbio.json may come from a stranger. What is read is plain JSON in which every field has its type,
its range and, where hfbio knows all answers, one of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hfbio.alphabet import CHAIN_BREAK
from hfbio.errors import BundleError, SettingError
from hfbio.models.catalogue import FAMILIES, find
from hfbio.models.tags_file import read_tags
from hfbio.models.untrusted import read_object
from hfbio.objectives import OBJECTIVES
from hfbio.objectives import build as build_objective
from hfbio.tokens import Tags

MANIFEST: Final = "hfbio.json"
ADAPTER_FOLDER: Final = "adapter"  # of a push that also carries merged/; a run has it at the top
SKETCH: Final = "novelty.safetensors"  # see `hfbio.score.sketch`
LATENT_MAP: Final = "latent.safetensors"  # see `hfbio.score.latent_map`
FORMAT: Final = 1
METHODS: Final = ("lora", "dora", "full", "scratch")
SCHEMES: Final = ("imgt",)
LAYOUTS: Final = ("single", "paired")

WITHHELD: Final = "withheld: it names a place or a key"

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT: Final = re.compile("[0-9a-f]{40}")
_LICENCE: Final = re.compile(r"[\w .,:/+()-]{0,100}")
_PACKAGE: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
_VERSION: Final = re.compile(r"[\w.+!-]{1,100}", re.ASCII)
_LENGTH: Final = {
    "single": re.compile("[1-9][0-9]{0,5}"),
    "paired": re.compile("[1-9][0-9]{0,5}:[1-9][0-9]{0,5}"),
}
# Settings that say nothing about the model, or that hfbio.json tells in another place.
_PLACES: Final = {
    *("output_dir", "run_name", "resume_from_checkpoint", "model", "data"),
    *("push_to_hub", "project"),
}
_SERVICES: Final = ("hub_", "trackio_")  # first letters of settings that name accounts
_FILES: Final = {"accelerator_config", "fsdp_config", "deepspeed"}  # if text, JSON or a file's name
_DATASET: Final = re.compile(r"hf://[^\s\"']+")  # named as the source of the data in any case
# A path, a home folder, an address or a token of whoever trained.
_PRIVATE: Final = re.compile(r"/|(^|[\s\"'=:,(\[])(~|[A-Za-z]:\\|\\\\)|\b(hf|api_org)_\w{6,}")
_MAX_COUNT: Final = 10**12  # chains of one length; all of OAS has some 2e9


@dataclass(frozen=True)
class Manifest:
    """What hfbio.json holds: all that weights alone do not say."""

    base: str  # alias, Hub id or name of a local folder, never a path; of "scratch" its own name
    base_revision: str | None  # commit of a Hub base
    family: str  # key of models.catalogue
    base_license: str
    method: str  # lora, dora, full; or scratch, which has no base
    objective: Mapping[str, Any]  # kind and settings
    tags: Tags
    lengths: Mapping[str, Mapping[str, int]]  # tag row, joined by "|" -> length_key -> count
    sampler: Mapping[str, Any]  # kind and settings that sampling starts from
    data: Mapping[str, Any]  # source, license, digest, split digest, rows
    training: Mapping[str, Any]  # seed, steps, seconds and the settings that are not defaults
    versions: Mapping[str, str]  # package -> version
    scheme: str = "imgt"
    layout: str = "single"  # one chain per sequence; paired: heavy, separator, light
    format: int = field(default=FORMAT)

    @property
    def base_is_local(self) -> bool:
        """The base was a folder, which only its owner has: no alias and no Hub id."""
        return self.has_base and find(self.base) is None and "/" not in self.base

    @property
    def longest(self) -> int:
        """Residues of the longest training chain, or pair."""
        return max(sum(chain_lengths(key)) for counts in self.lengths.values() for key in counts)

    @property
    def has_base(self) -> bool:
        """Trained on another model, not from nothing."""
        return self.method != "scratch"

    @property
    def is_whole(self) -> bool:
        """All weights are in the bundle, and no adapter."""
        return self.method in ("full", "scratch")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write hfbio.json, whole or not at all."""
    write_json(folder / MANIFEST, dataclasses.asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read and check hfbio.json.

    Values in ``data`` and ``training`` are plain JSON (see `hfbio.models.untrusted.read_object`)
    and else anything: show them escaped. Settings of the sampler are checked by `hfbio.load`.

    Raises:
        BundleError: no such file, not JSON, a missing, unknown or ill-typed field, a value out of
            range, a kind that this hfbio does not know, or a format newer than this hfbio.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{folder} holds no {MANIFEST}; give a folder that `hfbio finetune` wrote"
        )
    raw = read_object(path)
    if type(raw.get("format")) is not int or raw["format"] != FORMAT:
        raise BundleError(
            f"{path} has format {raw.get('format')!r:.80}; this hfbio reads format {FORMAT}"
        )
    fields = {f.name for f in dataclasses.fields(Manifest)}
    if fields != set(raw):
        raise BundleError(
            f"{path}: missing fields {sorted(fields - set(raw))}, "
            f"unknown fields {sorted(set(raw) - fields)!s:.200}"
        )
    for name in ("objective", "tags", "lengths", "sampler", "data", "training", "versions"):
        if not isinstance(raw[name], dict):
            raise BundleError(f"{path}: {name} must be an object, got {raw[name]!r:.80}")
    _require_known(path, "family", raw["family"], FAMILIES)
    _require_known(path, "method", raw["method"], METHODS)
    _require_known(path, "scheme", raw["scheme"], SCHEMES)
    _require_known(path, "layout", raw["layout"], LAYOUTS)
    _check_base(path, raw)
    _check_texts(path, raw)
    _check_objective(path, raw["objective"], raw["family"])
    try:
        tags = read_tags(raw["tags"])
    except ValueError as error:
        raise BundleError(f"{path}: tags cannot be read: {error}") from None
    _check_lengths(raw["lengths"], raw["layout"], tags, path)
    return Manifest(**{**raw, "tags": tags})


def length_key(lengths: Iterable[int]) -> str:
    """How hfbio.json spells the lengths of the chains of one example: ``120``, or ``120:107``."""
    return CHAIN_BREAK.join(map(str, lengths))


def chain_lengths(key: str) -> tuple[int, ...]:
    """The residues of each chain, from a key of ``Manifest.lengths`` that has been checked."""
    return tuple(map(int, key.split(CHAIN_BREAK)))


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run as hfbio.json and cards tell them, the same in both.

    Settings that name folders, accounts or projects are left out. Wherever else a path, an
    address or a token stands, `WITHHELD` stands in its place; ``hf://`` addresses of data stay,
    since ``data`` tells them as well. Done twice, it changes nothing more.
    """
    return {
        name: WITHHELD
        if name in _FILES and isinstance(value, str) and not value.lstrip().startswith("{")
        else _public(value)
        for name, value in settings.items()
        if name not in _PLACES and not name.startswith(_SERVICES)
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to a temporary name beside ``path`` and move it into place."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            f"{i}: {WITHHELD}" if _is_private(str(name)) else name: _public(part)
            for i, (name, part) in enumerate(value.items(), 1)
        }
    if isinstance(value, list | tuple):
        return [_public(part) for part in value]
    return WITHHELD if _is_private(str(value)) else value


def _is_private(text: str) -> bool:
    return _PRIVATE.search(_DATASET.sub("", text)) is not None


def _require_known(path: Path, name: str, value: Any, known: Any) -> None:
    if not isinstance(value, str) or value not in known:
        raise BundleError(
            f"{path}: {name} must be one of {', '.join(known)}, got {value!r:.80}; "
            "a later hfbio may know it"
        )


def _check_base(path: Path, raw: Mapping[str, Any]) -> None:
    base, revision = raw["base"], raw["base_revision"]
    if not isinstance(base, str) or not (
        _HUB_ID.fullmatch(base)
        if "/" in base
        else 0 < len(base) <= 255 and base not in (".", "..") and "\\" not in base
    ):
        raise BundleError(
            f"{path}: base must be an alias, a folder's name or a Hub id, never a path; "
            f"got {base!r:.80}"
        )
    if revision is not None and not (isinstance(revision, str) and _COMMIT.fullmatch(revision)):
        raise BundleError(
            f"{path}: base_revision must be a commit of 40 digits or null, got {revision!r:.80}"
        )
    known = find(base) if raw["method"] != "scratch" else None
    if revision and ("/" not in base if known is None else known.source != "hub"):
        raise BundleError(
            f"{path}: base_revision is {revision}, but {base!r:.80} is not on the Hub"
        )
    if known and known.model_type != raw["family"]:
        raise BundleError(f"{path}: family is {raw['family']!r}; {base} is {known.model_type!r}")


def _check_texts(path: Path, raw: Mapping[str, Any]) -> None:
    licence = raw["base_license"]
    if not isinstance(licence, str) or not _LICENCE.fullmatch(licence):
        raise BundleError(f"{path}: base_license must be a short name, got {licence!r:.80}")
    for package, version in raw["versions"].items():
        if not _PACKAGE.fullmatch(package) or not (
            isinstance(version, str) and _VERSION.fullmatch(version)
        ):
            raise BundleError(f"{path}: versions holds {package!r:.80}: {version!r:.80}")


def _check_objective(path: Path, raw: Mapping[str, Any], family: str) -> None:
    _require_known(path, "kind of objective", raw.get("kind"), OBJECTIVES)
    if raw["kind"] not in FAMILIES[family].objectives:
        raise BundleError(f"{path}: objective {raw['kind']!r} does not serve family {family!r}")
    try:
        build_objective(raw["kind"], {name: raw[name] for name in raw if name != "kind"})
    except SettingError as error:
        raise BundleError(f"{path}: {error!s:.200}") from None


def _check_lengths(raw: Mapping[str, Any], layout: str, tags: Tags, path: Path) -> None:
    """``{"IGH|human": {"120": 7, …}, …}``: a row per combination of tags, counts above 0.

    Of pairs ``{"IGK|human": {"120:107": 7, …}, …}``, the heavy chain first.
    """
    combinations = {"|".join(row) for row in tags.seen} or {""}
    if odd := sorted(combinations ^ set(raw)):
        raise BundleError(f"{path}: lengths and tags do not have the same rows: {odd!s:.200}")
    for row, counts in raw.items():
        if not isinstance(counts, dict) or not counts:
            raise BundleError(f"{path}: lengths of {row!r:.80} must be an object of counts")
        for length, count in counts.items():
            known = _LENGTH[layout].fullmatch(length)
            if not (known and type(count) is int and 1 <= count <= _MAX_COUNT):
                wanted = "a number of residues" if layout == "single" else "HEAVY:LIGHT residues"
                raise BundleError(
                    f"{path}: lengths of {row!r:.80} has {length!r:.80}: {count!r:.80}, not "
                    f"{wanted} and how often it was seen"
                )
