"""Files of a base, looked at before transformers reads them. Loads no weights.

A bundle of a stranger names the base it wants, so that a base may be a stranger's as well. It is
read by transformers all the same; what is checked here is that this takes no more memory and time
than its config.json accounts for, and that no other repository comes with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
from huggingface_hub import (
    _CACHED_NO_EXIST,
    HfApi,
    get_cached_repo_tree,
    hf_hub_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    HFValidationError,
    OfflineModeIsEnabled,
)
from huggingface_hub.hf_api import RepoFile
from transformers import AutoConfig

from hfbio.errors import BundleError, UnknownModel
from hfbio.models.catalogue import FAMILIES, Family
from hfbio.models.sizes import MAX_COUNTS, odd_count, shapes_alone
from hfbio.models.tokenizer_file import require_tame
from hfbio.models.untrusted import MAX_JSON_BYTES, read_json, read_object, require_size

_CONFIG: Final = "config.json"
_ADAPTER: Final = "adapter_config.json"
# What transformers may read beside weights; a repository may hold any number of other files.
_TEXT: Final = re.compile(
    r"(.*config|.*vocab|.*tokens.*|tokenizer|merges|chat_template|.*\.index)\.(json|txt|jinja)"
    r"|.*\.(model|spm|bpe)"
)
_WEIGHTS: Final = (  # in the order in which transformers looks for them
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
_BYTES_PER_NUMBER: Final = 16  # float64, and again as much for heads that hfbio leaves aside
_SPARE_BYTES: Final = 64_000_000


def unreadable(name: str, error: BaseException) -> UnknownModel:
    """What to raise where the Hub, or the cache in its place, does not give a base."""
    return UnknownModel(
        f"{name!r} cannot be read from the Hub; check the spelling, the network and, for a "
        f"private repository, `hf auth login`: {in_words(error)}"
    )


def in_words(error: BaseException) -> str:
    """Kind and first words of a fault of another library, which may quote a stranger's file."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return f"{type(error).__name__}: {' '.join(words.split()):.400}"


def cache_lacks(location: str, file: str, revision: str | None) -> bool:
    """Whether the cache knows that a repository has no such file at a revision.

    It does if the file was asked for before, or the repository was downloaded by
    ``snapshot_download`` or ``hf download``, which keep the list of all its files.
    """
    if try_to_load_from_cache(location, file, revision=revision) is _CACHED_NO_EXIST:
        return True
    listed = _listed(location, revision)
    return listed is not None and file not in listed


def read_config(name: str, location: str, revision: str | None) -> tuple[dict[str, Any], Path]:
    """config.json of a base, and the folder it lies in.

    On the Hub that is the folder of its commit in the cache, snapshots/COMMIT: transformers 5 no
    longer tells the commit.

    Args:
        name: for messages.
        location: folder or Hub id.
        revision: of a Hub id.

    Raises:
        UnknownModel: it cannot be had, is too large, is no plain JSON object, asks for
            quantization or kernels, or for a network of absurd size.
    """
    file = Path(location, _CONFIG)
    try:
        if not file.parent.is_dir():
            there = hf_hub_download(location, _CONFIG, revision=revision, dry_run=True)
            if there.file_size is not None:  # if it is, the file is measured below
                require_size(_CONFIG, there.file_size, MAX_JSON_BYTES)
            # By the branch's name: else the cache would not know later what it stands for.
            file = Path(hf_hub_download(location, _CONFIG, revision=revision))
        raw = read_object(file)
    except BundleError as error:
        raise UnknownModel(f"{name}: {error}") from None
    except (OSError, HFValidationError, httpx2.HTTPError) as error:
        raise unreadable(name, error) from error
    if "quantization_config" in raw or any("attn_impl" in key for key in raw):
        raise UnknownModel(
            f"{name}: config.json asks for quantization or kernels of its own; hfbio reads plain "
            "weights in full precision"
        )
    if odd := odd_count(raw):
        raise UnknownModel(
            f"{name}: config.json has {odd} {raw[odd]!r:.80}; it must be a whole number from 1 to "
            f"{MAX_COUNTS[odd]:,}"
        )
    return raw, file.parent


def family_of(name: str, config: Mapping[str, Any]) -> Family:
    """The architecture that config.json names.

    Raises:
        UnknownModel: hfbio does not know it.
    """
    model_type = config.get("model_type", "")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise UnknownModel(
            f"{name}: config.json has model_type {model_type!r:.80}; hfbio knows "
            f"{', '.join(FAMILIES)}. Add an entry to hfbio/models/catalogue.py"
        )
    return FAMILIES[model_type]


def require_files(
    name: str, location: str, folder: Path, config: Mapping[str, Any], *, own_code: bool
) -> None:
    """The files beside config.json are as large as it accounts for, and none brings another model.

    Args:
        name: for messages.
        location: folder or Hub id.
        folder: from `read_config`.
        config: what it read.
        own_code: the repository's own code builds the network, so that its size is not known.

    Raises:
        UnknownModel: an adapter, which transformers would load by itself; a text, a tokenizer or
            weights that are larger than such a file can need; weights that are too few for the
            network, which would be made up at random; a regex that may never end; or the Hub
            cannot be asked.
    """
    sizes = _sizes(name, location, folder)
    if _ADAPTER in sizes:
        raise UnknownModel(
            f"{name} holds {_ADAPTER} beside {_CONFIG}, which would change the model; "
            "name the base itself, or a bundle with hfbio.json"
        )
    try:
        for file, size in sizes.items():
            if _TEXT.fullmatch(file):
                require_size(file, size, MAX_JSON_BYTES)
        if not own_code:
            _require_weights(sizes, _numbers(config))
        if "tokenizer.json" in sizes:
            _require_tame_tokenizer(location, folder)
    except BundleError as error:
        raise UnknownModel(f"{name}: {error}") from None
    except (OSError, httpx2.HTTPError) as error:
        raise unreadable(name, error) from error


def _sizes(name: str, location: str, folder: Path) -> dict[str, int]:
    """Bytes of each file: those of the repository, or those at hand where there is no network."""
    at_hand = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    if folder == Path(location):
        return at_hand
    commit = folder.name
    if (listed := _listed(location, commit)) is not None:
        return listed
    try:
        found = HfApi().list_repo_tree(location, recursive=True, revision=commit)
        return {file.path: file.size for file in found if isinstance(file, RepoFile)}
    except (OSError, httpx2.HTTPError) as error:
        # Nothing may turn up later that has not been looked at.
        alone = isinstance(error, OfflineModeIsEnabled) or cache_lacks(location, _ADAPTER, commit)
        if not alone or not set(_WEIGHTS) & set(at_hand):
            raise unreadable(name, error) from error
        return at_hand


def _listed(location: str, revision: str | None) -> dict[str, int] | None:
    try:
        found = get_cached_repo_tree(location, revision=revision)
    except CachedRepoTreeNotFoundError:
        return None
    return {file.path: file.size for file in found}


def _require_weights(sizes: Mapping[str, int], n_numbers: int) -> None:
    """Neither much larger nor much smaller than a network of so many numbers."""
    first = next((file for file in _WEIGHTS if file in sizes), "")
    kind = ".bin" if ".bin" in first else ".safetensors"
    sharded = first.endswith(".index.json")  # then it may name any file of the repository
    read = [
        size for file, size in sizes.items() if file == first or (sharded and file.endswith(kind))
    ]
    for size in read:
        require_size(first, size, _BYTES_PER_NUMBER * n_numbers + _SPARE_BYTES)
    if sum(read) < n_numbers:  # not even one byte for each: transformers would make them up
        raise BundleError(
            f"its weights ({first or ' or '.join(_WEIGHTS[::2])}) have {sum(read):,} bytes; "
            f"config.json describes a network of {n_numbers:,} numbers"
        )


def _numbers(config: Mapping[str, Any]) -> int:
    family = FAMILIES[config["model_type"]]
    try:
        made = type(AutoConfig.for_model(family.model_type)).from_dict(dict(config))
        like = shapes_alone(family, made)
        family.max_residues(made)
    except Exception as error:  # transformers reads some fields as they come
        raise BundleError(f"{_CONFIG} describes no model: {in_words(error)}") from None
    return sum(weight.numel() for weight in like.parameters())


def _require_tame_tokenizer(location: str, folder: Path) -> None:
    path = folder / "tokenizer.json"
    if folder != Path(location):
        path = Path(hf_hub_download(location, path.name, revision=folder.name))
    require_tame(path, read_json(path))
