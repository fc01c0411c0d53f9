"""Repos of the loopback Hub: immutable commits, refs, Space settings. Speaks no HTTP."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType

from hub.cards import card_errors

KINDS = {"model": "", "dataset": "datasets/", "space": "spaces/"}  # kind: its prefix in page URLs
LFS_ENDINGS = (
    *(".7z", ".arrow", ".bin", ".bz2", ".ckpt", ".gz", ".h5", ".joblib", ".msgpack", ".npy"),
    *(".npz", ".onnx", ".parquet", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".tar"),
    *(".tgz", ".whl", ".xz", ".zip", ".zst"),
)
LFS_BYTES = 10 * 1024**2  # larger files go to LFS whatever their name
# The Hub commits this file when it creates a repo, so a fresh repo is never quite empty.
GITATTRIBUTES = "".join(f"*{e} filter=lfs diff=lfs merge=lfs -text\n" for e in LFS_ENDINGS)


class HubError(Exception):
    """A refusal that the HTTP side turns into a status and an X-Error-Code."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: str,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = headers or {}
        self.extra = extra  # more fields of the JSON answer


class Missing(HubError):
    """404, with the code that tells a client what is missing."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(404, message, f"{what}NotFound")


@dataclass(frozen=True)
class File:
    """One version of a file, with the identifiers that git and LFS give it."""

    data: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        """LFS identifier, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git itself stores for an LFS file."""
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def blob(self) -> str:
        """Git's own identifier: sha1 of the stored object, which for LFS is the pointer."""
        stored = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def text(self) -> str:
        """Content as UTF-8, with a mark for what is not."""
        return self.data.decode(errors="replace")

    @property
    def etag(self) -> str:
        """Name of the file in a client's cache: the LFS identifier if there is one."""
        return self.sha256 if self.lfs else self.blob


@dataclass(frozen=True)
class Commit:
    """A state of all files, never changed once made."""

    oid: str  # 40 hex digits, never seen before: clients cache by it
    parent: str | None
    title: str
    description: str
    author: str
    date: str
    files: Mapping[str, File]


@dataclass
class Repo:
    """History, refs and settings of one repo. The server's lock guards every change."""

    kind: str
    id: str
    private: bool = False
    sdk: str | None = None  # of a Space
    created: str = field(default_factory=lambda: _now())
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # refs/heads/main: oid
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS uploads by sha256
    secrets: dict[str, dict] = field(default_factory=dict)  # name: key, value, description
    variables: dict[str, dict] = field(default_factory=dict)
    hardware: str = "cpu-basic"
    sleep_seconds: int | None = None
    stage: str | None = None  # of a Space; None follows from its files
    built: str | None = None  # commit that a Space runs; None is the newest
    closed: set[int] = field(default_factory=set)  # pull requests that were turned down

    @property
    def owner(self) -> str:
        """User name before the slash."""
        return self.id.split("/")[0]

    def commit(
        self, ref: str, files: Mapping[str, File], author: str, title: str, description: str = ""
    ) -> Commit:
        """Add a commit with exactly these files and move ``ref`` to it."""
        parent = self.refs.get(ref)
        tree = [f"{path} {file.etag}" for path, file in sorted(files.items())]
        # The number of commits makes equal content at another time another commit; the tree
        # makes equal numbers on two servers differ, should a test share a cache between them.
        seed = "\n".join([self.kind, self.id, str(parent), str(len(self.commits)), title, *tree])
        oid = hashlib.sha1(seed.encode()).hexdigest()
        commit = Commit(
            oid, parent, title, description, author, _now(), MappingProxyType(dict(files))
        )
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit

    def at(self, revision: str) -> Commit:
        """The commit that a branch, tag, full ref or 40-digit sha names."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in self.refs:
                return self.commits[self.refs[name]]
        if revision in self.commits:
            return self.commits[revision]
        raise Missing("Revision", f"Invalid rev id: {revision}")

    def head(self, revision: str) -> str:
        """The movable ref that a commit to ``revision`` advances."""
        ref = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        if ref not in self.refs or ref.startswith("refs/tags/"):
            raise Missing("Revision", f"Invalid rev id: {revision}")
        return ref

    def history(self, revision: str) -> Iterator[Commit]:
        """Commits from ``revision`` back to the first."""
        oid: str | None = self.at(revision).oid
        while oid:
            yield self.commits[oid]
            oid = self.commits[oid].parent

    def apply(self, ref: str, lines: list[dict], author: str, pull_request: bool) -> str:
        """Turn the lines of a commit request into a commit, and say which ref has moved.

        That is ``ref``, or a new ``refs/pr/N`` for a pull request, which leaves ``ref`` alone.

        Raises:
            HubError: any line is refused; nothing has changed then.
        """
        header = next((line["value"] for line in lines if line["key"] == "header"), {})
        parent = header.get("parentCommit")
        if parent and not self.refs[ref].startswith(parent):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(self.commits[self.refs[ref]].files)
        for line in lines:
            if line["key"] != "header":
                _edit(files, self.objects, line["key"], line["value"])
        readme = files.get("README.md")
        if readme and (errors := card_errors(readme.text, self.kind)):
            raise HubError(400, "; ".join(errors))
        if pull_request:
            base = self.refs[ref]
            ref = f"refs/pr/{1 + sum(name.startswith('refs/pr/') for name in self.refs)}"
            self.refs[ref] = base
        title, description = header.get("summary", ""), header.get("description", "")
        self.commit(ref, files, author, title, description)
        return ref

    def seed(self, changes: Mapping[str, bytes | None], ref: str, title: str) -> Commit:
        """Commit without any checks, for the test itself; `None` deletes a file."""
        files = dict(self.commits[self.refs[ref]].files) if ref in self.refs else {}
        for path, data in changes.items():
            if data is None:
                del files[path]
            else:
                files[path] = File(data, is_lfs(path, data[:512], len(data)))
        self.objects |= {file.sha256: file.data for file in files.values() if file.lfs}
        return self.commit(ref, files, self.owner, title)


def is_lfs(path: str, sample: bytes, size: int) -> bool:
    """Whether the Hub wants this file as LFS: by name, by size, or because it is binary."""
    binary = b"\0" in sample
    return size > 0 and (path.endswith(LFS_ENDINGS) or size >= LFS_BYTES or binary)


def initial_files(kind: str, repo_id: str, sdk: str | None) -> dict[str, File]:
    """What the Hub itself commits when it creates a repo."""
    files = {".gitattributes": File(GITATTRIBUTES.encode(), lfs=False)}
    if kind == "space":
        title = repo_id.split("/")[1]
        files["README.md"] = File(f"---\ntitle: {title}\nsdk: {sdk}\n---\n".encode(), lfs=False)
    return files


def _edit(files: dict[str, File], objects: Mapping[str, bytes], key: str, value: dict) -> None:
    path = value["path"]
    if path.startswith("/") or not {"", ".", "..", ".git"}.isdisjoint(path.rstrip("/").split("/")):
        raise HubError(400, f"Invalid path in repo: {path!r}")
    if key == "file":
        files[path] = File(base64.b64decode(value["content"]), lfs=False)
    elif key == "lfsFile":
        if value["oid"] not in objects:
            raise HubError(400, f"LFS pointer of {path} points to a file that was not uploaded")
        files[path] = File(objects[value["oid"]], lfs=True)
    elif key == "deletedFile" and path in files:
        del files[path]
    elif key == "deletedFolder" and (inside := [p for p in files if _within(p, path)]):
        for name in inside:
            del files[name]
    elif key in ("deletedFile", "deletedFolder"):
        raise Missing("Entry", f"A file with this name doesn't exist: {path}")
    else:
        raise HubError(400, f"unknown operation {key!r}")


def _within(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
