"""Where a run may go: the wish, and what the Hub and the licences say to it. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from huggingface_hub import HfApi

from hfbio.bundle import ADAPTER_FOLDER, MANIFEST, Manifest
from hfbio.card import licences
from hfbio.errors import HubError, SettingError
from hfbio.hub.client import ask, require_repo_id
from hfbio.hub.remote import MAIN, Remote

_WEIGHTS: Final = (
    *("model.safetensors", "adapter_model.safetensors", "pytorch_model.bin", "config.json"),
    *("adapter_config.json", f"{ADAPTER_FOLDER}/adapter_config.json"),
)


@dataclass(frozen=True)
class Target:
    """Where a run goes, and who may see it there."""

    repo_id: str  # USER/REPO
    public: bool = False
    revision: str = MAIN  # branch; made from main if it is new
    create_pr: bool = False  # leave the branch alone and open a pull request instead
    tag: str | None = None  # a name for the commit, such as v1.0
    collection: str | None = None  # title of one of your own, or USER/SLUG of any
    license: str | None = None  # of the repository; follows from base and data if None
    allow_non_commercial: bool = False  # publish what was made from non-commercial parts

    def __post_init__(self) -> None:
        require_repo_id(self.repo_id)
        if self.create_pr and self.tag:
            raise SettingError("a pull request cannot be tagged; tag it once it is merged")


@dataclass(frozen=True)
class Pushed:
    """What is on the Hub now."""

    repo_id: str
    url: str  # of the commit or the pull request
    commit: str
    changed: tuple[str, ...]  # files written or removed; empty if all was there already
    public: bool

    def __str__(self) -> str:
        what = f"{len(self.changed)} files" if self.changed else "nothing new, all was there"
        seen = "public" if self.public else "private"
        return "\n".join(
            [
                f"pushed    {what}; {self.repo_id} is {seen}",
                f"commit    {self.commit}",
                "verified  loaded back: same logits, same designs",
                f"page      {self.url}",
            ]
        )


def require_writer(api: HfApi, target: Target) -> None:
    """Check what can be known of the token before any work is done.

    Raises:
        HubError: there is none, it is not valid, it can only read, or it belongs to somebody who
            has no part in the target's namespace.
    """
    action = f"cannot push to {target.repo_id}"
    user = ask(action, api.whoami)
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(f"{action}: the token can only read; log in with one that can write")
    owner = target.repo_id.split("/")[0]
    names = [user["name"], *(group["name"] for group in user.get("orgs", []))]
    if not target.create_pr and owner not in names:
        raise HubError(
            f"{action}: the token is that of {user['name']}, who may write to "
            f"{', '.join(names)}; choose a name there, or open a pull request with --create_pr"
        )


def require_licence(manifest: Manifest, target: Target) -> str:
    """A note on parts that may not be used commercially; empty if there are none.

    Raises:
        SettingError: there are, and the push is public without the flag for it.
    """
    parts = licences(manifest).non_commercial
    if not parts:
        return ""
    what = f"{' and '.join(parts)} of this run may not be used commercially"
    if target.public and not target.allow_non_commercial:
        raise SettingError(
            f"{what}; push it privately, or, if their licences let you publish it, add "
            "--allow_non_commercial"
        )
    return f"note: {what}; the card says so"


def require_welcome(remote: Remote, target: Target) -> None:
    """Check that nobody's model is replaced and that nothing becomes public unasked.

    Raises:
        SettingError: the repository is public, holds a model that hfbio did not push, or does not
            exist and is to get a pull request.
    """
    if remote.private is False and not target.public:
        raise SettingError(
            f"{target.repo_id} is public: everybody would see this run at once; say --public (in "
            "training --hub_private_repo false) if that is meant, or choose another name"
        )
    if target.create_pr and not remote.exists:
        raise SettingError(
            f"{target.repo_id} does not exist; there is nothing to open a pull request on"
        )
    if remote.exists and not target.create_pr:
        there = _file_names(remote, target.revision)
        if MANIFEST not in there and (foreign := sorted(there & set(_WEIGHTS))):
            raise SettingError(
                f"{target.repo_id} holds a model that hfbio did not push ({', '.join(foreign)}); "
                "choose another name or another --revision, or open a pull request"
            )


def _file_names(remote: Remote, revision: str) -> set[str]:
    if (commit := remote.head(revision) or remote.head(MAIN)) is None:
        return set()
    return set(remote.files(commit))
