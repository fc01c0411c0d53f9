"""Endpoints of collections, and the one of discussions that a closed pull request needs."""

from __future__ import annotations

import re

from hub.api import REPO, Api, route
from hub.store import HubError
from hub.wire import Call, Reply


@route("POST", "/api/collections")
def create(api: Api, call: Call) -> Reply:
    """A collection; 409 with its slug if the user has one of that title."""
    asked = call.json()
    owner = api.writer(call, asked.get("namespace"))
    slug = f"{owner}/{re.sub('[^a-z0-9]+', '-', asked['title'].lower())}-0123456789abcdef01234567"
    if slug in api.collections:
        raise HubError(409, "This collection already exists", slug=slug)
    api.collections[slug] = {
        "slug": slug,
        "title": asked["title"],
        "owner": {"name": owner},
        "lastUpdated": "2026-01-01T00:00:00.000Z",
        "private": asked.get("private", False),
        "position": 0,
        "theme": "blue",
        "upvotes": 0,
        "items": [],
    }
    return Reply.of(api.collections[slug])


@route("GET", "/api/collections/(?P<slug>[^/]+/[^/]+)")
def show(api: Api, call: Call, slug: str) -> Reply:
    """A collection with its items."""
    if slug not in api.collections:
        raise HubError(404, "Collection not found")
    return Reply.of(api.collections[slug])


@route("POST", "/api/collections/(?P<slug>[^/]+/[^/]+)/items")
def add(api: Api, call: Call, slug: str) -> Reply:
    """Add a repo; 409 if it is in already."""
    if slug not in api.collections:
        raise HubError(404, "Collection not found")
    api.writer(call, slug.split("/")[0])
    item = call.json()["item"]
    api.repo(call, item["type"], item["id"])
    items = api.collections[slug]["items"]
    if any(known["id"] == item["id"] for known in items):
        raise HubError(409, "Item already in collection")
    items.append({**item, "_id": f"{len(items):024x}", "repoType": item["type"], "position": 0})
    return Reply.of(api.collections[slug])


@route("POST", f"{REPO}/discussions/(?P<number>[0-9]+)/status")
def close(api: Api, call: Call, kind: str, id: str, number: str) -> Reply:
    """Close a pull request."""
    repo, author = api.repo(call, kind, id), api.writer(call)
    repo.closed.add(int(number))
    event = {
        "id": "0" * 24,
        "type": "status-change",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "author": {"name": author},
        "data": {"status": call.json()["status"]},
    }
    return Reply.of({"newStatus": event})
