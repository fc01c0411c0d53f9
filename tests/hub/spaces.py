"""Endpoints of Spaces: secrets, variables and hardware."""

from __future__ import annotations

from hub import views
from hub.api import Api, route
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
