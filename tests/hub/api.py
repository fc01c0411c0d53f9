"""Who may see and change which repo, and which function answers which address.

The endpoints themselves are in `repos`, `reading`, `pushing` and `spaces`. Nobody serves Xet,
pagination, multipart uploads, gated repos, `.gitignore` rules, discussions or jobs:
they answer 501, which no client retries or takes for "no such file".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from hub.store import KINDS, HubError, Missing, Repo
from hub.wire import Call, Reply

API = "/api/(?P<kind>model|dataset|space)s"
REPO = f"{API}/(?P<id>[^/]+/[^/]+)"
PAGE = "/(?:(?P<kind>dataset|space)s/)?(?P<id>[^/]+/[^/]+)"
REV = "(?P<revision>[^/]+)"  # a slash in it comes as %2F
PATH = "(?P<path>.+)"

ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Reply]]] = []


def route(methods: str, pattern: str) -> Callable[[Callable[..., Reply]], Callable[..., Reply]]:
    """Register a function of `Api` and `Call`; named groups arrive decoded, as arguments."""

    def register(function: Callable[..., Reply]) -> Callable[..., Reply]:
        ROUTES.extend((method, re.compile(pattern), function) for method in methods.split())
        return function

    return register


@dataclass(frozen=True)
class Account:
    """Who a token speaks for, and whether it may change anything."""

    user: str
    role: str  # write or read


class Api:
    """Every repo of one server. One lock covers each call, so calls never see half a change."""

    def __init__(self) -> None:
        self.url = ""  # known once the socket is bound
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.accounts: dict[str, Account] = {}  # by token
        self.uploads: dict[str, tuple[Repo, str, int]] = {}  # signature: where, sha256, size
        self.collections: dict[str, dict] = {}  # by slug
        self.regular_only = False  # answer every preupload with "regular", as for small texts

    def answer(self, call: Call) -> Reply:
        """Find the route and run it.

        Raises:
            HubError: the request is refused.
        """
        if not call.path.startswith("/"):
            # `HubServer.environment` makes us the proxy of everything that is not 127.0.0.1.
            # datasets asks http://datasets-server.<endpoint> and does well without an answer.
            raise HubError(403, f"tests may not leave this machine: {call.method} {call.path}")
        method = "GET" if call.method == "HEAD" else call.method
        for candidate, pattern, function in ROUTES:
            if candidate == method and (match := pattern.fullmatch(call.path)):
                found = {k: unquote(v) if v else v for k, v in match.groupdict().items()}
                with self.lock:
                    return function(self, call, **found)
        raise HubError(501, f"the test server does not serve {call.method} {call.path}")

    def user_of(self, bearer: str | None) -> str | None:
        """Owner of the token in an Authorization header, for the log."""
        account = self.accounts.get((bearer or "").removeprefix("Bearer "))
        return account and account.user

    def account(self, call: Call) -> Account | None:
        """Whose token came with the call; `None` without one.

        Raises:
            HubError: 401, the token is unknown.
        """
        bearer = call.headers.get("Authorization")
        if bearer is None:
            return None
        if account := self.accounts.get(bearer.removeprefix("Bearer ")):
            return account
        raise HubError(401, "Invalid credentials in Authorization header")

    def repo(self, call: Call, kind: str | None, id: str, write: bool = False) -> Repo:
        """A repo that the caller may see, or with ``write`` change.

        Raises:
            HubError: 401 without a token and 404 with one, alike for a repo that is missing and
                for another user's private one; 403 for a change to what may only be read.
        """
        repo, account = self.repos.get((kind or "model", id)), self.account(call)
        if repo is None or (repo.private and (account is None or account.user != repo.owner)):
            if account is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise Missing("Repo", "Repository not found")
        if write:
            self.writer(call, repo.owner)
        return repo

    def writer(self, call: Call, namespace: str | None = None) -> str:
        """The caller's user name, if the token may write, and in ``namespace`` if one is given.

        Raises:
            HubError: 401 without a token, 403 with a read token or a stranger's.
        """
        account = self.account(call)
        if account is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if account.role != "write" or namespace not in (None, account.user):
            place = namespace or account.user
            raise HubError(403, f"You don't have the rights to write under the namespace {place!r}")
        return account.user

    def page(self, repo: Repo) -> str:
        """Address of a repo for people."""
        return f"{self.url}/{KINDS[repo.kind]}{repo.id}"
