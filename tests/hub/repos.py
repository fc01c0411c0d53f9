"""Endpoints for accounts and for repos as a whole: create, describe, change, delete."""

from __future__ import annotations

from hub import views
from hub.api import API, REPO, REV, Api, route
from hub.cards import card_errors, read_card
from hub.store import HubError, Repo, initial_files
from hub.wire import Call, Reply


@route("GET", "/api/whoami-v2")
def whoami(api: Api, call: Call) -> Reply:
    """The user behind a token."""
    account = api.account(call)
    if account is None:
        raise HubError(401, "Invalid username or password.")
    token = {"type": "access_token", "accessToken": {"displayName": "t", "role": account.role}}
    user = {"type": "user", "id": account.user, "name": account.user, "fullname": account.user}
    return Reply.of({**user, "isPro": False, "orgs": [], "auth": token})


@route("POST", "/api/validate-yaml")
def validate_yaml(api: Api, call: Call) -> Reply:
    """What is wrong with a README; the client asks before it uploads anything."""
    text, kind = call.json()["content"], call.json()["repoType"]
    warning = {"message": "empty or missing yaml metadata in repo card"}
    errors = [{"message": error} for error in card_errors(text, kind)]
    warnings = [] if errors or read_card(text) else [warning]
    return Reply.of({"errors": errors, "warnings": warnings}, 400 if errors else 200)


@route("POST", "/api/repos/create")
def create(api: Api, call: Call) -> Reply:
    """A repo with what the Hub itself commits; 409 if it exists, with its address."""
    asked = call.json()
    owner = api.writer(call, asked.get("organization"))
    kind, repo_id = asked.get("type") or "model", f"{owner}/{asked['name']}"
    if known := api.repos.get((kind, repo_id)):
        # `create_repo(exist_ok=True)` takes the address from the refusal.
        raise HubError(409, f"You already created this {kind} repo", url=api.page(known))
    repo = Repo(kind, repo_id, asked.get("visibility") == "private", asked.get("sdk"))
    repo.hardware = asked.get("hardware") or repo.hardware
    for name in ("secrets", "variables"):
        getattr(repo, name).update((item["key"], item) for item in asked.get(name) or [])
    files = initial_files(kind, repo_id, repo.sdk)
    repo.commit("refs/heads/main", files, owner, "initial commit")
    api.repos[kind, repo_id] = repo
    return Reply.of({"url": api.page(repo), "name": repo_id, "private": repo.private})


@route("DELETE", "/api/repos/delete")
def delete(api: Api, call: Call) -> Reply:
    """Delete a repo and its history."""
    asked = call.json()
    owner = asked.get("organization") or api.writer(call)
    repo = api.repo(call, asked.get("type"), f"{owner}/{asked['name']}", write=True)
    del api.repos[repo.kind, repo.id]
    return Reply.of({})


@route("GET", API)
def index(api: Api, call: Call, kind: str) -> Reply:
    """Repos of a kind that the caller may see, of one author if asked."""
    account, author = api.account(call), call.query.get("author", [None])[-1]
    shown = [
        views.repo_info(repo, repo.at("main"), blobs=False)
        for repo in api.repos.values()
        if repo.kind == kind
        and author in (None, repo.owner)
        and (not repo.private or (account and account.user == repo.owner))
    ]
    return Reply.of(shown)


@route("GET", f"{REPO}(?:/revision/{REV})?")
def info(api: Api, call: Call, kind: str, id: str, revision: str | None) -> Reply:
    """`model_info`, `dataset_info`, `space_info`."""
    repo = api.repo(call, kind, id)
    shown = views.repo_info(repo, repo.at(revision or "main"), call.flag("blobs"))
    if wanted := call.query.get("expand"):
        shown = {key: shown[key] for key in ("_id", "id", *wanted) if key in shown}
    return Reply.of(shown)


@route("PUT", f"{REPO}/settings")
def settings(api: Api, call: Call, kind: str, id: str) -> Reply:
    """Make a repo public or private."""
    repo = api.repo(call, kind, id, write=True)
    repo.private = {"private": True, "public": False}[call.json()["visibility"]]
    return Reply.of({"private": repo.private})


@route("GET", f"{REPO}/auth-check(?P<write>/write)?")
def auth_check(api: Api, call: Call, kind: str, id: str, write: str | None) -> Reply:
    """Whether the caller may read, or write."""
    api.repo(call, kind, id, write=bool(write))
    return Reply.of({})


@route("GET", "/api/agent-harnesses")
def agent_harnesses(api: Api, call: Call) -> Reply:
    """The register by which `hf` guesses who is typing: empty, so nobody is recognised."""
    return Reply.of({"standardEnvVars": [], "harnesses": {}})
