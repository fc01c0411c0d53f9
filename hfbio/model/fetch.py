"""Find a bundle, in a folder or on the Hub, and fetch what it needs. Reads hfbio.json alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import DryRunError

from hfbio.bundle import ADAPTER_FOLDER, MANIFEST, MAX_BYTES, Manifest, read_manifest
from hfbio.errors import HubError, SettingError
from hfbio.models.catalogue import find
from hfbio.models.untrusted import MAX_JSON_BYTES, require_size

# By name, not by pattern: a repository may hold any number of other files.
_FILES: Final = (
    *("adapter_config.json", "adapter_model.safetensors", "config.json", "model.safetensors"),
    *(f"{ADAPTER_FOLDER}/adapter_config.json", f"{ADAPTER_FOLDER}/adapter_model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"),
)


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
                    limit = most if file.filename.endswith(".safetensors") else MAX_JSON_BYTES
                    require_size(f"{self.name}: {file.filename}", file.file_size, limit)
            except DryRunError:  # no network: what the cache holds was checked when it came
                wanted["local_files_only"] = True
            return Path(snapshot_download(self.repo, **wanted))


def find_bundle(name: str, revision: str | None) -> Found | None:
    """The bundle that ``name`` means; ``None`` if it may be a base.

    Raises:
        BundleError: its hfbio.json does not hold what it should.
        HubError: it is there and cannot be downloaded.
        SettingError: a revision of a folder.
    """
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        if revision is not None:
            raise SettingError(f"{name} is a folder and has no revision {revision!r}")
        return Found(read_manifest(folder), folder)
    if folder.is_dir() or find(name) or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    try:
        there = hf_hub_download(name, MANIFEST, revision=revision, dry_run=True)
    except OSError:  # a base has none; `load_base` tells of all other reasons
        return None
    require_size(f"{name}: {MANIFEST}", there.file_size, MAX_BYTES)
    with _fetching(name):  # by commit: the branch may move between two calls
        path = Path(hf_hub_download(name, MANIFEST, revision=there.commit_hash))
    return Found(read_manifest(path.parent), path.parent, name, there.commit_hash)


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, httpx2.HTTPError) as error:
        reason = str(error).partition("\n")[0]
        raise HubError(
            f"{name} cannot be downloaded ({reason}); check the network, then try again"
        ) from error
