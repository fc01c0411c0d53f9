"""Find a bundle, in a folder or on the Hub, and fetch what it needs. Reads hfbio.json alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from huggingface_hub import (
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hfbio.bundle import (
    ADAPTER_FOLDER,
    LATENT_MAP,
    MANIFEST,
    SKETCH,
    Manifest,
    read_manifest,
)
from hfbio.errors import HubError, SettingError
from hfbio.models.base_files import cache_lacks, in_words, unreadable
from hfbio.models.catalogue import find
from hfbio.models.load import bundled_folder
from hfbio.models.untrusted import MAX_JSON_BYTES, read_object, require_size
from hfbio.score import latent_map, sketch

# By name, not by pattern: a repository may hold any number of other files.
_FILES: Final = (
    *("adapter_config.json", "adapter_model.safetensors", "config.json", "model.safetensors"),
    *(f"{ADAPTER_FOLDER}/adapter_config.json", f"{ADAPTER_FOLDER}/adapter_model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"),
    *(SKETCH, LATENT_MAP),
)
_MOST: Final = {SKETCH: sketch.MAX_BYTES, LATENT_MAP: latent_map.MAX_BYTES}
METRICS: Final = "metrics.json"
_NO_NETWORK: Final = (OfflineModeIsEnabled, httpx2.ConnectError, httpx2.TimeoutException)


@dataclass(frozen=True)
class Found:
    """A bundle whose hfbio.json has been read."""

    manifest: Manifest
    folder: Path  # holds hfbio.json; all the rest too, if `repo` is empty
    repo: str = ""  # on the Hub
    commit: str = ""

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"{self.repo} at {self.commit[:12]}" if self.repo else str(self.folder)

    def fetch(self, most: int) -> Path:
        """The folder with all files; those on the Hub are downloaded, all from one commit.

        Args:
            most: bytes that a file of weights can need.

        Raises:
            BundleError: a file on the Hub is larger; nothing has been downloaded then.
            HubError: the download failed.
        """
        if not self.repo:
            return self.folder  # `hfbio.models` looks at the header before it reads any weights
        wanted: dict[str, Any] = {"revision": self.commit, "allow_patterns": list(_FILES)}
        with _fetching(self.name):
            try:
                for file in snapshot_download(self.repo, dry_run=True, **wanted):
                    weights = file.filename.endswith(".safetensors")
                    limit = _MOST.get(file.filename, most if weights else MAX_JSON_BYTES)
                    require_size(f"{self.name}: {file.filename}", file.file_size, limit)
            except DryRunError:  # no network: what the cache holds was checked when it came
                wanted["local_files_only"] = True
            return Path(snapshot_download(self.repo, **wanted))


def find_bundle(name: str, revision: str | None) -> Found | None:
    """The bundle that ``name`` means; ``None`` if it is none, and so may be a base.

    ``None`` needs proof: the Hub, or the cache where there is no network, knows that there is no
    hfbio.json. A bundle taken for a base would load its weights without its tags.

    Raises:
        BundleError: its hfbio.json does not hold what it should.
        HubError: it is there and cannot be downloaded, or nobody knows whether it is there.
        SettingError: a revision of a folder.
        UnknownModel: no such repository or revision, neither on the Hub nor in the cache.
    """
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        if revision is not None:
            raise SettingError(f"{name} is a folder and has no revision {revision!r}")
        return Found(read_manifest(folder), folder)
    known = find(name)
    if known and known.source == "bundled" and (bundled_folder(known) / MANIFEST).is_file():
        if revision is not None:
            raise SettingError(f"{name} comes with hfbio and has no revision {revision!r}")
        return Found(read_manifest(bundled_folder(known)), bundled_folder(known))
    if folder.is_dir() or known or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    try:
        there = hf_hub_download(name, MANIFEST, revision=revision, dry_run=True)
    except (RemoteEntryNotFoundError, HFValidationError):
        return None  # `load_base` tells of a name that no repository can have
    except (OSError, httpx2.HTTPError) as error:
        _require_known_base(name, revision, error)
        return None
    require_size(f"{name}: {MANIFEST}", there.file_size, MAX_JSON_BYTES)
    with _fetching(name):  # by commit: the branch may move between two calls
        path = Path(hf_hub_download(name, MANIFEST, revision=there.commit_hash))
    return Found(read_manifest(path.parent), path.parent, name, there.commit_hash)


def fetch_metrics(name: str, revision: str | None = None) -> dict[str, Any]:
    """What the metrics.json of a bundle holds; empty without one, as for a base alone.

    What it holds is not checked beyond being plain JSON values. Without a network it is empty too
    where the cache does not hold the file: `hfbio.load` never asks for it.

    Args:
        name: as of `hfbio.load`.
        revision: of a repository.

    Raises:
        BundleError: the file, or hfbio.json, is too large or is not such an object as
            `hfbio.models.untrusted.read_object` takes. One that is too large is not downloaded.
        HubError: the Hub refuses it, or it cannot be downloaded.
        SettingError: a revision of a folder.
        UnknownModel: no such repository or revision.
    """
    found = find_bundle(name, revision)
    if found is None:
        return {}
    path = found.folder / METRICS
    if found.repo:
        with _fetching(found.name):
            try:
                there = hf_hub_download(found.repo, METRICS, revision=found.commit, dry_run=True)
                require_size(f"{found.name}: {METRICS}", there.file_size, MAX_JSON_BYTES)
                path = Path(hf_hub_download(found.repo, METRICS, revision=found.commit))
            except RemoteEntryNotFoundError:
                return {}
            except LocalEntryNotFoundError as error:
                if not isinstance(error.__cause__, _NO_NETWORK):
                    raise
                return {}
    return read_object(path) if path.is_file() else {}


def _require_known_base(name: str, revision: str | None, error: Exception) -> None:
    """Raise what keeps the Hub from telling, unless the cache knows that there is no hfbio.json."""
    cause = (isinstance(error, LocalEntryNotFoundError) and error.__cause__) or error
    offline = isinstance(cause, _NO_NETWORK)
    # Missing, or private to somebody else: the Hub does not say which. What is cached still loads.
    hidden = isinstance(cause, RepositoryNotFoundError) and not isinstance(cause, GatedRepoError)
    if isinstance(cause, RevisionNotFoundError):
        raise unreadable(name, cause) from error
    if offline or hidden:
        if cache_lacks(name, MANIFEST, revision):
            return
        if try_to_load_from_cache(name, "config.json", revision=revision) is None:
            raise unreadable(name, cause) from error  # nothing that could be loaded
    raise HubError(
        f"the Hub does not tell whether {name} holds {MANIFEST}, and without it a tuned model "
        f"would be taken for a plain one ({in_words(cause)}); check the network and, for a private "
        "or gated repository, `hf auth login`, then try again"
    ) from error


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, httpx2.HTTPError) as error:
        reason = str(error).partition("\n")[0]
        raise HubError(
            f"{name} cannot be downloaded ({reason}); check the network, then try again"
        ) from error
