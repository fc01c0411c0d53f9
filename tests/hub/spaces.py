"""Endpoints of Spaces: secrets, variables, hardware, and copies."""

from __future__ import annotations

from hub import views
from hub.api import Api, route
from hub.store import HubError, Repo
from hub.wire import Call, Reply

SPACE = "/api/(?P<kind>space)s/(?P<id>[^/]+/[^/]+)"


@route("GET POST DELETE", f"{SPACE}/(?P<group>secrets|variables)")
def settings(api: Api, call: Call, kind: str, id: str, group: str) -> Reply:
    """Read, set or delete. The values of secrets can be written but never read."""
    kept: dict[str, dict] = getattr(api.repo(call, kind, id, write=True), group)
    if call.method == "POST":
        kept[call.json()["key"]] = call.json()
    elif call.method == "DELETE":
        kept.pop(call.json()["key"], None)
    shown = ["key", "description"] + (["value"] if group == "variables" else [])
    return Reply.of({name: {k: item[k] for k in shown if k in item} for name, item in kept.items()})


@route("GET", f"{SPACE}/runtime")
def runtime(api: Api, call: Call, kind: str, id: str) -> Reply:
    """Stage and hardware."""
    return Reply.of(views.space_runtime(api.repo(call, kind, id)))


@route("POST", f"{SPACE}/(?P<action>hardware|sleeptime|pause|restart)")
def change_runtime(api: Api, call: Call, kind: str, id: str, action: str) -> Reply:
    """Change stage or hardware; every wish is granted at once."""
    repo, asked = api.repo(call, kind, id, write=True), call.json()
    if action == "hardware":
        repo.hardware = asked["flavor"]
        repo.sleep_seconds = asked.get("sleepTimeSeconds", repo.sleep_seconds)
    elif action == "sleeptime":
        repo.sleep_seconds = asked["seconds"]
    else:
        repo.stage = "PAUSED" if action == "pause" else None
    return Reply.of(views.space_runtime(repo))


@route("POST", f"{SPACE}/duplicate")
def duplicate(api: Api, call: Call, kind: str, id: str) -> Reply:
    """A copy with history and variables, and without the secrets; 409 if the name is taken."""
    source, asked = api.repo(call, kind, id), call.json()
    target = asked["repository"]
    owner = api.writer(call, target.split("/")[0])
    if known := api.repos.get((kind, target)):
        raise HubError(409, "You already created this space repo", url=api.page(known))
    shown = asked.get("visibility", "private" if source.private else "public")
    made = Repo(kind, f"{owner}/{target.split('/')[1]}", shown == "private", source.sdk)
    made.commits, made.refs = dict(source.commits), dict(source.refs)
    made.objects, made.variables = dict(source.objects), dict(source.variables)
    made.hardware = asked.get("hardware") or made.hardware
    for name in ("secrets", "variables"):
        getattr(made, name).update((item["key"], item) for item in asked.get(name) or [])
    api.repos[kind, made.id] = made
    return Reply.of({"url": api.page(made), "name": made.id, "filesCopyPending": False})
