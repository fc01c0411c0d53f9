"""One repository on the Hub, and changes to it that happen whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from hfbio.errors import HubError
from hfbio.hub.client import ask, explaining, once
from hfbio.hub.payload import digests, is_owned

MAIN: Final = "main"


@dataclass(frozen=True)
class Commit:
    """A commit to make: files to write by their path in the repository, and paths to remove."""

    files: Mapping[str, Path]  # those that differ
    stale: tuple[str, ...]
    title: str
    whole: Mapping[str, Path]  # all files that are to be there in the end, changed or not


class Remote:
    """A repository as this process sees and changes it."""

    def __init__(
        self,
        api: HfApi,
        repo_id: str,
        *,
        repo_type: Literal["model", "space", "dataset"] = "model",
        owned: Callable[[str], bool] = is_owned,
    ) -> None:
        """Look whether it exists.

        Args:
            api: the client.
            repo_id: ``USER/REPO``.
            repo_type: kind of repository.
            owned: whether a path may be removed if it is not among the files of a `plan`.

        Raises:
            HubError: the Hub cannot be asked.
        """
        self.api = api
        self.repo_id = repo_id
        self.created = False  # by this process
        self._type = repo_type
        self._owned = owned
        self._name = repo_id if repo_type == "model" else f"the {repo_type.title()} {repo_id}"
        self._born: str | None = None  # head of main when this process made its first commit
        self.private: bool | None = ask(f"cannot look at {self._name}", self._visibility)

    @property
    def exists(self) -> bool:
        """Whether the repository is there and may be seen."""
        return self.private is not None

    def create(self, make: Callable[[], object] | None = None) -> None:
        """Create it, private.

        Args:
            make: how, where a name is not all there is to say; must make it private.
        """

        def plain() -> object:
            return self.api.create_repo(self.repo_id, repo_type=self._type, private=True)

        ask(f"cannot create {self._name}", once(make or plain, done=409))
        self.created, self.private = True, True

    def remove_if_new(self) -> str:
        """Remove a repository that this process created and nothing was pushed to; says so."""
        if not self.created:
            return ""
        try:
            if self._born not in (None, self.head(MAIN)):
                return f"; {self.repo_id} is there now, private, and may hold what was sent"
            ask(
                "it cannot be removed",
                once(
                    lambda: self.api.delete_repo(self.repo_id, repo_type=self._type),
                    done=404,
                ),
            )
        except HubError as error:
            return f"; {self.repo_id} is there now, private and incomplete ({error})"
        self.created, self.private = False, None
        return f"; {self.repo_id}, created a moment ago, was removed again"

    def head(self, revision: str) -> str | None:
        """The commit that a branch or tag names; ``None`` if there is no such name."""

        def look() -> str | None:
            try:
                info = self.api.repo_info(self.repo_id, repo_type=self._type, revision=revision)
                return info.sha
            except RevisionNotFoundError:
                return None

        return ask(f"cannot look at {self._name}", look)

    def tag(self, name: str) -> str | None:
        """The commit that a tag names; ``None`` if there is no such tag."""
        refs = ask(
            f"cannot list the tags of {self._name}",
            lambda: self.api.list_repo_refs(self.repo_id, repo_type=self._type),
        )
        return next((ref.target_commit for ref in refs.tags if ref.name == name), None)

    def files(self, commit: str) -> dict[str, str]:
        """Path -> the Hub's identifier of the content, one of `hub.payload.digests`."""
        entries = ask(
            f"cannot list the files of {self._name}",
            lambda: list(
                self.api.list_repo_tree(
                    self.repo_id, repo_type=self._type, revision=commit, recursive=True
                )
            ),
        )
        return {
            entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    def plan(self, files: Mapping[str, Path], commit: str, title: str) -> Commit | None:
        """What differs from ``commit``; ``None`` if nothing does."""
        there = self.files(commit)
        changed = _differing(files, there)
        stale = tuple(sorted(name for name in there if self._owned(name) and name not in files))
        return Commit(changed, stale, title, dict(files)) if changed or stale else None

    def commit(self, commit: Commit, branch: str, parent: str) -> str:
        """Make one commit on ``branch``, which must still be at ``parent``; returns its id.

        The client repeats requests that the Hub answers with 429 or 5xx, and uploads of single
        files, but never the commit itself, since it may have been made without our hearing of it.
        So after an error this looks whether the branch now holds what was sent.
        """
        self._born = self._born or parent
        try:
            with explaining(f"cannot push to {self._name}"):
                made = self.api.create_commit(
                    self.repo_id,
                    _operations(commit),
                    commit_message=commit.title,
                    repo_type=self._type,
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
        with explaining(f"cannot open a pull request on {self._name}"):
            made = self.api.create_commit(
                self.repo_id,
                _operations(commit),
                commit_message=commit.title,
                repo_type=self._type,
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
            f"cannot create the branch {name!r} of {self._name}",
            lambda: self.api.create_branch(
                self.repo_id, repo_type=self._type, branch=name, revision=commit, exist_ok=True
            ),
        )

    def _delete_branch(self, name: str) -> None:
        ask(
            f"the branch {name} of {self._name} stays behind",
            once(
                lambda: self.api.delete_branch(self.repo_id, repo_type=self._type, branch=name),
                done=404,
            ),
        )

    def _visibility(self) -> bool | None:
        try:
            return bool(self.api.repo_info(self.repo_id, repo_type=self._type).private)
        except RepositoryNotFoundError as error:
            # Without a valid token a private repository seems missing: do not take it for new.
            if error.response.status_code == 401:
                raise
            return None

    def _landed(self, commit: Commit, branch: str, parent: str) -> str | None:
        """The commit that a lost reply was about; ``None`` if the branch did not move to it."""
        try:
            head = self.head(branch)
            if head is None or head == parent:
                return None
            there = self.files(head)
        except HubError:
            return None
        if _differing(commit.whole, there) or not there.keys().isdisjoint(commit.stale):
            return None
        return head


def _differing(files: Mapping[str, Path], there: Mapping[str, str]) -> dict[str, Path]:
    return {name: path for name, path in files.items() if there.get(name) not in digests(path)}


def _operations(commit: Commit) -> list[CommitOperationAdd | CommitOperationDelete]:
    return [
        *(CommitOperationAdd(name, path) for name, path in commit.files.items()),
        *(CommitOperationDelete(name) for name in commit.stale),
    ]
