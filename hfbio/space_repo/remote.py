"""One Space on the Hub: look, create, upload, set. Decides nothing about its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from hfbio.errors import HubError, SettingError
from hfbio.hub.client import explaining
from hfbio.hub.payload import digests
from hfbio.space_repo.files import LISTING, PACKAGE, README
from hfbio.space_repo.running import may_pass, page_of

SDK: Final = "gradio"
_OF_THE_HUB: Final = {".gitattributes", README}  # what a new Space holds already


class SpaceRemote:
    """A Space as this process sees and changes it."""

    def __init__(self, api: HfApi, repo_id: str) -> None:
        """Look whether it exists.

        Args:
            api: the client.
            repo_id: ``USER/SPACE``.

        Raises:
            HubError: the Hub cannot be asked.
        """
        self.api = api
        self.repo_id = repo_id
        self.url = page_of(api, repo_id)
        self.created = False  # by this process
        self._born: str | None = None  # its head when this process had created it
        with explaining(f"cannot look at the Space {repo_id}"):
            try:
                info = api.space_info(repo_id)
                self.exists, self.private, self.sdk = True, bool(info.private), info.sdk
            except RepositoryNotFoundError as error:
                # Without a valid token a private Space seems missing: do not take it for new.
                if error.response.status_code == 401:
                    raise
                self.exists, self.private, self.sdk = False, True, None

    def require_ours(self) -> None:
        """Check that no other page would be overwritten or duplicated in place of ours.

        Raises:
            SettingError: the Space holds files, and they are not a page of hfbio.
        """
        there = set(self._files(self._head()))
        if self.sdk != SDK or (there - _OF_THE_HUB and f"{PACKAGE}__init__.py" not in there):
            raise SettingError(
                f"{self.repo_id} is a Space, but not one that `hfbio space create` made; choose "
                "another name"
            )

    def secret_names(self) -> set[str]:
        """Names of the secrets it has; their values cannot be read."""
        if not self.exists:
            return set()
        with explaining(f"cannot list the secrets of {self.repo_id}"):
            return set(self.api.get_space_secrets(self.repo_id))

    def create(
        self,
        variables: Mapping[str, str],
        secrets: Mapping[str, str],
        hardware: str | None,
        source: str | None = None,
    ) -> None:
        """Create it, private, with its settings, so that it never runs without them.

        Args:
            variables: name -> value.
            secrets: name -> value.
            hardware: flavor; the Hub's free one if ``None``.
            source: another Space to copy; an empty one if ``None``.
        """
        settings: dict[str, Any] = {
            "private": True,
            "repo_type": "space",
            "space_hardware": hardware,
            "space_variables": _pairs(variables),
            "space_secrets": _pairs(secrets) or None,
        }
        with explaining(f"cannot create the Space {self.repo_id}"):
            try:
                if source is None:
                    self.api.create_repo(self.repo_id, space_sdk=SDK, **settings)
                else:
                    self.api.duplicate_repo(source, self.repo_id, **settings)
            except (HfHubHTTPError, httpx2.TransportError) as error:
                # It was not there a moment ago: if the reply alone was lost, it is now.
                if not (may_pass(error) and self._appeared()):
                    raise
        self.created, self.exists, self.private, self.sdk = True, True, True, SDK

    def read(self, path: str, revision: str | None = None) -> str:
        """A small text file of it."""
        fault = f"cannot read {path} of {self.repo_id}"
        try:
            with explaining(fault):
                found = self.api.hf_hub_download(
                    self.repo_id, path, revision=revision, repo_type="space"
                )
        except LocalEntryNotFoundError:  # what the client makes of any fault on the way
            raise HubError(f"{fault}: the Hub did not send it; try again") from None
        return Path(found).read_text(encoding="utf-8")

    def commit(self, files: Mapping[str, Path], title: str, *, whole: bool = True) -> str:
        """Make the Space hold these files, in one commit; returns the id of the head.

        Nothing is committed if nothing differs.

        Args:
            files: by their path in the Space.
            title: of the commit.
            whole: these are all files of the page: remove those that an earlier upload wrote
                beyond them. What others put there stays.
        """
        head = self._head()
        self._born = self._born or head
        changed, stale = self._difference(files, head, whole)
        if not changed and not stale:
            return head
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, path) for name, path in changed.items()),
            *(CommitOperationDelete(name) for name in stale),
        ]
        try:
            with explaining(f"cannot upload to {self.repo_id}"):
                return self.api.create_commit(
                    self.repo_id,
                    operations,
                    commit_message=title,
                    repo_type="space",
                    parent_commit=head,
                ).oid
        except HubError:
            # The commit may have been made without our hearing of it.
            if (landed := self._landed(files, head, whole)) is None:
                raise
            return landed

    def configure(
        self, variables: Mapping[str, str], secrets: Mapping[str, str], hardware: str | None
    ) -> None:
        """Bring the settings of a Space up to date; each change restarts it, so none is made twice.

        Secrets come first: the page may need them to read what the variables name.
        """
        with explaining(f"{self.repo_id} holds the new files, but its settings are not changed"):
            for name, value in secrets.items():
                self.api.add_space_secret(self.repo_id, name, value)
            there = self.api.get_space_variables(self.repo_id)
            for name, value in variables.items():
                if name not in there or there[name].value != value:
                    self.api.add_space_variable(self.repo_id, name, value)
            if hardware is not None:
                runtime = self.api.get_space_runtime(self.repo_id)
                if hardware != (runtime.requested_hardware or runtime.hardware):
                    self.api.request_space_hardware(self.repo_id, hardware)  # type: ignore[arg-type]

    def publish(self) -> None:
        """Let everybody see it."""
        if self.private:
            with explaining(f"{self.repo_id} runs, but cannot be made public"):
                self.api.update_repo_settings(self.repo_id, repo_type="space", private=False)
            self.private = False

    def remove_if_new(self) -> str:
        """Remove a Space that this process created and nothing was uploaded to; says so."""
        if not self.created:
            return ""
        try:
            if self._born not in (None, self._head()):
                return f"; {self.repo_id} is there now, private: look at {self.url}"
            with explaining("it cannot be removed"):
                self.api.delete_repo(self.repo_id, repo_type="space")
        except HubError as error:
            return f"; {self.repo_id} is there now, private and without its page ({error})"
        self.created = self.exists = False
        return f"; {self.repo_id}, created a moment ago, was removed again"

    def _head(self) -> str:
        with explaining(f"cannot look at the Space {self.repo_id}"):
            return str(self.api.space_info(self.repo_id).sha)

    def _files(self, revision: str) -> dict[str, str]:
        """Path -> the Hub's identifier of the content."""
        with explaining(f"cannot list the files of {self.repo_id}"):
            entries = self.api.list_repo_tree(
                self.repo_id, revision=revision, recursive=True, repo_type="space"
            )
            return {
                entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
                for entry in entries
                if isinstance(entry, RepoFile)
            }

    def _difference(
        self, files: Mapping[str, Path], head: str, whole: bool
    ) -> tuple[dict[str, Path], list[str]]:
        """Files to write, and paths that an earlier upload wrote and this one does not."""
        there = self._files(head)
        changed = {
            name: path for name, path in files.items() if there.get(name) not in digests(path)
        }
        if not whole:
            return changed, []
        ours = {name for name in there if name.startswith(PACKAGE)}
        if LISTING in there:
            ours |= there.keys() & set(self.read(LISTING, head).splitlines())
        return changed, sorted(ours - files.keys())

    def _landed(self, files: Mapping[str, Path], parent: str, whole: bool) -> str | None:
        """The commit that a lost reply was about; ``None`` if there is none."""
        try:
            head = self._head()
            if head == parent or any(self._difference(files, head, whole)):
                return None
            return head
        except HubError:
            return None

    def _appeared(self) -> bool:
        try:
            return self.api.repo_exists(self.repo_id, repo_type="space")
        except (HfHubHTTPError, httpx2.TransportError):
            return False


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]
