"""What goes into a repository: an allow-list of a bundle's files. Sends nothing, runs no model.

A run folder also holds the user's table, its split and the Trainer's checkpoints. None of them is
on the list, so none of them can be published by mistake.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hfbio.bundle import (
    ADAPTER_FOLDER,
    LATENT_MAP,
    MANIFEST,
    SKETCH,
    read_manifest,
    write_manifest,
)
from hfbio.errors import BundleError, SettingError
from hfbio.model import load
from hfbio.models.lora import merge

_TOKENIZER: Final = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.txt"),
)
_MODEL: Final = ("config.json", "generation_config.json", "model.safetensors")
_ADAPTER: Final = ("adapter_config.json", "adapter_model.safetensors")
_TRACES: Final = (SKETCH, LATENT_MAP)
_MADE: Final = ("README.md", "CITATION.cff", "figures/*.png")
OWNED: Final = (
    *(MANIFEST, "metrics.json", *_TOKENIZER, *_MODEL, *_ADAPTER, *_TRACES, *_MADE),
    *(f"{ADAPTER_FOLDER}/{name}" for name in _ADAPTER),
    *(f"merged/{name}" for name in (*_TOKENIZER, *_MODEL)),
)
"""Patterns of the files that a push writes, and removes where an earlier push left them."""


def is_owned(path: str) -> bool:
    """Whether a push may write or remove ``path`` of a repository."""
    return any(fnmatchcase(path, pattern) for pattern in OWNED)


@contextmanager
def payload(run: Path, *, merged: bool = False, base: str | None = None) -> Iterator[Path]:
    """A temporary folder with the files of a bundle that may be published; no card yet.

    Args:
        run: a run folder or a checkpoint of one. Links and everything not on the list stay out.
        merged: full weights with the adapter folded in, in place of the adapter.
        base: where the base lies, if it is a local folder.

    Raises:
        BundleError: ``run`` is no bundle, or lacks its weights.
        SettingError: an adapter on a base that nobody else can find.
    """
    manifest = read_manifest(run)
    with TemporaryDirectory(prefix="hfbio-push-") as made:
        folder = Path(made)
        if merged and not manifest.is_whole:
            tuned = load(run, base=base)
            merge(tuned.model).save_pretrained(folder)
            tuned.base.tokenizer.save_pretrained(folder)
            write_manifest(folder, dataclasses.replace(manifest, method="full"))
            _copy(run, folder, ("metrics.json", *_TRACES))
        else:
            if not manifest.is_whole and manifest.base_is_local:
                raise SettingError(
                    f"{run} adapts {manifest.base!r}, a folder of this machine, which nobody "
                    "else can load; publish the whole model with --merge"
                )
            _copy(run, folder, [name for name in OWNED if not fnmatchcase(name, "figures/*")])
            needed = ("config.json", "model.safetensors") if manifest.is_whole else _ADAPTER
            for name in needed:
                if not (folder / name).is_file():
                    raise BundleError(
                        f"{run} holds no {name} that can be published: safetensors and JSON are, "
                        "links are not"
                    )
            if (folder / "merged").is_dir():
                _set_aside(folder)
        (folder / "README.md").unlink(missing_ok=True)  # the card is made for each push
        yield folder


def files_of(folder: Path) -> dict[str, Path]:
    """Files by their path in the repository, in order.

    Raises:
        BundleError: a file that is not on the list.
    """
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if odd := [name for name in found if not is_owned(name)]:
        raise BundleError(f"these files must not be published: {', '.join(odd[:20])}")
    return found


def digests(path: Path) -> tuple[str, str]:
    """Names under which the Hub knows a file's content: git's blob id, and sha256 for LFS."""
    blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            blob.update(chunk)
            sha256.update(chunk)
    return blob.hexdigest(), sha256.hexdigest()


def _set_aside(folder: Path) -> None:
    """Move the adapter from the top into its own folder.

    transformers 5.23 takes a repository with an adapter_config.json at its top for an adapter of
    another repository, even when it is asked for ``subfolder="merged"``, and would look for a base
    that has no page on the Hub.
    """
    (folder / ADAPTER_FOLDER).mkdir()
    for name in _ADAPTER:
        shutil.move(folder / name, folder / ADAPTER_FOLDER / name)


def _copy(run: Path, folder: Path, names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        source = run / name
        if source.is_file() and not source.is_symlink():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
