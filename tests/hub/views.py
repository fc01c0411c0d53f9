"""How the Hub shows a repo in JSON: the shapes that `huggingface_hub` takes apart."""

from __future__ import annotations

import hashlib
import re

from hub.cards import read_card
from hub.store import Commit, File, Missing, Repo


def repo_info(repo: Repo, commit: Commit, blobs: bool) -> dict:
    """What `model_info` and its like get; sizes and identifiers of files with ``blobs``."""
    readme = commit.files.get("README.md")
    card = read_card(readme.text) if readme else {}
    answer = {
        "_id": hashlib.md5(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repo.created,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(card),
        "cardData": card,
        "siblings": [
            {"rfilename": path, **(_blob(file, "blobId", "sha256") if blobs else {})}
            for path, file in sorted(commit.files.items())
        ],
    }
    if repo.kind == "model":
        answer["modelId"] = repo.id
        answer |= {key: card[key] for key in ("library_name", "pipeline_tag") if key in card}
    if repo.kind == "space":
        subdomain = re.sub(r"[^a-z0-9]+", "-", repo.id.lower())
        answer |= {"sdk": card.get("sdk", repo.sdk), "subdomain": subdomain}
        answer |= {"host": f"https://{subdomain}.hf.space", "runtime": space_runtime(repo)}
    return answer


def space_runtime(repo: Repo) -> dict:
    """Stage and hardware of a Space; a hardware request is granted at once."""
    head = repo.at("main")
    has_app = {"app.py", "Dockerfile", "index.html"} & set(head.files)
    return {
        "stage": repo.stage or ("RUNNING" if has_app else "NO_APP_FILE"),
        "sha": repo.built or head.oid,
        "hardware": {"current": repo.hardware, "requested": repo.hardware},
        "gcTimeout": repo.sleep_seconds,
        "replicas": {"current": 1, "requested": 1},
    }


def tree(commit: Commit, folder: str, recursive: bool, expand: bool) -> list[dict]:
    """Files and folders under ``folder``, as the tree endpoint lists them."""
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    listed = {path for path in commit.files if path.startswith(prefix)}
    if prefix and not listed:
        raise Missing("Entry", f"{folder} does not exist on {commit.oid}")
    for path in list(listed):
        parts = path[len(prefix) :].split("/")
        listed |= {prefix + "/".join(parts[:depth]) for depth in range(1, len(parts))}
    if not recursive:
        listed = {path for path in listed if "/" not in path[len(prefix) :]}
    return [_entry(commit, path, expand) for path in sorted(listed)]


def paths_info(commit: Commit, paths: list[str], expand: bool) -> list[dict]:
    """Entries of those paths that exist; the others are left out, as on the Hub."""
    names = [path.strip("/") for path in paths]
    folders = {n for n in names if any(path.startswith(f"{n}/") for path in commit.files)}
    return [_entry(commit, n, expand) for n in names if n in commit.files or n in folders]


def refs(repo: Repo) -> dict:
    """Branches, tags and pull requests, each with the commit it points at."""
    answer: dict[str, list] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
    groups = {"refs/heads/": "branches", "refs/tags/": "tags", "refs/pr/": "pullRequests"}
    for ref, oid in repo.refs.items():
        for prefix, group in groups.items():
            if ref.startswith(prefix):
                name = ref.removeprefix(prefix)
                answer[group].append({"name": name, "ref": ref, "targetCommit": oid})
    return answer


def history(repo: Repo, revision: str) -> list[dict]:
    """Commits of a revision, newest first."""
    return [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.description,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in repo.history(revision)
    ]


def _entry(commit: Commit, path: str, expand: bool) -> dict:
    file = commit.files.get(path)
    if file is None:
        oid = hashlib.sha1(f"{commit.oid}:{path}".encode()).hexdigest()
        answer = {"type": "directory", "path": path, "oid": oid, "size": 0}
    else:
        answer = {"type": "file", "path": path, **_blob(file, "oid", "oid")}
    if expand:  # the Hub names the last commit that touched the path; here it is the listed one
        answer["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
    return answer


def _blob(file: File, blob_key: str, lfs_key: str) -> dict:
    # The same numbers go by other names in model_info (blobId, sha256) and in the tree (oid, oid).
    answer: dict = {blob_key: file.blob, "size": len(file.data)}
    if file.lfs:
        sizes = {"size": len(file.data), "pointerSize": len(file.pointer)}
        answer["lfs"] = {lfs_key: file.sha256, **sizes}
    return answer


def _tags(card: dict) -> list[str]:
    tags = [str(tag) for tag in card.get("tags") or []]
    for key in ("license", "base_model", "datasets"):
        values = card.get(key) or []
        tags += [
            f"{key.removesuffix('s')}:{v}"
            for v in ([values] if isinstance(values, str) else values)
        ]
    return [*tags, "region:us"]
