"""Endpoints of a push, in the order of a client: preupload, LFS, commit; then refs."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets

from hub.api import PAGE, REPO, REV, Api, route
from hub.store import HubError, Missing, is_lfs
from hub.wire import Call, Reply


@route("POST", f"{REPO}/preupload/{REV}")
def preupload(api: Api, call: Call, kind: str, id: str, revision: str) -> Reply:
    """For each file: whether it goes through LFS, and the identifier of what is there now."""
    repo = api.repo(call, kind, id, write=not call.flag("create_pr"))
    known, answers = repo.at(revision).files, []
    for item in call.json()["files"]:
        path, sample = item["path"], base64.b64decode(item["sample"])
        lfs = is_lfs(path, sample, item["size"]) and not api.regular_only
        mode = "lfs" if lfs else "regular"
        # By this identifier the client leaves out files that have not changed.
        oid = known[path].etag if path in known else None
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Reply.of({"files": answers})


@route("POST", rf"{PAGE}\.git/info/lfs/objects/batch")
def lfs_batch(api: Api, call: Call, kind: str | None, id: str) -> Reply:
    """Where to send each object; no action for one that the repo holds already."""
    repo, answers = api.repo(call, kind, id), []
    api.writer(call)  # of any namespace: a pull request may come from a stranger
    for item in call.json()["objects"]:
        answer = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in repo.objects:
            signature = secrets.token_hex(16)  # as on S3, the PUT itself carries no token
            api.uploads[signature] = (repo, item["oid"], item["size"])
            upload = {"href": f"{api.url}/lfs/{item['oid']}?signature={signature}"}
            verify = {"href": f"{api.page(repo)}.git/info/lfs/objects/verify"}
            answer["actions"] = {"upload": upload, "verify": verify}
        answers.append(answer)
    return Reply.of({"transfer": "basic", "objects": answers})


@route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
def lfs_put(api: Api, call: Call, oid: str) -> Reply:
    """Take an object, if it is the one announced."""
    signature = call.query.get("signature", [""])[-1]
    repo, signed, size = api.uploads.get(signature, (None, None, None))
    if repo is None or signed != oid:
        raise HubError(403, "SignatureDoesNotMatch")
    if len(call.body) != size or hashlib.sha256(call.body).hexdigest() != oid:
        raise HubError(400, "the bytes do not have the announced size and sha256")
    repo.objects[oid] = call.body
    return Reply(b"", 200, {"ETag": f'"{oid}"'})


@route("POST", rf"{PAGE}\.git/info/lfs/objects/verify")
def lfs_verify(api: Api, call: Call, kind: str | None, id: str) -> Reply:
    """Confirm that an object has arrived whole."""
    data = api.repo(call, kind, id).objects.get(call.json()["oid"])
    if data is None or len(data) != call.json()["size"]:
        raise HubError(404, "the object was not uploaded")
    return Reply.of({})


@route("POST", f"{REPO}/commit/{REV}")
def commit(api: Api, call: Call, kind: str, id: str, revision: str) -> Reply:
    """Make one commit of many operations, or none."""
    pull_request = call.flag("create_pr")
    repo = api.repo(call, kind, id, write=not pull_request)
    author = api.writer(call)
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    moved = repo.apply(repo.head(revision), lines, author, pull_request)
    oid, page = repo.refs[moved], api.page(repo)
    answer = {"success": True, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}"}
    if pull_request:
        answer["pullRequestUrl"] = f"{page}/discussions/{moved.removeprefix('refs/pr/')}"
    return Reply.of(answer)


@route("POST DELETE", f"{REPO}/(?P<group>branch|tag)/{REV}")
def ref(api: Api, call: Call, kind: str, id: str, group: str, revision: str) -> Reply:
    """Create or delete a branch or tag."""
    repo, asked = api.repo(call, kind, id, write=True), call.json()
    # A branch is named in the address, a new tag in the body: there the address says where.
    new_tag = group == "tag" and call.method == "POST"
    name = asked["tag"] if new_tag else revision
    full_name = f"refs/{'tags' if group == 'tag' else 'heads'}/{name}"
    if call.method == "DELETE":
        if repo.refs.pop(full_name, None) is None:
            raise Missing("Revision", f"Invalid rev id: {name}")
    elif full_name in repo.refs:
        raise HubError(409, f"Reference {full_name} already exists")
    else:
        start = revision if new_tag else asked.get("startingPoint") or "main"
        repo.refs[full_name] = repo.at(start).oid
    return Reply.of({})
