"""One repository on the Hub, and changes to it that happen whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from hfbio.errors import HubError
from hfbio.hub.client import ask, explaining
from hfbio.hub.payload import digests, is_owned


@dataclass(frozen=True)
class Commit:
    """A commit to make: files to write by their path in the repository, and paths to remove."""

    files: Mapping[str, Path]
    stale: tuple[str, ...]
    title: str


class Remote:
    """A model repository as this process sees and changes it."""

    def __init__(self, api: HfApi, repo_id: str) -> None:
        """Look whether it exists.

        Args:
            api: the client.
            repo_id: ``USER/REPO``.

        Raises:
            HubError: the Hub cannot be asked.
        """
        self.api = api
        self.repo_id = repo_id
        self.created = False  # by this process
        self.private: bool | None = ask(f"cannot look at {repo_id}", self._visibility)

    @property
    def exists(self) -> bool:
        """Whether the repository is there and may be seen."""
        return self.private is not None

    def create(self) -> None:
        """Create it, private."""
        ask(
            f"cannot create {self.repo_id}",
            lambda: self.api.create_repo(self.repo_id, private=True),
        )
        self.created, self.private = True, True

    def remove_if_new(self) -> str:
        """Remove a repository that this process created and nothing was pushed to; says so."""
        if not self.created:
            return ""
        try:
            if len(ask("cannot look", lambda: self.api.list_repo_commits(self.repo_id))) > 1:
                return ""
            ask("cannot remove it", lambda: self.api.delete_repo(self.repo_id))
        except HubError as error:
            return f"; {self.repo_id} is there now, private and empty ({error})"
        self.created, self.private = False, None
        return f"; {self.repo_id}, created a moment ago, was removed again"

    def head(self, revision: str) -> str | None:
        """The commit that a branch or tag names; ``None`` if there is no such name."""

        def look() -> str | None:
            try:
                return self.api.model_info(self.repo_id, revision=revision).sha
            except RevisionNotFoundError:
                return None

        return ask(f"cannot look at {self.repo_id}", look)

    def tag(self, name: str) -> str | None:
        """The commit that a tag names; ``None`` if there is no such tag."""
        refs = ask(
            f"cannot list the tags of {self.repo_id}", lambda: self.api.list_repo_refs(self.repo_id)
        )
        return next((ref.target_commit for ref in refs.tags if ref.name == name), None)

    def plan(self, files: Mapping[str, Path], commit: str, title: str) -> Commit | None:
        """What differs from ``commit``; ``None`` if nothing does."""
        entries = ask(
            f"cannot list the files of {self.repo_id}",
            lambda: list(self.api.list_repo_tree(self.repo_id, revision=commit, recursive=True)),
        )
        there = {
            entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in entries
            if isinstance(entry, RepoFile)
        }
        changed = {
            name: path for name, path in files.items() if there.get(name) not in digests(path)
        }
        stale = tuple(sorted(name for name in there if is_owned(name) and name not in files))
        return Commit(changed, stale, title) if changed or stale else None

    def commit(self, commit: Commit, branch: str, parent: str) -> str:
        """Make one commit on ``branch``, which must still be at ``parent``; returns its id.

        The client repeats requests that the Hub answers with 429 or 5xx, and uploads of single
        files, but never the commit itself, since it may have been made without our hearing of it.
        So after an error this looks whether the branch now holds what was sent.
        """
        try:
            with explaining(f"cannot push to {self.repo_id}"):
                made = self.api.create_commit(
                    self.repo_id,
                    _operations(commit),
                    commit_message=commit.title,
                    revision=branch,
                    parent_commit=parent,
                )
                return made.oid
        except HubError:
            if (landed := self._landed(commit, branch, parent)) is None:
                raise
            return landed

    def pull_request(self, commit: Commit, revision: str) -> tuple[str, str]:
        """Open a pull request with one commit; returns its ref and its address."""
        with explaining(f"cannot open a pull request on {self.repo_id}"):
            made = self.api.create_commit(
                self.repo_id,
                _operations(commit),
                commit_message=commit.title,
                revision=revision,
                create_pr=True,
            )
        return f"refs/pr/{made.pr_num}", str(made.pr_url)

    @contextmanager
    def staging_branch(self, name: str, commit: str) -> Iterator[str]:
        """A branch at ``commit`` that is gone afterwards, whatever happened."""
        if self.head(name) is not None:  # a killed push left it
            self._delete_branch(name)
        self.create_branch(name, commit)
        try:
            yield name
        finally:
            try:
                self._delete_branch(name)
            except HubError as error:  # nothing is wrong with what was pushed, or was not
                warnings.warn(str(error), stacklevel=4)

    def create_branch(self, name: str, commit: str) -> None:
        """A branch at ``commit``, if there is none of that name."""
        ask(
            f"cannot create the branch {name!r} of {self.repo_id}",
            lambda: self.api.create_branch(
                self.repo_id, branch=name, revision=commit, exist_ok=True
            ),
        )

    def _delete_branch(self, name: str) -> None:
        ask(
            f"the branch {name} of {self.repo_id} stays behind",
            lambda: self.api.delete_branch(self.repo_id, branch=name),
        )

    def _visibility(self) -> bool | None:
        try:
            return bool(self.api.model_info(self.repo_id).private)
        except RepositoryNotFoundError as error:
            # Without a valid token a private repository seems missing: do not take it for new.
            if error.response.status_code == 401:
                raise
            return None

    def _landed(self, commit: Commit, branch: str, parent: str) -> str | None:
        """The commit that a lost reply was about; ``None`` if the branch did not move to it."""
        try:
            head = self.head(branch)
            if head is None or head == parent or self.plan(commit.files, head, "") is not None:
                return None
        except HubError:
            return None
        return head


def _operations(commit: Commit) -> list[CommitOperationAdd | CommitOperationDelete]:
    return [
        *(CommitOperationAdd(name, path) for name, path in commit.files.items()),
        *(CommitOperationDelete(name) for name in commit.stale),
    ]
