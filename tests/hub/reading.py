"""Endpoints that list and send files."""

from __future__ import annotations

from urllib.parse import parse_qs

from hub import views
from hub.api import PAGE, PATH, REPO, REV, Api, route
from hub.store import HubError
from hub.wire import Call, Reply


@route("GET", f"{REPO}/tree/{REV}(?:/{PATH})?")
def tree(api: Api, call: Call, kind: str, id: str, revision: str, path: str | None) -> Reply:
    """Files and folders at a revision."""
    commit = api.repo(call, kind, id).at(revision)
    return Reply.of(views.tree(commit, path or "", call.flag("recursive"), call.flag("expand")))


@route("POST", f"{REPO}/paths-info/{REV}")
def paths_info(api: Api, call: Call, kind: str, id: str, revision: str) -> Reply:
    """Some files and folders at a revision."""
    form = parse_qs(call.body.decode())  # of all endpoints only this one is sent a form
    expand = form.get("expand", [""])[-1].lower() == "true"
    commit = api.repo(call, kind, id).at(revision)
    return Reply.of(views.paths_info(commit, form.get("paths", []), expand))


@route("GET", f"{REPO}/refs")
def refs(api: Api, call: Call, kind: str, id: str) -> Reply:
    """Branches, tags and pull requests."""
    return Reply.of(views.refs(api.repo(call, kind, id)))


@route("GET", f"{REPO}/commits/{REV}")
def commits(api: Api, call: Call, kind: str, id: str, revision: str) -> Reply:
    """History of a revision."""
    return Reply.of(views.history(api.repo(call, kind, id), revision))


@route("GET", f"{PAGE}/resolve/{REV}/{PATH}")
def resolve(api: Api, call: Call, kind: str | None, id: str, revision: str, path: str) -> Reply:
    """A file, or the part of it that a Range header asks for.

    The Hub redirects LFS files to a CDN; here every byte comes from the same address.
    """
    commit = api.repo(call, kind, id).at(revision)
    file = commit.files.get(path)
    # On "no such entry" too: clients then remember the absence for this commit.
    headers = {"X-Repo-Commit": commit.oid}
    if file is None:
        raise HubError(404, f"Entry not found: {path}", "EntryNotFound", headers)
    headers |= {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
    if file.lfs:
        size = str(len(file.data))
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": size}
    return Reply(file.data, 200, headers).part(call.headers.get("Range"))
